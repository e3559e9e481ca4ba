from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from factory.views import letters as letterview
from tests.views.report.corpora import letter

FAILED = {"stage": "converse", "reason": "turn_empty", "kind": "row", "count": 1}
FAILED |= dict.fromkeys(("calls", "prompt_tokens", "completion_tokens"), 7)


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> str:
    monkeypatch.setattr(letterview, "out", Console(soft_wrap=True, width=60, highlight=False))
    letterview.show_letters([FAILED], [replace(letter(1, row=True), **changes)])
    return capsys.readouterr().out


def test_a_long_text_is_wrapped_under_its_beginning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "a word and another " * 20
    lines = shown(capsys, monkeypatch, text=text).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  last text "))
    first, *rest = lines[start : lines.index("", start)]
    assert max(map(len, (first, *rest))) <= 60
    assert len(rest) > 3
    assert all(line.startswith(" " * 12) for line in rest)
    assert " ".join(line[12:].strip() for line in (first, *rest)) == text.strip()


def test_what_a_terminal_would_obey_is_written_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shown(capsys, monkeypatch, text="one\x1b[31m\ttwo\r\n[bold]three[/bold]", detail="[red]\x07")
    assert "one\\x1b[31m\\ttwo\\r\n            [bold]three[/bold]" in said
    assert "[red]\\x07" in said
    assert not {"\x1b", "\x07", "\r"} & set(said)


def test_an_empty_text_is_told_from_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "last text (empty)" in shown(capsys, monkeypatch, text=" \n")
    assert "last text" not in shown(capsys, monkeypatch, text=None)
