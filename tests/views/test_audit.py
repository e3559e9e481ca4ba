"""What was decided of each group of speakers, the widest spread first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from factory.base.intervals import wilson
from factory.cli import app
from factory.store.corpus import Corpus
from factory.store.records import Decision, Row, Speaker
from factory.store.table import CorpusError
from factory.views.audit import audit, show_audit
from tests.views.report.corpora import commit

DECISIONS: tuple[Decision, ...] = ("accept", "accept", "reject", "accept")


def a_row(number: int, decision: Decision | None, *roles: str | None) -> Row:
    speakers = [Speaker("s", "s", role=role) for role in roles]
    return Row(f"{number:032x}", "generated", 0, [], speakers, decision=decision)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Buyers and sellers, of whose dialogues 3 of 4 are accepted; and guides, of whose none are."""
    trade = [a_row(number, DECISIONS[number % 4], "buyer", "seller") for number in range(40)]
    guides = [a_row(number, "reject", "guide", "guide") for number in range(40, 60)]
    return commit(tmp_path / "corpus", [[*trade, *guides, a_row(60, None, "guide", None)]])


def with_attributes(root: Path, speakers: Sequence[Sequence[dict[str, str]]], decisions: Sequence[Decision]) -> Corpus:
    """A corpus whose speakers have attributes."""
    rows = []
    for number, (own, decision) in enumerate(zip(speakers, decisions, strict=True)):
        rows.append(a_row(number, decision))
        rows[-1].speakers = [Speaker("s", "s", attributes=one) for one in own]
    return commit(root, [rows])


def test_a_row_counts_once_for_each_group_of_its_speakers(corpus: Corpus) -> None:
    told = audit(corpus, ["role"])
    (roles,) = told["by"]
    assert (told["rows"], told["accepted"]) == (61, 0.5)
    assert [(one["group"], one["rows"], one["decided"]) for one in roles["groups"]] == [
        ("guide", 21, 20), ("buyer", 40, 40), ("seller", 40, 40), (None, 1, 0),
    ]  # fmt: skip
    guide, buyer, _, none = roles["groups"]
    assert guide["decisions"] == {"reject": 20 / 21, "undecided": 1 / 21}
    assert (guide["below"], guide["above"], buyer["below"], buyer["above"]) == (True, False, False, True)
    assert (buyer["accepted_least"], buyer["accepted_most"]) == wilson(30, 40, 1 - 0.05 / 4)
    assert (none["accepted"], none["accepted_most"]) == (None, None)
    assert roles["spread"] == 0.75


def test_the_widest_spread_comes_first_and_small_groups_make_none(tmp_path: Path) -> None:
    speakers = [
        [{"age": "30" if number else "99", "job": "sailor" if number % 2 else "cook"}, {"age": "30"}]
        for number in range(40)
    ]
    decisions: list[Decision] = ["reject", *("accept" if number % 2 else "reject" for number in range(1, 40))]
    told = audit(with_attributes(tmp_path, speakers, decisions), ["attributes.age", "attributes.job"])
    job, age = told["by"]
    assert (job["by"], job["spread"], age["by"], age["spread"]) == ("attributes.job", 1, "attributes.age", None)
    assert {one["group"]: one["rows"] for one in job["groups"]} == {"cook": 20, "sailor": 20, None: 40}
    assert {one["group"]: one["rows"] for one in age["groups"]} == {"99": 1, "30": 40}


def test_a_name_that_no_speaker_has_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"--by attributes.age: no speaker of this corpus has that; there are: role"):
        audit(corpus, ["attributes.age"])
    other = with_attributes(tmp_path / "other", [[{"gender": "f"}]], ["accept"])
    with pytest.raises(CorpusError, match=r"did you mean attributes.gender\?"):
        audit(other, ["attributes.gendre"])


def test_the_command_prints_the_spread_then_the_groups(corpus: Corpus) -> None:
    ran = CliRunner().invoke(app, ["audit", corpus.root, "--by", "role"])
    assert (ran.exit_code, ran.stdout.splitlines()[0]) == (0, "61 rows; 50.0% of decided rows are accepted")
    assert ran.stdout.index("role: a spread of 75.0 points in acceptance") < ran.stdout.index("below all rows")
    as_json = CliRunner().invoke(app, ["audit", corpus.root, "--by", "role", "--json"])
    assert json.loads(as_json.stdout) == audit(corpus, ["role"])


def test_of_many_groups_the_largest_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speakers = [[{"age": str(number % 30)}] for number in range(60 + 15)]
    told = audit(with_attributes(tmp_path, speakers, ["accept"] * 75), ["attributes.age"])
    show_audit(told, Console(width=200))
    printed = capsys.readouterr().out
    assert "no two groups have 10 decided rows" in printed
    assert "and 10 smaller groups: --json tells them all" in printed
