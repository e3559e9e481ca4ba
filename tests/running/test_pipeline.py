from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from factory.base.packages import MissingPackageError
from factory.engines import Completion, EngineDeadError, Reply, Request, RequestError, Sampling, ServerError
from factory.methods import Column, Kit, Scored
from factory.methods.example import kit as example_kit
from factory.planning.plan import plan
from factory.planning.shard import Todo
from factory.running.pipeline import Failure, fail_scores, run_row
from factory.spec.identity import Entry, Recipe, entries, row_fingerprints
from factory.spec.job import Job
from factory.store.dead_letters import DeadLetter
from factory.store.records import Detail, Row, RowError, Value
from tests.rehearsal import (
    HashEmbedder,
    HashNli,
    Talker,
    job_in,
    some_personas,
    wanted_of,
    write_seeds,
)


class Asks:
    """A method that makes some calls, then ends as it is told: a maker, or a score with these values."""

    columns = (Column("value", "double", "A value."), Column("word", "string", "A word."))
    details: ClassVar = {"pair": ("value",)}

    def __init__(self, end: BaseException | None = None, calls: int = 2, scored: Scored | None = None) -> None:
        self.end = end
        self.calls = calls
        self.scored = scored

    async def run(self, row: Row, kit: Kit) -> None:
        for _ in range(self.calls):
            await kit.engine.generate(Request(({"role": "user", "content": "Say something."},), Sampling(), n=2))
        if self.end is not None:
            raise self.end

    async def score(self, row: Row, kit: Kit) -> Scored:
        await self.run(row, kit)
        return self.scored or Scored()


class Verbose(Talker):
    """Says more than a letter keeps."""

    async def generate(self, request: Request) -> Reply:
        return Reply((Completion("x" * 5000, 1, "length"),), 1)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_seeds(tmp_path, some_personas(2))
    return job_in(tmp_path)


@dataclass
class Bench:
    """A row that nothing has been done to, and the models."""

    row: Row
    recipes: list[Recipe]
    wanted: dict[str, str]
    entries: dict[str, Entry]
    kit: Kit

    def run(self, methods: Mapping[str, Asks]) -> DeadLetter | None:
        """Run these entries on the row, with these methods."""
        stood_in = {name: replace(self.entries[name], method=method) for name, method in methods.items()}
        todo = Todo(self.row, self.wanted, list(methods))
        return asyncio.run(run_row(todo, self.recipes, stood_in, lambda _: self.kit))


@pytest.fixture
def bench(job: Job) -> Bench:
    planned = plan(job)
    row = next(iter(wanted_of(planned).values()))
    recipes = planned.wanted.making.recipes["generated"]
    kit = replace(example_kit(), engine=Talker(), nli=HashNli(), embedder=HashEmbedder())
    return Bench(row, recipes, row_fingerprints(recipes, row), entries(job), kit)


def test_an_entry_is_metered_and_recorded(bench: Bench) -> None:
    assert bench.run({"expand": Asks()}) is None
    (record,) = bench.row.stages
    assert (record.stage, record.recipe, record.fingerprint) == ("expand", bench.recipes[0].id, bench.wanted["expand"])
    assert record.calls == len(bench.kit.engine.requests) == 2
    assert record.prompt_tokens > 0
    assert record.completion_tokens > 0
    assert record.models == ["org/vectors@main", "org/talker@main", "org/nli@main"]


@pytest.mark.parametrize(
    ("end", "reason", "detail", "attempts"),
    [
        (RowError("turn_empty", "turn 3: ''", 4), "turn_empty", "turn 3: ''", 4),
        (RequestError("prompt too long"), "request", "prompt too long", 1),
        (ZeroDivisionError("oops"), "fault", "ZeroDivisionError: oops", 1),
        (ValueError("x" * 5000), "fault", "ValueError: " + "x" * 988, 1),
    ],
)
def test_what_fails_in_a_maker_is_the_row(
    bench: Bench, end: Exception, reason: str, detail: str, attempts: int
) -> None:
    letter = bench.run({"expand": Asks(end), "converse": Asks()})
    assert letter is not None
    assert (letter.row_id, letter.stage, letter.reason) == (bench.row.row_id, "expand", reason)
    assert (letter.detail, letter.attempts, letter.fingerprint) == (detail, attempts, bench.wanted["expand"])
    assert letter.seed_ids == [seed.id for seed in bench.row.seeds]
    assert bench.row.stages == []


@pytest.mark.parametrize(
    ("score", "told"),
    [
        (Asks(RowError("no_verdict", "neither A nor B")), "no_verdict: neither A nor B"),
        (Asks(RequestError("prompt too long")), "request: prompt too long"),
        (Asks(ZeroDivisionError("x" * 500)), ("fault: ZeroDivisionError: " + "x" * 500)[:300]),
        (Asks(scored=Scored(missing="input_missing")), "input_missing: the row lacks what it measures"),
        (Asks(scored=Scored({"value": math.nan, "word": "a"})), "not_finite: value"),
        (Asks(scored=Scored({"value": -math.inf})), "not_finite: value"),
    ],
)
def test_what_fails_in_a_score_is_its_values_and_no_row(bench: Bench, score: Asks, told: str) -> None:
    bench.row.scores["consistency"] = {"value": 1.0}
    bench.row.details = [Detail("consistency", "of before"), Detail("other", "of another")]
    assert bench.run({"consistency": score, "converse": Asks()}) is None
    assert (bench.row.scores, [detail.score for detail in bench.row.details]) == ({}, ["other"])
    assert [(record.stage, record.failed) for record in bench.row.stages] == [("converse", None), ("consistency", told)]
    failed = bench.row.stages[1]
    assert (failed.fingerprint, failed.calls) == (bench.wanted["consistency"], 2)


def test_a_score_has_its_declared_columns_and_details_of_its_own_name(bench: Bench) -> None:
    values: dict[str, Value | None] = {"value": 0.5}
    assert bench.run({"consistency": Asks(scored=Scored(values, [Detail("", "pair", [0.5])]))}) is None
    assert bench.row.scores == {"consistency": {"value": 0.5, "word": None}}
    assert bench.row.details == [Detail("consistency", "pair", [0.5])]


def test_a_letter_has_what_all_entries_took_and_the_first_text_of_the_last_reply(bench: Bench) -> None:
    letter = bench.run({"expand": Asks(), "converse": Asks(RowError("turn_empty", "turn 0"))})
    assert letter is not None
    replies = bench.kit.engine.replies
    assert letter.calls == len(replies) == 4
    assert letter.prompt_tokens == sum(reply.prompt_tokens for reply in replies)
    assert letter.completion_tokens == sum(said.tokens for reply in replies for said in reply.completions)
    assert letter.text == replies[-1].completions[0].text != replies[-1].completions[1].text


def test_a_letter_keeps_the_start_of_a_long_text_and_none_of_an_entry_before(bench: Bench) -> None:
    bench.kit = replace(bench.kit, engine=Verbose())
    letter = bench.run({"expand": Asks(RowError("r", "d"))})
    assert letter is not None
    assert letter.text == "x" * 2000
    letter = bench.run({"expand": Asks(), "converse": Asks(RowError("r", "d"), calls=0)})
    assert letter is not None
    assert (letter.text, letter.calls) == (None, 2)


@pytest.mark.parametrize("name", ["expand", "consistency"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (EngineDeadError("gone"), EngineDeadError),
        (MemoryError(), EngineDeadError),
        (ModuleNotFoundError(name="sklearn"), MissingPackageError),
        (ServerError("no credit"), ServerError),
    ],
)
def test_what_is_the_worker_s_or_the_server_s_is_no_row_s_fault(
    bench: Bench, name: str, error: Exception, raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        bench.run({name: Asks(error)})
    assert bench.row.stages == []


def test_scores_that_are_given_up_take_no_other_entry_with_them(bench: Bench) -> None:
    assert bench.run({"expand": Asks(), "converse": Asks()}) is None
    failure = Failure("worker_died", "twice")
    fail_scores(Todo(bench.row, bench.wanted, ["consistency"]), bench.recipes, failure)
    assert [(record.stage, record.failed) for record in bench.row.stages] == [
        ("expand", None),
        ("converse", None),
        ("consistency", "worker_died: twice"),
    ]
