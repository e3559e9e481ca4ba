"""The figures as charts: matplotlib's SVG, written into the page.

Colours become CSS variables of the page and text takes its font, so that a chart follows light, dark and print. All are
as wide as a phone, and stand side by side where there is more room. Limitations: charts are not interactive.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import dist
from statistics import median
from typing import Any
from zlib import crc32

from factory.views.cells import rounded
from factory.views.measures import DECISIONS
from factory.views.report.distributions import BINS

TOKENS = {"prompt, from the cache": "line", "prompt, computed": "muted", "completion": "accent"}

_WIDTH = 3.6
"""In inches of 72 points, so that text of 9 points has 12 pixels on a phone."""
_INKS = {"ink": "#010101", "muted": "#020202", "line": "#030303", "paper": "#040404", "accent": "#050505"} | {
    name: f"#06060{number}" for number, name in enumerate(DECISIONS)
}
"""Colours that are replaced by the page's variables."""
_HUES = (
    "#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#d4a72c", "#9d755d", "#ff9da6", "#6b6ecf",
    "#8ca252", "#bd9e39",
)  # fmt: skip
"""Colours of groups, which are also numbered; they can be seen on white and on black."""


def distribution(told: Mapping[str, Any], thresholds: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One histogram, bars stacked by decision: `title`, `svg`, `note`. Counts of pairs are on a logarithmic scale,
    since nearly all pairs are at the ends of the axis. Thresholds are drawn, with what they do, where the axis has
    them; the note names all."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    logarithmic, whole = told["of"] == "pair", told["kind"] == "whole"
    limits = {f"{one['band']} {_SIGNS[one['sign']]} {one['at']:g}": one["at"] for one in thresholds}

    def draw(axes: Any) -> None:
        # Whole numbers stand in the middle of their bars.
        edges = [edge - (0.5 if whole else 0) for edge in told["edges"]]
        widths = [after - before for before, after in pairwise(edges)]
        # Parts stacked on a logarithmic scale would mislead about their sizes: there the bar counts all.
        counts = {"accent": _summed(told)} if logarithmic else told["counts"]
        below = [0] * len(widths)
        for decision in (*DECISIONS, "accent"):
            if decision in counts:
                axes.bar(
                    edges[:-1], counts[decision], widths, bottom=None if logarithmic else below, align="edge",
                    color=_INKS[decision], edgecolor=_INKS["paper"], linewidth=0.6 if len(widths) <= BINS else 0,
                )  # fmt: skip
                below = [one + more for one, more in zip(below, counts[decision], strict=True)]
        if logarithmic:
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.7)
            axes.yaxis.set_major_formatter(_tick)
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        if whole:
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set(xlabel=told["axis"], ylabel=f"{told['of']}s")
        if spare := max(5 - len(widths), 0) * widths[0] / 2:
            axes.set_xlim(edges[0] - spare, edges[-1] + spare)
        drawn = {meaning: at for meaning, at in limits.items() if edges[0] <= at <= edges[-1]}
        for line, (meaning, at) in enumerate(sorted(drawn.items(), key=lambda item: item[1])):
            axes.axvline(at, color=_INKS["ink"], linewidth=0.8, linestyle=(0, (3, 2)))
            left = at < (edges[0] + edges[-1]) / 2
            axes.annotate(
                meaning, (at, 0.97 - 0.1 * line), xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                xytext=(3 if left else -3, 0), ha="left" if left else "right", va="top", fontsize=8,
            )  # fmt: skip

    note = f"{told['count']:,} {told['of']}s; mean {rounded(told['mean'])}, median {rounded(told['median'])}"
    note += f", 90 % from {rounded(told['p5'])} to {rounded(told['p95'])}"
    if told["open"]:
        note += f"; the last bar holds all up to {rounded(told['max'])}"
    if logarithmic:
        note += "; logarithmic counts"
    if limits:
        note += f"; select: {', '.join(limits)}"
    note = f"{told['about']} {note}".strip()
    return {"title": told["title"], "svg": _svg(draw, f"{told['title']}: histogram. {note}."), "note": note}


def funnel(told: Mapping[str, Any]) -> str:
    """Rows from wanted to accepted."""
    rows, decisions = told["rows"], told["decisions"]
    steps = [("wanted", rows["wanted"], "accent"), ("made", rows["made"], "accent")]
    steps += [(name, decisions[name], name) for name in DECISIONS if name in decisions]

    def draw(axes: Any) -> None:
        most = max(rows["wanted"], 1)
        for place, (_, count, colour) in enumerate(steps):
            axes.barh(place, count, color=_INKS[colour], height=0.72)
            share = f" ({count / most:.1%})" if place else ""
            inside = count > 0.55 * most
            axes.text(
                count - 0.015 * most if inside else count + 0.015 * most, place, f"{count:,}{share}",
                ha="right" if inside else "left", va="center", color=_INKS["paper" if inside else "ink"],
            )  # fmt: skip
        axes.set_yticks(range(len(steps)), [DECISIONS.get(name, name) for name, *_ in steps])
        axes.invert_yaxis()
        axes.set_xlim(0, most)
        axes.xaxis.set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor=_INKS["ink"], labelsize=9)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.grid(visible=False)

    said = ", ".join(f"{DECISIONS.get(name, name)} {count:,}" for name, count, _ in steps)
    return _svg(draw, f"Dialogues: {said}.", height=0.3 * len(steps) + 0.25)


def personas(told: Mapping[str, Any]) -> str:
    """The personas in the plane, numbered by group."""
    from matplotlib.patheffects import withStroke

    def draw(axes: Any) -> None:
        for group in told["groups"]:
            points = [(one["x"], one["y"]) for one in told["map"] if one["group"] == group["group"]]
            across, up = zip(*points, strict=True)
            size = 9 if len(told["map"]) > 300 else 22
            axes.scatter(across, up, s=size, color=hue(group["group"]), linewidths=0, alpha=0.8)
            middle = median(across), median(up)
            nearest = min(points, key=lambda point: dist(point, middle))
            axes.text(
                *nearest, str(group["group"]), fontsize=11, fontweight="bold", ha="center", va="center",
                path_effects=[withStroke(linewidth=3, foreground=_INKS["paper"])],
            )  # fmt: skip
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_color(_INKS["line"])
            side.set_visible(True)

    names = "; ".join(f"{group['group']}: {group['name']}" for group in told["groups"])
    return _svg(draw, f"Map of {len(told['map']):,} personas in {len(told['groups'])} groups. {names}.", height=3.3)


def acceptance(told: Mapping[str, Any]) -> str:
    """The accepted share of each group with its interval, beside that of all."""
    groups = [group for group in told["groups"] if group["accepted_most"] is not None]

    def draw(axes: Any) -> None:
        axes.axvline(told["accepted"], color=_INKS["muted"], linewidth=0.9, linestyle=(0, (3, 2)))
        for place, group in enumerate(groups):
            colour = _INKS["reject" if group["below"] else "accept"]
            axes.plot(
                [group["accepted_least"], group["accepted_most"]], [place, place],
                color=colour, linewidth=2, solid_capstyle="round",
            )  # fmt: skip
            axes.plot(group["decisions"].get("accept", 0), place, "o", color=colour, markersize=5.5)
        axes.set_yticks(range(len(groups)), [f"{group['group']}  {_short(group['name'])}" for group in groups])
        axes.tick_params(axis="y", length=0, labelcolor=_INKS["ink"])
        axes.invert_yaxis()
        axes.set(xlabel=f"accepted share (all: {told['accepted']:.1%})", xlim=(-0.02, 1.02))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="x", visible=True)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)

    said = "; ".join(f"{one['name']} {one['decisions'].get('accept', 0):.1%}" for one in groups)
    return _svg(draw, f"Accepted share by group. {said}.", height=0.27 * len(groups) + 0.75)


def tokens(told: Mapping[str, Any]) -> str:
    """Tokens by stage, in the kinds and colours of TOKENS."""
    from matplotlib.ticker import MaxNLocator

    stages = {
        name: (took["cached_tokens"], took["prompt_tokens"] - took["cached_tokens"], took["completion_tokens"])
        for name, took in told["stages"].items()
        if took["prompt_tokens"] or took["completion_tokens"]
    }

    def draw(axes: Any) -> None:
        for place, parts in enumerate(stages.values()):
            left = 0
            for colour, part in zip(TOKENS.values(), parts, strict=True):
                axes.barh(place, part, left=left, height=0.62, color=_INKS[colour])
                left += part
        axes.set_yticks(range(len(stages)), list(stages))
        axes.tick_params(axis="y", length=0, labelcolor=_INKS["ink"])
        axes.invert_yaxis()
        axes.set(xlabel="tokens of the language model")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.spines["left"].set_visible(False)

    said = "; ".join(f"{name} {sum(parts):,}" for name, parts in stages.items())
    return _svg(draw, f"Tokens by stage. {said}.", height=0.32 * len(stages) + 0.6) if stages else ""


def hue(group: int) -> str:
    """The colour of a group."""
    return _HUES[(group - 1) % len(_HUES)]


def _tick(value: float, _: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _summed(told: Mapping[str, Any]) -> list[int]:
    return [sum(bar) for bar in zip(*told["counts"].values(), strict=True)]


def _short(name: str) -> str:
    words = ", ".join(name.split(", ")[:2])
    return words if len(words) <= 20 else words[:19] + "…"


_SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}
_STYLE: Any = {
    "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": _INKS["line"], "axes.labelcolor": _INKS["muted"],
    "text.color": _INKS["ink"], "xtick.color": _INKS["line"], "ytick.color": _INKS["line"],
    "xtick.labelcolor": _INKS["muted"], "ytick.labelcolor": _INKS["muted"], "xtick.labelsize": 8, "ytick.labelsize": 8,
    "axes.labelsize": 8.5, "axes.grid": True, "axes.grid.axis": "y", "grid.color": _INKS["line"],
    "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.linewidth": 0.8, "figure.facecolor": "none",
    "axes.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip


def _svg(draw: Callable[[Any], None], alt: str, height: float = 2.2) -> str:
    """A chart as an SVG element of the page, with a description in words."""
    import matplotlib as mpl
    from markupsafe import escape
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_tick)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(file.getvalue(), str(escape(alt)))


def _for_page(picture: str, alt: str) -> str:
    """The SVG without what only a separate file needs; its ids differ from those of other charts."""
    body = picture[picture.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    own = f"p{crc32(body.encode()):08x}"
    for name, ink in _INKS.items():
        body = body.replace(ink, f"var(--{name})")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", body)
    body = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{own}-", body)
    body = re.sub(r" font-family: [^;]*;| transform=\"rotate\(-0 [^)]*\)\"", "", body)
    body = re.sub(r">\s+<", "><", body)
    return re.sub(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{alt}">', body)
