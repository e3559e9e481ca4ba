"""What was decided of each group of speakers, the widest spread first."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from factory.base.intervals import wilson
from factory.cli import app
from factory.methods import struct_of
from factory.methods.scores.screen import Screen
from factory.store.corpus import Corpus
from factory.store.records import Decision, Row, Speaker, StageRecord, rows_to_table
from factory.store.table import CorpusError
from factory.views.audit import audit, show_audit
from factory.views.hits import Reason, compared
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


def hit_by(told: dict[str, Any], reason: str, rate: str) -> dict[str, Any]:
    (one,) = (one for one in told["by"][0]["hits"] if (one["reason"], one["rate"]) == (reason, rate))
    return one


def apart(told: dict[str, Any], reason: str, rate: str = "deleted") -> dict[str, str]:
    """The groups that are named, and where they lie."""
    groups = hit_by(told, reason, rate)["groups"]
    return {one["group"]: "above" if one["above"] else "below" for one in groups if one["above"] or one["below"]}


def test_each_reason_has_both_rates_of_each_group(tmp_path: Path) -> None:
    rows = [a_row(number, "reject" if number < 30 else "accept", "buyer", "seller") for number in range(60)]
    rows += [a_row(number, "flag" if number < 70 else "accept", "guide", "guide") for number in range(60, 100)]
    for row in rows:
        row.reasons = {"reject": ["rude"], "flag": ["odd", "rude"]}.get(row.decision or "", [])
    told = audit(commit(tmp_path / "c", [[*rows, a_row(100, None, "guide", None)]]), ["role"])
    hit, deleted = hit_by(told, "rude", "hit"), hit_by(told, "rude", "deleted")
    assert {one["group"]: (one["rows"], one["share"]) for one in hit["groups"]} == {
        "buyer": (30, 0.5), "seller": (30, 0.5), "guide": (10, 0.25),
    }  # fmt: skip
    assert {one["group"]: one["rows"] for one in deleted["groups"]} == {"buyer": 30, "seller": 30, "guide": 0}
    assert (hit["spread"], deleted["spread"], hit["rows"], deleted["rows"]) == (0.25, 0.5, 40, 30)
    assert [one["rate"] for one in told["by"][0]["hits"] if one["reason"] == "odd"] == ["hit"]
    buyer = next(one for one in hit["groups"] if one["group"] == "buyer")
    assert (buyer["least"], buyer["most"]) == wilson(30, 60, 1 - 0.05 / 16)  # four groups, two reasons, two rates


def test_a_column_with_a_category_hits_where_it_is_not_0(tmp_path: Path) -> None:
    rows = [a_row(number, "accept", "buyer" if number % 2 else "guide", "seller") for number in range(80)]
    for number, row in enumerate(rows):
        row.scores["screen"] = dict.fromkeys((one.name for one in Screen.columns), 0)
        row.scores["screen"]["personal_data"] = 2 if number % 2 and number % 4 == 1 else 0
        row.stages = [StageRecord("screen", "r" * 32, "f")]
    corpus, columns = Corpus(str(tmp_path / "c")), {"screen": struct_of(Screen.columns)}
    corpus.table.shards()
    corpus.table.grow(columns, "0")
    corpus.table.commit([corpus.table.write(rows_to_table(rows, columns))], [], "80 rows made")
    told = audit(corpus, ["role"])
    assert apart(told, "screen.personal_data", "hit") == {"buyer": "above", "guide": "below"}
    assert hit_by(told, "screen.personal_data", "hit")["category"] == "safety"
    assert [(one["reason"], one["rate"]) for one in told["by"][0]["hits"]] == [("screen.personal_data", "hit")]


def drawn(chance: random.Random, rates: dict[str, float], rows: int) -> list[dict[str, Any]]:
    """How many rows of equal groups are decided, hit and deleted, each deleted with the rate of its group."""
    each = rows // len(rates)
    deleted = {name: sum(chance.random() < rate for _ in range(each)) for name, rate in rates.items()}
    return [{"group": name, "decided": each, "hit 0": n, "deleted 0": n} for name, n in deleted.items()]


def named(groups: list[dict[str, Any]]) -> set[str]:
    total = {name: sum(one[name] for one in groups) for name in ("decided", "hit 0", "deleted 0")}
    told = compared(groups, total, [Reason("biased", None, {"hit": pl.lit(1), "deleted": pl.lit(1)})], 10)
    return {one["group"] for rate in told for one in rate["groups"] if one["above"]}


@pytest.mark.parametrize("groups", [2, 3, 8])
def test_a_screen_that_deletes_a_group_three_times_as_often_is_named_and_equal_rates_are_not(groups: int) -> None:
    chance = random.Random(groups)
    names = [f"g{number}" for number in range(groups)]
    equal = [named(drawn(chance, dict.fromkeys(names, 0.05), 1000)) for _ in range(200)]
    assert sum(map(bool, equal)) <= 10
    biased = [named(drawn(chance, dict.fromkeys(names, 0.1) | {"g0": 0.3}, 1000)) for _ in range(200)]
    assert sum("g0" in found for found in biased) >= 190


def test_the_command_names_the_group_that_a_reason_hits(tmp_path: Path) -> None:
    rows = [a_row(number, "accept", "buyer" if number % 2 else "guide", None) for number in range(1000)]
    for number, row in enumerate(rows):
        if number % 20 in (1, 2, 3, 5):
            row.decision, row.reasons = "reject", ["rude"]
    corpus = commit(tmp_path / "c", [rows])
    printed = CliRunner().invoke(app, ["audit", corpus.root, "--by", "role"], env={"COLUMNS": "200"}).stdout
    (line,) = (line for line in printed.splitlines() if line.startswith("rude    deleted"))
    assert " 200   20.0 points  buyer 30.0% (" in line
    assert "above the" in line
    assert "guide 10.0% (" in printed[printed.index(line) :]
