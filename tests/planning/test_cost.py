from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from factory.engines import Reply, Request
from factory.planning.cost import cost, under_way
from factory.store.corpus import Corpus
from factory.store.dead_letters import DEAD_LETTER_SCHEMA
from factory.store.records import Extraction, Row, SeedRef, Speaker, StageRecord, rows_to_table
from tests.rehearsal import Rehearsal, Talker, job_in, letters_of, rows_of, some_personas, write_seeds


class Stutterer(Talker):
    """Says nothing at every third request, and finds a third of a prompt in its cache."""

    async def generate(self, request: Request) -> Reply:
        reply = await super().generate(request)
        silent = len(self.requests) % 3 == 0
        said = tuple(replace(one, text="" if silent else one.text) for one in reply.completions)
        return replace(reply, completions=said, cached_tokens=reply.prompt_tokens // 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Row], dict[str, Any]]:
    """Rows, some of which were refused, and what they cost."""
    folder = tmp_path_factory.mktemp("cost")
    write_seeds(folder, some_personas(30))
    job = job_in(
        folder,
        "makers.converse.attempts=4",
        "makers.extract.min_similarity=0",
        "select.reject.contradicts_persona=consistency.contradiction >= 0.4",
        "select.flag.may_contradict=consistency.contradiction >= 0.3",
        "select.reject.contradicts_itself=consistency.self_contradiction >= 0.3",
        "select.flag.may_contradict_itself=consistency.self_contradiction >= 0.2",
    )
    Rehearsal(talker=Stutterer()).run(job)
    return list(rows_of(job).values()), cost_of(Corpus(job.corpus))


def cost_of(corpus: Corpus) -> dict[str, Any]:
    return cost(corpus.scan(), corpus.scan_dead_letters())


def computed(record: StageRecord) -> int:
    return record.prompt_tokens - record.cached_tokens + record.completion_tokens


def tokens(row: Row) -> int:
    return sum(map(computed, row.stages))


def test_stages_cost_what_their_records_say(made: tuple[list[Row], dict[str, Any]]) -> None:
    rows, told = made
    names = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens")
    for stage, took in told["stages"].items():
        records = [record for row in rows for record in row.stages if record.stage == stage]
        assert took["rows"] == len(rows) == len(records)
        assert [took[name] for name in names] == [sum(getattr(one, name) for one in records) for name in names]
    assert list(told["stages"]) == [record.stage for record in rows[0].stages]
    accepted = sum(row.decision == "accept" for row in rows)
    of_all = sum(told["per_accepted"].values()) * accepted
    assert 0 < accepted < len(rows)
    assert of_all == pytest.approx(sum(map(tokens, rows)))
    assert {decision: one["rows"] for decision, one in told["decisions"].items()} == Counter(r.decision for r in rows)


def test_a_refused_row_counts_for_each_reason_and_once_in_all(made: tuple[list[Row], dict[str, Any]]) -> None:
    rows, told = made
    assert any(len(row.reasons) > 1 for row in rows)
    for one in told["reasons"]:
        with_it = [row for row in rows if row.decision == one["decision"] and one["reason"] in row.reasons]
        alone = [row for row in with_it if len(row.reasons) == 1]
        assert (one["rows"], one["tokens"]) == (len(with_it), sum(map(tokens, with_it)))
        assert (one["rows_alone"], one["tokens_alone"]) == (len(alone), sum(map(tokens, alone)))
    assert {one["decision"] for one in told["reasons"]} == {"reject", "flag"}
    for decision, one in told["decisions"].items():
        assert one["tokens"] == sum(tokens(row) for row in rows if row.decision == decision)


def test_gates_and_turns_without_a_line_share_what_extraction_took(made: tuple[list[Row], dict[str, Any]]) -> None:
    rows, told = made
    shares: Counter[str] = Counter()
    for row in rows:
        (record,) = (record for record in row.stages if record.stage == "extract")
        with_lines = {line.turn for line in row.extracted}
        for line in row.extracted:
            shares[line.gate] += computed(record) / record.calls * len(with_lines) / len(row.extracted)  # type: ignore[assignment]
    assert {"accepted", "similarity"} <= shares.keys()
    assert {gate: one["tokens"] for gate, one in told["gates"].items()} == pytest.approx(shares, abs=1)
    without = told["turns_without_a_line"]
    assert without["turns"] == sum(len(row.turns) - len({line.turn for line in row.extracted}) for row in rows) > 0
    extraction = sum(computed(record) for row in rows for record in row.stages if record.stage == "extract")
    assert sum(shares.values()) + without["tokens"] == pytest.approx(extraction, abs=1)


def test_a_turn_that_the_model_was_not_asked_about_cost_nothing() -> None:
    lines = [Extraction(0, 0, "", "telling"), Extraction(1, 1, "I ski.", "accepted"), Extraction(0, 2, "", "telling")]
    record = StageRecord("extract", "r", "f", calls=2, prompt_tokens=30, completion_tokens=10)
    row = Row("r", "imported", 0, [], [], extracted=lines, stages=[record])
    rows, letters = (
        pl.DataFrame(table).lazy() for table in (rows_to_table([row], {}), DEAD_LETTER_SCHEMA.empty_table())
    )
    found = cost(rows, letters)
    assert found["gates"] == {
        "telling": {"lines": 2, "tokens": 0},
        "accepted": {"lines": 1, "tokens": 20},
    }
    assert found["turns_without_a_line"] == {"turns": 1, "tokens": 20}


def test_attempts_that_were_thrown_away_are_told(made: tuple[list[Row], dict[str, Any]]) -> None:
    rows, told = made
    turns = [turn for row in rows for turn in row.turns if turn.attempts > 1]
    lost = [
        (turn.prompt_tokens - turn.cached_tokens + turn.completion_tokens) * (turn.attempts - 1) / turn.attempts
        for turn in turns
    ]
    assert told["attempts_again"]["attempts"] == sum(turn.attempts - 1 for turn in turns) > 0
    assert told["attempts_again"]["tokens"] == pytest.approx(sum(lost), abs=1)


def test_what_lies_between_spans_is_not_under_way() -> None:
    spans = pl.DataFrame({"by": list("aaaab"), "start": [5.0, 0.0, 1.0, 0.5, 9.0], "end": [6.0, 2.0, 3.0, 1.0, 9.5]})
    assert under_way(spans, "by") == {"a": 4.0, "b": 0.5}


def test_stages_were_under_way_while_some_row_was_in_them(tmp_path: Path) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        Row(
            str(number), "generated", 0, [SeedRef("s", ["f", "t", "a"], "a", 1)], [Speaker("s", "s")],
            stages=[
                StageRecord("converse", "r", "f", started_at=began + timedelta(seconds=start), seconds=10),
                StageRecord("select", "r", "f", started_at=began + timedelta(seconds=start + 10), seconds=0.001),
            ],
        )
        for number, start in enumerate((0.0, 0.5, 4.0, 100.0))
    ]  # fmt: skip
    corpus = Corpus(str(tmp_path))
    corpus.table.commit([corpus.table.write(rows_to_table(rows, {}))], [], "made")
    told = cost_of(corpus)
    assert told["stages"]["converse"]["under_way_s"] == pytest.approx(24, abs=0.01)
    assert told["stages"]["select"]["under_way_s"] == pytest.approx(0.004, abs=0.001)
    assert told["per_accepted"] is None


def test_what_went_into_dead_letters_is_in_the_total(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(8))
    rehearsal, job = Rehearsal(), job_in(tmp_path)
    rehearsal.talker.mute = {"*p5*"}
    rehearsal.run(job)
    told, letters = cost_of(Corpus(job.corpus)), letters_of(job).values()
    assert told["dead_letters"]["rows"] == len(letters) > 0
    for name in ("calls", "prompt_tokens", "cached_tokens", "completion_tokens"):
        failed = sum(getattr(letter, name) for letter in letters)
        made = sum(getattr(record, name) for row in rows_of(job).values() for record in row.stages)
        assert (told["dead_letters"][name], told["total"][name]) == (failed, failed + made)
    assert told["total"]["calls"] == len(rehearsal.talker.requests)
    accepted = told["decisions"]["accept"]["rows"]
    assert told["per_accepted"]["completion_tokens"] == told["total"]["completion_tokens"] / accepted


def test_a_corpus_of_dead_letters_cost_what_they_did(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    rehearsal, job = Rehearsal(), job_in(tmp_path)
    rehearsal.talker.mute = {"pets"}
    rehearsal.run(job)
    told = cost_of(Corpus(job.corpus))
    assert (told["stages"], told["reasons"], told["gates"]) == ({}, [], {})
    assert told["total"]["calls"] == told["dead_letters"]["calls"] == len(rehearsal.talker.requests)
    assert (told["total"]["under_way_s"], told["attempts_again"]["attempts"]) == (0, 0)
