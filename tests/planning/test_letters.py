from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from factory.engines import EngineDeadError, Reply, Request, RequestError
from factory.methods.makers.extract import ExtractParams
from factory.planning.garbage import gc
from factory.scorers.nli import Probabilities
from factory.store.corpus import Corpus
from factory.store.dead_letters import DeadLetter
from factory.store.failures import Only
from factory.store.records import StageRecord
from factory.store.versions import log, restore
from tests.rehearsal import (
    HashNli,
    Rehearsal,
    Talker,
    job_in,
    letters_of,
    rows_of,
    settled,
    some_personas,
    write_seeds,
)


def bad_seeds(corpus: str) -> list[tuple[int, str]]:
    return sorted((letter.line, letter.reason) for letter in Corpus(corpus).dead_letters() if letter.row_id is None)


def test_unreadable_seeds_are_those_of_the_last_reading(tmp_path: Path) -> None:
    write_seeds(tmp_path, {"bad": []} | some_personas(3) | {"worse": [""]})
    job = job_in(tmp_path)
    Rehearsal().run(job)
    assert bad_seeds(job.corpus) == [(1, "empty"), (5, "empty")]
    version = Corpus(job.corpus).dead.shards()
    Rehearsal().run(job)
    assert Corpus(job.corpus).dead.shards() == version
    write_seeds(tmp_path, some_personas(3))
    Rehearsal().run(job)
    assert bad_seeds(job.corpus) == []


def test_each_unreadable_session_of_a_row_has_a_letter(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3))
    short = [{"speaker": "Ann", "text": "Hey!"}]
    row = {"id": "talks", "conversation": {"session_1": short, "session_2": short, "session_3": "no list"}}
    (tmp_path / "seeds" / "b.jsonl").write_text(json.dumps(row), encoding="utf-8")
    job = job_in(tmp_path)
    Rehearsal().run(job)
    assert bad_seeds(job.corpus) == [(1, "speakers"), (1, "speakers"), (1, "wrong_type")]


def test_a_letter_goes_when_its_row_is_no_longer_wanted(tmp_path: Path) -> None:
    personas, rehearsal = some_personas(6), Rehearsal()
    write_seeds(tmp_path, personas)
    job = job_in(tmp_path)
    rehearsal.talker.mute = {"*p4*"}
    rehearsal.run(job)
    assert letters_of(job)
    del personas["p4"]
    write_seeds(tmp_path, personas)
    rehearsal.run(job)
    assert not letters_of(job)
    assert settled(job)


def test_a_row_that_fails_anew_leaves_the_corpus_for_the_letters(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(5))
    rehearsal = Rehearsal()
    rehearsal.run(job_in(tmp_path))
    before = rows_of(job_in(tmp_path))
    rehearsal.talker.mute = {"*p1*"}
    job = job_in(tmp_path, "makers.converse.turns=4")
    rehearsal.run(job)
    assert letters_of(job)
    assert rows_of(job).keys() | letters_of(job).keys() == before.keys()
    assert not rows_of(job).keys() & letters_of(job).keys()
    assert settled(job)
    rehearsal.talker.mute = set()
    rehearsal.run(job_in(tmp_path))
    assert not letters_of(job)
    assert rows_of(job).keys() == before.keys()


def spent(costs: Iterable[DeadLetter | StageRecord]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*((one.calls, one.prompt_tokens, one.completion_tokens) for one in costs), strict=True)))


class Refusing(Talker):
    """Refuses the first of the three turns of each dialogue that facts are to be read off, and answers the others
    later."""

    def __init__(self) -> None:
        super().__init__()
        self._turns = 0

    async def generate(self, request: Request) -> Reply:
        if request.sampling == ExtractParams().sampling:
            self._turns += 1
            if self._turns % 3 == 1:
                self.requests.append(request)
                raise RequestError("prompt too long")
            for _ in range(9):
                await asyncio.sleep(0)
        return await super().generate(request)


def test_letters_add_up_to_what_the_engine_was_asked_in_all_tries(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job = job_in(tmp_path, "makers.converse.attempts=2", "run.dialogues_in_flight=1")
    rehearsal = Rehearsal(talker=Refusing())
    talker = rehearsal.talker
    talker.mute = {"*p1*"}
    attempts = {"turn_empty": 2, "request": 1}
    for tries in (1, 2):
        rehearsal.run(job, retry_failed=True)
        letters = letters_of(job).values()
        assert {letter.reason: letter.attempts for letter in letters} == {
            reason: tries * count for reason, count in attempts.items()
        }
        completions = sum(said.tokens for reply in talker.replies for said in reply.completions)
        prompts = sum(reply.prompt_tokens for reply in talker.replies)
        assert spent(letters) == (len(talker.requests), prompts, completions)
        assert all(letter.text == "" for letter in letters if letter.reason == "turn_empty")
    assert not rows_of(job)


def test_rows_and_letters_together_have_what_the_engine_was_asked(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(9))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*p1*", "*p4*"}
    rehearsal.run(job)
    rehearsal.run(job, retry_failed=True)
    assert rows_of(job)
    assert letters_of(job)
    costs = [*letters_of(job).values(), *(record for row in rows_of(job).values() for record in row.stages)]
    assert spent(costs)[0] == len(rehearsal.talker.requests)


READER = ("models.reader={engine: vllm, name: org/reader}", "makers.extract.model=reader")
"""Overrides by which facts are read off in a second phase."""


class BrokenReader(Talker):
    """Raises an error where facts are to be read off."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def generate(self, request: Request) -> Reply:
        if request.sampling == ExtractParams().sampling:
            raise self.error
        return await super().generate(request)


def test_a_row_that_fails_late_has_what_the_phase_before_took(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job, rehearsal = job_in(tmp_path, *READER), Rehearsal(talker=BrokenReader(ValueError("odd shape")))
    rehearsal.run(job)
    letters = letters_of(job).values()
    assert {(letter.stage, letter.reason, letter.text) for letter in letters} == {("extract", "fault", None)}
    refused = sum(letter.calls for letter in letters) - len(rehearsal.talker.requests)
    assert refused == 3 * len(letters), "a call for each turn"
    assert len(rehearsal.talker.requests) > 0


def test_a_row_that_kills_its_worker_late_has_what_the_phase_before_took(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3))
    rehearsal = Rehearsal(talker=BrokenReader(EngineDeadError("no GPU")))
    job = job_in(tmp_path, *READER, "run.rows_per_shard=1")
    rehearsal.run(job)
    letters = letters_of(job).values()
    assert {(letter.stage, letter.reason, letter.text) for letter in letters} == {("extract", "worker_died", None)}
    assert spent(letters)[0] == len(rehearsal.talker.requests) > 0


def test_a_score_that_fails_costs_no_row(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3))
    job = job_in(tmp_path, "makers.expand=null", "makers.extract=null", "makers.augment=null")
    Rehearsal(nli=BrokenNli()).run(job)
    assert not letters_of(job)
    rows = list(rows_of(job).values())
    assert len(rows) == 3
    for row in rows:
        (failed,) = (record for record in row.stages if record.failed)
        assert (failed.stage, failed.failed) == ("consistency", "fault: ValueError: odd shape")
        assert (row.scores, row.decision, row.reasons) == ({}, "flag", ["not_scored"])
    Rehearsal().run(job, retry_failed=True)
    assert all(row.scores["consistency"] for row in rows_of(job).values())


def test_a_row_that_kills_its_worker_has_what_the_stages_took_that_it_kept(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3))
    rehearsal = Rehearsal()
    rehearsal.run(job_in(tmp_path))
    kept = [row.stages[0] for row in rows_of(job_in(tmp_path)).values()]
    assert {record.stage for record in kept} == {"expand"}
    rehearsal.talker.deadly = {"pets": EngineDeadError("no GPU")}
    job = job_in(tmp_path, "makers.converse.turns=4", "run.rows_per_shard=1")
    rehearsal.run(job)
    assert {letter.stage for letter in letters_of(job).values()} == {"converse"}
    assert spent(letters_of(job).values()) == spent(kept)
    assert spent(kept)[0] > 0


class BrokenNli(HashNli):
    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        raise ValueError("odd shape")


def test_letters_are_asked_for_by_stage_reason_seed_and_kind(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(8) | {"bad": []})
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*p2*"}
    rehearsal.talker.deadly = {"*p5*": RequestError("prompt too long")}
    rehearsal.run(job)
    corpus = Corpus(job.corpus)
    every = list(corpus.dead_letters())
    asked: list[tuple[Only, Callable[[DeadLetter], bool]]] = [
        ({"of": "rows"}, lambda letter: letter.row_id is not None),
        ({"of": "seeds"}, lambda letter: letter.row_id is None),
        ({"stage": "expand"}, lambda letter: letter.stage == "expand"),
        ({"reason": "turn_empty"}, lambda letter: letter.reason == "turn_empty"),
        ({"seed": "p2"}, lambda letter: "p2" in letter.seed_ids),
        ({"of": "rows", "reason": "request", "seed": "p"}, lambda letter: letter.reason == "request"),
    ]
    for only, fits in asked:
        wanted = [letter for letter in every if fits(letter)]
        assert 0 < len(wanted) < len(every)
        assert list(corpus.dead_letters(**only)) == wanted
        assert set(corpus.scan_dead_letters(**only).collect()["id"]) == {letter.id for letter in wanted}
    assert not list(corpus.dead_letters(seed="nobody"))


def test_an_interrupt_keeps_the_letters_of_rows_it_did_not_reach(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path, "run.dialogues_in_flight=1"), Rehearsal()
    rehearsal.talker.mute = {"pets"}
    rehearsal.run(job)
    assert len(letters_of(job)) == 6
    rehearsal.run(job, retry_failed=True, stop_after=1)
    attempts = sorted(letter.attempts for letter in letters_of(job).values())
    assert attempts == [1] * 5 + [2]


def test_the_newest_version_belongs_with_the_newest_letters(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*p1*"}
    rehearsal.run(job)
    rehearsal.run(job, retry_failed=True)
    rows, letters = rows_of(job), letters_of(job)
    corpus = Corpus(job.corpus)
    gc(corpus, 0, delete=True)
    restore(corpus, log(corpus)[0].version)
    assert (rows_of(job), letters_of(job)) == (rows, letters)
    assert {letter.attempts for letter in letters.values()} == {2}
