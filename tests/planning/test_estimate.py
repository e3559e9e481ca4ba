"""The estimate of a plan: what the rows of the corpus took is what more of them will take."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from factory.engines import Reply, Request
from factory.planning import estimate
from factory.planning.estimate import History
from factory.planning.plan import plan
from factory.spec.identity import recipes
from factory.spec.job import Job
from factory.spec.phases import making
from factory.store.corpus import Corpus
from factory.store.records import Row, SeedRef, Speaker, StageRecord, rows_to_table
from factory.store.shards import Shard
from tests.rehearsal import Rehearsal, Talker, job_in, rows_of, some_personas, write_seeds

ROWS = 30
ATTEMPTS = "makers.converse.attempts=5"
TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")


class Halting(Talker):
    """Says nothing at every fifth request, `wordy` times as many tokens as the scripted engine, and finds a quarter of
    a prompt in its cache."""

    def __init__(self, wordy: int = 1) -> None:
        super().__init__()
        self.wordy = wordy

    async def generate(self, request: Request) -> Reply:
        reply = await super().generate(request)
        halts = len(self.requests) % 5 == 0
        said = tuple(
            replace(one, text="" if halts else one.text, tokens=self.wordy * one.tokens) for one in reply.completions
        )
        return replace(reply, completions=said, cached_tokens=reply.prompt_tokens // 4)


def made(folder: Path, *overrides: str, wordy: int = 1) -> Job:
    """A job whose corpus is finished, but for as many seeds more."""
    write_seeds(folder, some_personas(ROWS))
    Rehearsal(talker=Halting(wordy)).run(job_in(folder, ATTEMPTS, *overrides))
    write_seeds(folder, some_personas(2 * ROWS))
    return job_in(folder, ATTEMPTS)


def records_since(job: Job, moment: datetime) -> list[StageRecord]:
    """The records of stages that began since."""
    records = (record for row in rows_of(job).values() for record in row.stages)
    return [one for one in records if one.started_at and one.started_at >= moment]


def test_more_seeds_take_what_was_foretold(tmp_path: Path) -> None:
    job = made(tmp_path)
    began = datetime.now(UTC)
    foretold = Rehearsal(talker=Halting()).run(job).summary
    took = records_since(job, began)
    calls: Counter[str] = Counter()
    for record in took:
        calls[record.stage] += record.calls
    for stage in ("expand", "converse", "extract"):
        assert foretold.calls[stage] == pytest.approx(calls[stage], rel=0.1), stage
    by_parameters = foretold.make * 3
    assert abs(foretold.calls["converse"] - calls["converse"]) < abs(by_parameters - calls["converse"])
    for name in TOKENS:
        assert getattr(foretold, name) == pytest.approx(sum(getattr(one, name) for one in took), rel=0.1), name
    assert set(foretold.basis.values()) == {f"{ROWS} rows of this corpus"}


def test_another_history_foretells_otherwise(tmp_path: Path) -> None:
    told = []
    for wordy in (1, 3):
        folder = tmp_path / str(wordy)
        folder.mkdir()
        told.append(plan(made(folder, wordy=wordy)).summary)
    one, other = told
    assert other.completion_tokens == pytest.approx(3 * one.completion_tokens, rel=0.1)
    assert other.prompt_tokens == pytest.approx(one.prompt_tokens, rel=0.1)


def test_rows_by_another_recipe_tell_what_a_call_takes(tmp_path: Path) -> None:
    job = made(tmp_path, "makers.converse.turns=4")
    summary = plan(job).summary
    by_another = f"{ROWS} rows of this corpus made by another recipe"
    assert summary.basis == {"converse": by_another, "extract": by_another, "expand": f"{ROWS} rows of this corpus"}
    rows = summary.make + summary.remake["converse"]
    assert (summary.calls["converse"], summary.calls["extract"]) == (3 * rows, 3 * rows)
    records = [record for row in rows_of(job).values() for record in row.stages]
    each = {
        stage: [sum(getattr(one, name) for one in records if one.stage == stage) for name in ("calls", *TOKENS)]
        for stage in ("expand", "converse", "extract")
    }
    for place, name in enumerate(TOKENS, 1):
        expected = sum(summary.calls[stage] * sums[place] / sums[0] for stage, sums in each.items())
        assert getattr(summary, name) == pytest.approx(expected, abs=3), name


def test_without_history_characters_tell(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    summary = plan(job_in(tmp_path)).summary
    assert all("four characters a token" in basis for basis in summary.basis.values())
    assert summary.completion_tokens == 4 * (2 * 128 + 3 * 64 + 3 * 128) // 2
    expand, converse, extract = (len(one.prompt) // 4 for one in recipes(job_in(tmp_path), "generated") if one.prompt)
    facts, said_before = 2 * len("I keep *p0* pets.I own 0 boats.") // 8, 64 // 2
    of_row = 2 * (expand + facts) + 3 * (converse + facts + said_before) + 3 * (extract + facts)
    assert (summary.prompt_tokens, summary.cached_tokens, summary.seconds) == (4 * of_row, 0, None)


def test_history_is_not_read_where_no_model_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_seeds(tmp_path, some_personas(6))
    Rehearsal().run(job_in(tmp_path))
    read: list[tuple[object, ...]] = []
    monkeypatch.setattr(estimate, "History", lambda *asked: read.append(asked))
    assert plan(job_in(tmp_path)).summary.rows == 0
    assert (
        plan(job_in(tmp_path, "select.flag.may_contradict=consistency.contradiction >= 0.05")).summary.remake["select"]
        > 0
    )
    assert not read
    with pytest.raises(AttributeError):
        plan(job_in(tmp_path, "scores.consistency.relevance=0"))
    assert len(read) == 1


BEGAN = datetime.now(UTC) + timedelta(days=1)


def row(number: int, stage: str, start: float, seconds: float, recipe: str = "r") -> Row:
    """A row that was in a stage from `start` on, in seconds since BEGAN."""
    record = StageRecord(stage, recipe, "f", started_at=BEGAN + timedelta(seconds=start), seconds=seconds)
    return Row(
        str(number), "generated", 0, [SeedRef("s", ["f", "t", "a"], "a", 1)], [Speaker("s", "s")], stages=[record]
    )


def committed(corpus: Corpus, *rows: Row) -> Shard:
    """A shard with these rows, committed later than all others."""
    time.sleep(0.01)
    shard = corpus.table.write(rows_to_table(list(rows), {}))
    corpus.table.commit([shard], [], "made")
    return shard


def test_rows_at_once_are_counted_while_any_is_under_way(tmp_path: Path) -> None:
    corpus = Corpus(str(tmp_path))
    first_run = [row(1, "expand", 0, 10), row(2, "converse", 0, 10), row(3, "converse", 5, 10)]
    second_run = [row(4, "converse", 1000, 10), row(5, "consistency", 1000, 2), row(6, "consistency", 1001, 2)]
    committed(corpus, *first_run, *second_run)
    assert History(corpus, making(job_in(tmp_path))).at_once == pytest.approx([40 / 25, 4 / 3])


def test_moments_that_other_shards_were_made_in_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_SHARDS", 1)
    corpus, day = Corpus(str(tmp_path)), 24 * 3600.0
    committed(corpus, *(row(number, "converse", -2 * day, 100) for number in range(8)))
    committed(corpus, row(8, "converse", -2 * day, 100), row(9, "converse", 0, 10), row(10, "converse", 0, 10))
    history = History(corpus, making(job_in(tmp_path)))
    assert history.at_once == pytest.approx([2, 0])
    write_seeds(tmp_path, some_personas(2))
    spent, _ = history.spent("generated", recipes(job_in(tmp_path), "generated")[1])
    assert spent is not None
    assert (spent.rows, spent.seconds) == (3, 120)


def test_rows_of_the_same_recipe_and_kind_speak_before_all_others(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    asked, corpus = recipes(job_in(tmp_path), "generated")[1], Corpus(str(tmp_path / "crafted"))
    imported = row(1, "converse", 0, 3, asked.id)
    imported.kind = "imported"
    committed(corpus, imported)
    assert History(corpus, making(job_in(tmp_path))).spent("generated", asked) == (None, False)
    committed(corpus, row(2, "converse", 0, 5))
    told = [History(corpus, making(job_in(tmp_path))).spent("generated", asked)]
    committed(corpus, row(3, "converse", 0, 7, asked.id))
    told.append(History(corpus, making(job_in(tmp_path))).spent("generated", asked))
    assert [(spent.rows, spent.seconds, same) for spent, same in told if spent] == [(1, 5, False), (1, 7, True)]


def test_the_longer_phase_is_the_time_of_a_plan(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(ROWS))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    corpus = Corpus(job.corpus)
    rows = list(rows_of(job).values())
    for one in rows:
        for record in one.stages:
            record.started_at, record.seconds = BEGAN, 10.0 if record.stage == "converse" else 1.0
    corpus.table.commit([corpus.table.write(rows_to_table(rows, {}))], corpus.table.shards(), "timed")
    assert seconds(job_in(tmp_path, "pairing.samples=2")) == pytest.approx(10)
    assert seconds(job_in(tmp_path, "pairing.samples=3")) == pytest.approx(20)
    assert seconds(job_in(tmp_path, "scores.consistency.relevance=0")) == pytest.approx(1)


def seconds(job: Job) -> float | None:
    return plan(job).summary.seconds
