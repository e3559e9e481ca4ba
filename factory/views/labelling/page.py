"""The page on which a person labels pairs: one HTML file that loads nothing else.

What comes from the corpus is data that the script sets as text; a policy in the page forbids the network and any script
but its own. Limitations: browsers older than 2023 are not supported; one browser keeps the labels of one person.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from factory.models import short
from factory.training.labelled import PERSON
from factory.views.labelling.drawing import Drawn, DrawnPair

_HERE = Path(__file__).parent
_BEFORE = 6
"""Turns before the one that is judged that are shown as its context."""


def page(drawn: Drawn) -> str:
    """The page for a sample; its data are the records and what the script shows of the dialogues."""
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("factory.views.labelling", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        name=short(drawn.corpus.rstrip("/")),
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
        draw=drawn.id,
        command=drawn.command,
        data={"draw": drawn.id, "labelled_by": PERSON, "pairs": [_shown(pair) for pair in drawn.pairs]},
    )


def _shown(pair: DrawnPair) -> dict[str, Any]:
    one, row = pair.stored.pair, pair.row
    who = "AB"[one.speaker]
    said = f"Turn {one.turn + 1}, said by {who}"
    of_turns = one.check in ("turn_persona", "turn_turn")
    first = f"A fact about {who}"
    if one.check == "turn_turn":
        first = f"Turn {(one.other or 0) + 1}, said by {who}"
    elif one.check == "extracted_extracted":
        first = f"A fact read off a turn of {who}"
    return {
        "record": pair.record,
        "first": first,
        "second": said if of_turns else f"A fact read off turn {one.turn + 1} of {who}",
        "context": [
            {"speaker": "AB"[turn.speaker], "text": turn.text, "judged": number == one.turn}
            for number, turn in enumerate(row.turns[: one.turn + 1])
            if number >= one.turn - _BEFORE
        ],
    }
