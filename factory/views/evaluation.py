"""What a person sees of a model's evaluation: measures in rows, personas in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from factory.views.display import out

if TYPE_CHECKING:  # which imports torch
    from factory.training.eval_lm import Evaluation, Figure

_NAMES = {
    "perplexity": ("perplexity", ".2f"),
    "hits_at_1": ("hits@1 of 20", ".1%"),
    "f1": ("F1", ".1%"),
    "c_score": ("C score", ".2f"),
    "entailed_share": ("entailed", ".1%"),
    "contradicted_share": ("contradicting", ".1%"),
    "distinct_1": ("distinct-1", ".3f"),
    "distinct_2": ("distinct-2", ".3f"),
}


def show_evaluation(found: Evaluation) -> None:
    """Print the figures with their intervals, and what is to be known of them."""
    model = found.model + (f" with {found.adapter}" if found.adapter else "")
    data = found.data + ("" if found.version is None else f" (version {found.version})")
    out.print(f"{escape(model)} on {escape(data)}: {found.turns:,} turns of {found.dialogues:,} dialogues")
    table = Table("", "own persona", "a stranger's", "none", box=None, pad_edge=False, header_style="bold")
    for name, (title, form) in _NAMES.items():
        table.add_row(title, *(_cell(one, form) for one in found.figures[name].values()))
    out.print(table)
    out.print("in brackets: 95 %, by bootstrap over dialogues; *: other than with the own persona, beyond chance")
    drawn = found.turns - found.given
    others = f"{found.given:,} turns among the replies that came with them, {drawn:,} among some of other dialogues"
    out.print(
        "entailed, contradicting: shares of replies that some fact of the speaker entails, or that contradict one"
    )
    out.print(f"ranked: {others}; facts: those of the true speaker, by {escape(found.nli)}")
    if found.left_out:
        out.print("left out: " + escape(", ".join(f"{count:,} {why}" for why, count in found.left_out.items())))
    for one in found.replies:
        out.print()
        for who, text in one.items():
            out.print(f"[bold]{who:<9}[/]{escape(text)}")


def _cell(one: Figure, form: str) -> str:
    if one.value is None:
        return "-"
    ends = "" if one.least is None or one.most is None else f" ({one.least:{form}}–{one.most:{form}})"
    return f"{one.value:{form}}{ends}" + "*" * bool(one.differs)
