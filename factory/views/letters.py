"""Dead letters on the terminal: how many by stage and reason, and some of them to read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.markup import escape
from rich.text import Text

from factory.store.dead_letters import DEAD_LETTERS, DeadLetter
from factory.store.records import place_of
from factory.views import cost as costview
from factory.views.display import out

_INDENT = 12
"""Columns before the text of a part."""


def show_letters(failures: Sequence[dict[str, Any]], letters: Sequence[DeadLetter]) -> None:
    """Print the counts (`factory.store.failures`), then these letters."""
    out.print(costview.failed(failures))
    for letter in letters:
        out.print()
        out.print(_title(letter))
        for name, text in _parts(letter):
            for number, line in enumerate(text.wrap(out, out.width - _INDENT) or [Text()]):
                out.print(f"  [dim]{'' if number else name:<{_INDENT - 2}}[/]", line, sep="")
    matching = sum(one["count"] for one in failures)
    out.print()
    if len(letters) < matching:
        out.print(f"{len(letters):,} of {matching:,}; more with --limit, others with --stage, --reason, --seed or --of")
    if any(one["kind"] == "row" for one in failures):
        out.print("to try failed rows again: factory run JOB --retry-failed")


def show_no_letters(failures: Sequence[dict[str, Any]]) -> None:
    """Say that none matches, and which there are."""
    if not failures:
        out.print("No dead letters.")
        return
    out.print("No dead letter matches. There are:")
    out.print(costview.failed(failures))


def print_letters(failures: Sequence[dict[str, Any]], letters: Iterable[DeadLetter]) -> None:
    """Print the counts and these letters as one JSON object, a line for each letter, as they come."""
    sys.stdout.write(f'{{"failures": {json.dumps(failures, ensure_ascii=False)},\n "letters": [')
    comma = ""
    for letter in letters:
        line = json.dumps(DEAD_LETTERS.dump_python([letter], mode="json")[0], ensure_ascii=False)
        sys.stdout.write(f"{comma}\n  {line}")
        comma = ","
    sys.stdout.write("\n]}\n")


def _title(letter: DeadLetter) -> str:
    what = f"{escape(f'{letter.stage}/{letter.reason}')}, {letter.failed_at:%Y-%m-%d %H:%M:%S} UTC"
    if letter.row_id is None:
        return f"[bold]{escape(place_of(letter.source, letter.line))}[/]  {what}"
    tries = f"{letter.attempts:,} attempt{'s' * (letter.attempts != 1)}"
    return f"[bold]{letter.row_id[:12]}[/]  {what}, {tries}"


def _parts(letter: DeadLetter) -> Iterator[tuple[str, Text]]:
    if letter.row_id is not None:
        seeds = ", ".join(letter.seed_ids)
        yield "seeds", _plain(f"{seeds} (the first: {place_of(letter.source, letter.line)})")
        cached = f" ({letter.cached_tokens:,} cached)" if letter.cached_tokens else ""
        yield (
            "spent",
            Text(
                f"{letter.calls:,} calls, {letter.prompt_tokens:,} prompt tokens{cached}, "
                f"{letter.completion_tokens:,} completion tokens"
            ),
        )
    yield "why", _plain(letter.detail)
    if letter.text is not None:
        yield "last text", _plain(letter.text) if letter.text.strip() else Text("(empty)", style="dim")


def _plain(text: str) -> Text:
    """The text, with what a terminal would take for a command written out."""
    return Text("".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text))
