from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from factory.engines import Completion, EngineDeadError, Reply, Request, RequestError, Sampling
from factory.methods import Kit
from factory.planning.plan import plan
from factory.running.pipeline import run_row, trim
from factory.spec.job import row_fingerprints
from factory.store.records import Row, RowError
from tests.rehearsal import (
    HashEmbedder,
    HashNli,
    Rehearsal,
    Talker,
    job_in,
    rows_of,
    some_personas,
    wanted_of,
    write_seeds,
)


class Asks:
    """A stage that makes some calls, then ends as it is told."""

    def __init__(self, end: BaseException | None, calls: int = 2) -> None:
        self.end = end
        self.calls = calls

    async def run(self, row: Row, kit: Kit) -> None:
        for _ in range(self.calls):
            await kit.engine.generate(Request(({"role": "user", "content": "Say something."},), Sampling(), n=2))
        if self.end is not None:
            raise self.end


class Verbose(Talker):
    """Says more than a letter keeps."""

    async def generate(self, request: Request) -> Reply:
        return Reply((Completion("x" * 5000, 1, "length"),), 1)


@pytest.fixture
def case(tmp_path: Path):
    write_seeds(tmp_path, some_personas(2))
    planned = plan(job_in(tmp_path))
    row = next(iter(wanted_of(planned).values()))
    chain = planned.wanted.chains["generated"]
    return row, chain, row_fingerprints(chain, row), Kit(Talker(), HashNli(), HashEmbedder())


def test_a_stage_is_metered_and_recorded(case) -> None:
    row, chain, wanted, kit = case
    assert asyncio.run(run_row(row, chain[:1], wanted, {"expand": Asks(None)}, lambda _: kit)) is None
    (record,) = row.stages
    assert (record.stage, record.recipe, record.fingerprint) == ("expand", chain[0].id, wanted[0])
    assert record.calls == len(kit.engine.requests) == 2
    assert record.prompt_tokens > 0
    assert record.completion_tokens > 0
    assert record.models == ["org/talker@main", "org/vectors@main", "org/nli@main"]


@pytest.mark.parametrize(
    ("end", "reason", "detail", "attempts"),
    [
        (RowError("turn_empty", "turn 3: ''", 4), "turn_empty", "turn 3: ''", 4),
        (RequestError("prompt too long"), "request", "prompt too long", 1),
        (ZeroDivisionError("oops"), "fault", "ZeroDivisionError: oops", 1),
        (ValueError("x" * 5000), "fault", "ValueError: " + "x" * 988, 1),
    ],
)
def test_what_fails_is_the_row(case, end: Exception, reason: str, detail: str, attempts: int) -> None:
    row, chain, wanted, kit = case
    letter = asyncio.run(run_row(row, chain, wanted, {"expand": Asks(end)}, lambda _: kit))
    assert letter is not None
    assert (letter.row_id, letter.stage, letter.reason) == (row.row_id, "expand", reason)
    assert (letter.detail, letter.attempts, letter.fingerprint) == (detail, attempts, wanted[-1])
    assert letter.seed_ids == [seed.id for seed in row.seeds]
    assert row.stages == []


def test_a_letter_has_what_all_stages_took_and_the_first_text_of_the_last_reply(case) -> None:
    row, chain, wanted, kit = case
    stages = {"expand": Asks(None), "converse": Asks(RowError("turn_empty", "turn 0"))}
    letter = asyncio.run(run_row(row, chain[:2], wanted, stages, lambda _: kit))
    assert letter is not None
    replies = kit.engine.replies
    assert letter.calls == len(replies) == 4
    assert letter.prompt_tokens == sum(reply.prompt_tokens for reply in replies)
    assert letter.completion_tokens == sum(said.tokens for reply in replies for said in reply.completions)
    assert letter.text == replies[-1].completions[0].text != replies[-1].completions[1].text


def test_a_letter_keeps_the_start_of_a_long_text_and_none_of_a_stage_before(case) -> None:
    row, chain, wanted, kit = case
    verbose = replace(kit, engine=Verbose())
    letter = asyncio.run(run_row(row, chain, wanted, {"expand": Asks(RowError("r", "d"))}, lambda _: verbose))
    assert letter is not None
    assert letter.text == "x" * 2000
    silent = {"expand": Asks(None), "converse": Asks(RowError("r", "d"), calls=0)}
    letter = asyncio.run(run_row(row, chain, wanted, silent, lambda _: kit))
    assert letter is not None
    assert (letter.text, letter.calls) == (None, 2)


def test_a_dead_engine_is_no_rows_fault(case) -> None:
    row, chain, wanted, kit = case
    with pytest.raises(EngineDeadError):
        asyncio.run(run_row(row, chain, wanted, {"expand": Asks(EngineDeadError("gone"))}, lambda _: kit))


@pytest.mark.parametrize("count", range(7))
def test_a_trimmed_row_keeps_only_what_its_stages_left(tmp_path: Path, count: int) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path, "stages.augment.probability=1")
    Rehearsal().run(job)
    for row in rows_of(job).values():
        trim(row, count)
        origins = {fact.origin for speaker in row.speakers for fact in speaker.facts}
        assert len(row.stages) == count
        assert origins <= {"seed", *[record.stage for record in row.stages]}
        assert bool(row.turns) == (count > 1)
        assert not row.extracted or count > 2
        assert not row.scores or count > 4
        assert (row.consistency is None, row.decision is None) == (count < 5, count < 6)
