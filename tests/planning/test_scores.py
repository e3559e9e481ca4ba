"""Scores that come, go, fail and stand beside others of their method."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from factory.planning.diff import diff
from factory.planning.plan import plan
from factory.scorers.nli import Probabilities
from factory.spec.job import Job
from factory.store.corpus import Corpus, CorpusError
from factory.store.records import Row, StageRecord
from factory.store.versions import log
from tests.rehearsal import HashNli, Rehearsal, job_in, letters_of, rows_of, settled, some_personas, write_seeds

STRICT = "scores.strict={method: consistency, relevance: 0.5, turn_relevance: 0.5}"
NO_SCORE = ("scores.consistency=null", "select={}")
PERSONAS = 6


class Refusing(HashNli):
    """Fails at texts that hold a word."""

    def __init__(self, *words: str) -> None:
        super().__init__()
        self.words = set(words)

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        found = await super().score(pairs)
        if any(word in text for word in self.words for pair in pairs for text in pair):
            raise ValueError("this text is too long")
        return found


def record_of(row: Row, entry: str) -> StageRecord:
    return next(record for record in row.stages if record.stage == entry)


def made(folder: Path, *overrides: str) -> tuple[Job, dict[str, Row]]:
    """A job whose corpus is finished, and its rows."""
    write_seeds(folder, some_personas(PERSONAS))
    job = job_in(folder, *overrides)
    Rehearsal().run(job)
    return job, rows_of(job)


def test_a_value_of_another_type_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    job, _ = made(tmp_path)
    corpus = Corpus(job.corpus)
    corpus.table.shards()
    corpus.table.grow({"strict": pa.struct([("contradiction", pa.string())])}, "another version of the method")
    with pytest.raises(CorpusError, match="strict.contradiction is stored as string, and would now be double"):
        plan(job_in(tmp_path, STRICT))


def test_two_scores_of_one_method_have_a_column_each(tmp_path: Path) -> None:
    job, rows = made(tmp_path, STRICT, "models.other={kind: nli, name: org/other}", "scores.strict.nli=other")
    for row in rows.values():
        assert row.scores.keys() == {"consistency", "strict"}
        assert row.scores["consistency"]["pairs"] > row.scores["strict"]["pairs"]  # type: ignore[operator]
        assert Counter(detail.score for detail in row.details).keys() <= {"consistency", "strict"}
        assert len({record_of(row, name).recipe for name in row.scores}) == 2
        assert record_of(row, "strict").models[-1].startswith("org/other@")
    frame = Corpus(job.corpus).scan().collect()
    assert frame.schema["strict"] == frame.schema["consistency"]


def test_a_score_that_fails_is_null_with_its_reason_and_tried_again_only_when_asked(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(PERSONAS))
    job = job_in(tmp_path, STRICT, "makers.expand=null", "makers.augment=null", "run.rows_per_shard=4")
    rehearsal = Rehearsal(nli=Refusing("*p1*"))
    rehearsal.run(job)
    rows = rows_of(job)
    failed = {key for key, row in rows.items() if "p1" in {seed.id for seed in row.seeds}}
    assert (len(rows), letters_of(job)) == (PERSONAS, {})
    for key, row in rows.items():
        record = record_of(row, "consistency")
        assert record.failed == ("fault: ValueError: this text is too long" if key in failed else None)
        assert ("consistency" in row.scores) == (key not in failed)
        assert (row.decision, row.reasons) == ("flag", ["not_scored"]) or key not in failed
    assert all(("strict" in row.scores) == (record_of(row, "strict").failed is None) for row in rows.values())

    asked = len(rehearsal.nli.asked)
    rehearsal.run(job)
    assert (settled(job), len(rehearsal.nli.asked), rows_of(job)) == (True, asked, rows)

    again = plan(job, retry_failed=True).summary
    failures = [(key, record) for key, row in rows.items() for record in row.stages if record.failed]
    assert again.remake.total() == len({key for key, _ in failures}) == len(failed)
    assert again.calls == Counter(record.stage for _, record in failures)
    assert all(why.endswith("failed before") for why in again.reasons["consistency"])
    rehearsal.run(job, retry_failed=True)
    assert len(rehearsal.nli.asked) == asked + len(failures), "they fail once more"

    rehearsal.nli = HashNli()
    rehearsal.run(job, retry_failed=True)
    after = rows_of(job)
    assert (rehearsal.talker.requests[2 * PERSONAS * 3 :], len(rehearsal.nli.asked)) == ([], len(failures))
    assert not [record for row in after.values() for record in row.stages if record.failed]
    assert {key for key in rows if rows[key] != after[key]} == failed
    assert all("not_scored" not in row.reasons for row in after.values())
    assert plan(job, retry_failed=True).summary.rows == 0


def test_a_row_keeps_what_a_score_found_that_is_dropped_and_gets_it_back_for_nothing(tmp_path: Path) -> None:
    job, rows = made(tmp_path, STRICT)
    rehearsal = Rehearsal()
    without = job_in(tmp_path)
    assert settled(without)
    rehearsal.run(without)
    rehearsal.run(job_in(tmp_path, "scores.third={method: consistency, relevance: 0.9}"))
    for key, row in rows_of(without).items():
        assert row.scores["strict"] == rows[key].scores["strict"]
        assert record_of(row, "strict") == record_of(rows[key], "strict")
    asked = len(rehearsal.nli.asked)
    assert asked == PERSONAS, "those of the third score"
    rehearsal.run(job)
    assert settled(job)
    assert (len(rehearsal.nli.asked), rehearsal.talker.requests) == (asked, [])


def test_what_a_dropped_score_found_goes_when_a_maker_is_redone(tmp_path: Path) -> None:
    job, _ = made(tmp_path, STRICT)
    Rehearsal().run(job_in(tmp_path, "makers.converse.turns=4"))
    for row in rows_of(job).values():
        assert row.scores.keys() == {"consistency"}
        assert {detail.score for detail in row.details} <= {"consistency"}
        assert "strict" not in {record.stage for record in row.stages}
    assert plan(job_in(tmp_path, STRICT, "makers.converse.turns=4")).summary.remake == {"strict": PERSONAS}


def test_what_a_dropped_score_found_goes_when_its_seed_is_edited(tmp_path: Path) -> None:
    dialogue = {"id": "d", "turns": ["I ski.", "I cook."], "personas": [["I have skis."], ["I cook."]]}
    write_seeds(tmp_path, {})
    (tmp_path / "seeds" / "a.jsonl").write_text(json.dumps(dialogue))
    scored, dropped = job_in(tmp_path, "makers={}"), job_in(tmp_path, "makers={}", *NO_SCORE)
    Rehearsal().run(scored)
    (tmp_path / "seeds" / "a.jsonl").write_text(json.dumps(dialogue | {"personas": [["I sold my skis."], []]}))
    Rehearsal().run(dropped)
    (row,) = rows_of(dropped).values()
    assert (row.scores, row.details) == ({}, [])
    assert [speaker.facts_of("seed") for speaker in row.speakers] == [["I sold my skis."], []]
    rehearsal = Rehearsal()
    rehearsal.run(scored)
    assert len(rehearsal.nli.asked) == 1


def test_a_maker_that_is_left_out_is_not_heard_by_those_that_are_redone(tmp_path: Path) -> None:
    _, rows = made(tmp_path)
    expanded = {
        fact.text for row in rows.values() for one in row.speakers for fact in one.facts if fact.origin == "expand"
    }
    job, rehearsal = job_in(tmp_path, "makers.expand=null"), Rehearsal()
    rehearsal.run(job)
    said = " ".join(message["content"] for request in rehearsal.talker.requests for message in request.messages)
    assert expanded
    assert not [text for text in expanded if text in said]
    assert not [one for row in rows_of(job).values() for one in row.speakers if one.facts_of("expand")]


def test_a_score_that_is_added_redoes_nothing_else(tmp_path: Path) -> None:
    job, _ = made(tmp_path)
    before = log(Corpus(job.corpus))[0].version
    rehearsal, more = Rehearsal(), job_in(tmp_path, STRICT)
    rehearsal.run(more)
    corpus = Corpus(job.corpus)
    told = diff(corpus, before, log(corpus)[0].version).select("what", "why")
    assert Counter(told.iter_rows()) == {("redone: strict", "strict added"): PERSONAS}
    tables = [corpus.table.read(shard) for shard in corpus.table.shards()]
    assert all(pa.types.is_struct(table.schema.field("strict").type) for table in tables)


def test_rows_that_were_made_in_two_ways_are_told_in_one_line(tmp_path: Path) -> None:
    plain = "makers.augment=null"  # whose donors change as personas come, and with them all rows
    made(tmp_path, plain, STRICT)
    write_seeds(tmp_path, some_personas(2 * PERSONAS))
    Rehearsal().run(job_in(tmp_path, plain))
    rows = rows_of(job_in(tmp_path, plain))
    assert len({tuple(record.stage for record in row.stages) for row in rows.values()}) == 2
    planned = plan(job_in(tmp_path, plain, "scores.consistency.relevance=0.45")).summary
    assert planned.reasons["consistency"] == {"consistency.relevance": len(rows)}
