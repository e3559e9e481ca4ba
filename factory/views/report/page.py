"""The page: figures and a sample of dialogues as one HTML file that loads nothing else.

What comes from the corpus is escaped by the template or set as text by the script; a policy in the page forbids the
network and any script but its own. Limitations: browsers older than 2023 are not supported.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from factory.views.report import plots, tables

_HERE = Path(__file__).parent
_PARTS = {
    "corpus": ("Corpus", "The corpus"),
    "funnel": ("Funnel", "From seeds to accepted dialogues"),
    "distributions": ("Distributions", "Distributions"),
    "diversity": ("Diversity", "Diversity and collapse"),
    "groups": ("Persona groups", "Persona groups"),
    "failed": ("Failed", "What failed"),
    "cost": ("Cost", "Cost"),
    "changes": ("Changes", "What changed"),
    "dialogues": ("Dialogues", "Dialogues"),
}
"""The sections in the order of the page: their names in the navigation, and their headings."""


def page(told: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """The page of these figures (`factory.views.report.figures`) and what its browser of dialogues needs
    (`factory.views.report.browser`)."""
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("factory.views.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html.j2").render(
        parts=_PARTS,
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
        data=_embedded(shown),
        made_by=f"Made by persona-factory {version('persona-factory')}; the figures as JSON are beside this page.",
        plots=_plots(told),
        funnel=plots.funnel(told["funnel"]),
        map=plots.personas(told["groups"]) if told["groups"]["groups"] else "",
        acceptance=plots.acceptance(told["groups"]) if told["groups"].get("accepted") is not None else "",
        tokens=plots.tokens(told["cost"]),
        token_kinds=plots.TOKENS,
        **tables.told(told, len(shown["dialogues"])),
    )


def _plots(told: Mapping[str, Any]) -> list[dict[str, str]]:
    thresholds = told["about"]["thresholds"]
    return [
        plots.distribution(name, one, thresholds.get(one["column"], ())) for name, one in told["distributions"].items()
    ]


def _breakable(name: str) -> Markup:
    """A name that may be broken after dots and underscores."""
    return Markup("<wbr>").join(re.split(r"(?<=[._])(?=\w)", name))


def _embedded(value: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: nothing in it ends one or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
