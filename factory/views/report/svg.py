"""A chart as an element of the page: matplotlib's SVG, in the page's colours and font, with parts that can be clicked.

Colours become CSS variables of the page, so that a chart follows light, dark and print. All are as wide as a phone, and
stand side by side where there is more room. Limitations: the browser shows what a part says only when it is pointed at,
so the description of the whole chart tells screen readers what is in it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from factory.views.measures import DECISIONS

_WIDTH = 3.6
"""In inches of 72 points, so that text of 9 points has 12 pixels on a phone."""
INKS = {"ink": "#010101", "muted": "#020202", "line": "#030303", "paper": "#040404", "accent": "#050505"} | {
    name: f"#06060{number}" for number, name in enumerate(DECISIONS)
}
"""Colours that are replaced by the page's variables."""
Marking = Callable[[str, str], str]
"""Takes what a part says and where it leads to; gives the URL that matplotlib is to set for it."""

_STYLE: Any = {
    "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": INKS["line"], "axes.labelcolor": INKS["muted"],
    "text.color": INKS["ink"], "xtick.color": INKS["line"], "ytick.color": INKS["line"],
    "xtick.labelcolor": INKS["muted"], "ytick.labelcolor": INKS["muted"], "xtick.labelsize": 8, "ytick.labelsize": 8,
    "axes.labelsize": 8.5, "axes.grid": True, "axes.grid.axis": "y", "grid.color": INKS["line"],
    "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.linewidth": 0.8, "figure.facecolor": "none",
    "axes.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip


def svg(draw: Callable[[Any, Marking], None], alt: str, height: float = 2.2) -> str:
    """A chart as an SVG element of the page, with a description in words."""
    import matplotlib as mpl
    from markupsafe import escape
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    marks: list[tuple[str, str]] = []

    def mark(says: str, leads_to: str) -> str:
        marks.append((says, leads_to))
        return f"mark-{len(marks) - 1}"

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(tick)
        draw(axes, mark)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _clickable(_for_page(file.getvalue(), str(escape(alt))), marks)


def _clickable(body: str, marks: Sequence[tuple[str, str]]) -> str:
    """The SVG with the addresses of its marks, each with what it says as its title. They are left out of the tab order:
    a page has hundreds, and its tables and controls lead to the same dialogues."""
    from markupsafe import escape

    def element(found: re.Match[str]) -> str:
        says, leads_to = map(escape, marks[int(found[1])])
        return f'<a class="mark" href="{leads_to}" tabindex="-1"><title>{says}</title>'

    return re.sub(r'<a xlink:href="mark-(\d+)"[^>]*>', element, body)


def _for_page(picture: str, alt: str) -> str:
    """The SVG without what only a separate file needs; its ids differ from those of other charts."""
    body = picture[picture.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    own = f"p{crc32(body.encode()):08x}"
    for name, ink in INKS.items():
        body = body.replace(ink, f"var(--{name})")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", body)
    body = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{own}-", body)
    body = re.sub(r" font-family: [^;]*;| transform=\"rotate\(-0 [^)]*\)\"", "", body)
    body = re.sub(r">\s+<", "><", body)
    return re.sub(
        r'<svg[^>]*?viewBox="([^"]+)"[^>]*>',
        lambda found: f'<svg viewBox="{found[1]}" role="img" aria-label="{alt}">',
        body,
    )


def tick(value: float, _: float) -> str:
    """A number on an axis."""
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
