"""What the page says of a corpus at a glance: its key figures, what stands out, and what it is.

Limitations: what stands out is judged by fixed bounds, which are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factory.views.cells import counted, percent
from factory.views.measures import DECISIONS

_OFTEN = 0.2
"""Share of one opening, or one fact that a maker wrote, from which it is pointed out (ours)."""


def tiles(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The key figures: title, value, and what it is of."""
    about, decisions = figures["about"], figures["funnel"]["decisions"]
    decided = sum(number for name, number in decisions.items() if name != "undecided")
    near = figures["diversity"]["near_duplicates"]
    accepted = decisions.get("accept", 0) / decided if decided else None
    tiles = [
        ("dialogues", counted(about["rows"]), f"{about['imported']:,} imported" if about["imported"] else ""),
        (DECISIONS["accept"], percent(accepted), f"of {decided:,} decided"),
        ("personas", counted(about["personas"]), f"of {about['seeds']:,} seeds"),
        ("turns", counted(about["turns"]), f"{about['words']:,} words"),
    ]
    if written := about["tokens"]["completion"]:
        tiles.append(("tokens written", counted(written), "by the language model"))
    if near["share"] is not None:
        tiles.append(("near duplicates", percent(near["share"]), f"of {near['dialogues']:,} dialogues"))
    return tiles


def findings(figures: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """What to know first, and whether it needs attention."""
    found: list[tuple[str, bool]] = []
    groups, rows = figures["groups"], figures["funnel"]["rows"]
    below = [one for one in groups["groups"] if one["below"]]
    if below:
        named = "; ".join(f"{one['group']} ({one['name']})" for one in below)
        noun = "persona group" if len(below) == 1 else "persona groups"
        found.append((f"Accepted less often than the rest, by more than chance: {noun} {named}.", True))
    elif groups.get("accepted") is not None:
        found.append(("No persona group is accepted less often than the rest by more than chance.", False))
    if rows["failed"]:
        found.append((f"{rows['failed']:,} of {rows['wanted']:,} dialogues could not be made.", True))
    openings = figures["diversity"]["openings"]
    if openings["most"] and rows["made"] > 1:
        first = openings["most"][0]
        sentence = f"{percent(first['share'])} of {openings['dialogues']:,} dialogues open with “{first['text']}”."
        found.append((sentence, first["share"] >= _OFTEN))
    for origin, most in figures["diversity"]["facts"].items():
        first, share = most[0], percent(most[0]["share"])
        if origin != "seed":
            sentence = f"The most frequent fact from {origin} is “{first['text']}”: {share} of its personas have it."
            found.append((sentence, first["share"] >= _OFTEN and first["personas"] > 2))
    near = figures["diversity"]["near_duplicates"]
    if near["duplicates"]:
        found.append(
            (f"{near['duplicates']:,} of {near['dialogues']:,} dialogues are near duplicates of another one.", True)
        )
    for model, scores in figures["about"]["shared_nli"].items():
        sentence = f"{model} chose the text and also scores it ({', '.join(scores)}), which flatters these scores."
        found.append((f"{sentence} A second entry with another NLI model shows by how much.", True))
    return found


def facts(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the corpus is made of and by, as titles with values."""
    about, tokens = figures["about"], figures["about"]["tokens"]
    imported = f", of which {about['imported']:,} imported" if about["imported"] else ""
    told = [
        ("where", about["corpus"]),
        ("dialogues", counted(about["rows"]) + imported),
        ("stages", " → ".join(about["stages"])),
        ("models", ", ".join(about["models"])),
        (
            "tokens",
            f"{tokens['prompt']:,} in prompts ({tokens['cached']:,} of them cached), {tokens['completion']:,} written"
            if tokens["prompt"]
            else "",
        ),
        ("made with", ", ".join(f"{name} {version}" for name, version in about["made_with"].items())),
    ]
    return [(title, value) for title, value in told if value]


def sample_note(shown: int, rows: int) -> str:
    """Which of the corpus's dialogues are on the page; nothing if none are."""
    if not shown:
        return ""
    if shown == rows:
        return f"All {rows:,} dialogues of the corpus. A mark under a turn says what the turn contradicts."
    return (
        f"{shown:,} of the corpus's {rows:,} dialogues. Every decision and reason is among them, so rare ones are more "
        "frequent here than in the corpus. A mark under a turn says what the turn contradicts."
    )
