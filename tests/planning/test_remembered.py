"""A plan that follows another of the same seeds, job and rows takes its comparison over, and no other plan does."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from factory.planning import remembered
from factory.planning.ledger import LEDGER
from factory.planning.plan import plan
from factory.planning.remembered import REMEMBERED
from factory.spec.job import Job
from factory.store.corpus import Corpus
from tests.rehearsal import Rehearsal, job_in, some_personas
from tests.rehearsal import write_seeds as write

Compared = list[bool]


def write_seeds(folder: Path, personas: dict[str, list[str]], file: str = "a.jsonl") -> None:
    """Seeds in a file that was not changed just now, since such a one is read each time."""
    write(folder, personas, file)
    os.utime(folder / "seeds" / file, (time.time() - 60 - len(personas),) * 2)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Compared:
    """One entry for each comparison that was made."""
    made: Compared = []
    compare = remembered.compare

    def counted(*args: Any, **options: Any) -> Any:
        made.append(True)
        return compare(*args, **options)

    monkeypatch.setattr(remembered, "compare", counted)
    return made


def outcome(job: Job, **options: Any) -> tuple[dict[str, Any], list[Any]]:
    """What a plan says and what it hands out, but for the random names of new shards."""
    planned = plan(job, **options)
    work = [(one.spec.base, one.spec.redo, one.spec.drop, one.spec.rows) for one in planned.work()]
    return asdict(planned.summary), work


def seeds_with(change: Callable[[dict[str, list[str]]], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        personas = some_personas(12)
        change(personas)
        write_seeds(folder, personas)

    return write


def edited(personas: dict[str, list[str]]) -> None:
    personas["p3"] = ["I fly kites.", "I own 3 boats."]


CHANGES: dict[str, Callable[[Path], object]] = {
    "seed added": lambda folder: write_seeds(folder, {"new": ["I am new."]}, "b.jsonl"),
    "seed removed": seeds_with(lambda personas: personas.pop("p3")),
    "seed edited": seeds_with(edited),
    "samples": lambda _: ["pairing.samples=2"],
    "partners": lambda _: ["pairing.partners=2"],
    "parameter": lambda _: ["makers.converse.turns=5"],
    "maker left out": lambda _: ["makers.augment=null"],
    "model": lambda _: ["models.writer.name=org/other"],
    "threshold": lambda _: ["select.reject.contradicts_persona=consistency.contradiction >= 0.1"],
    "rows committed": lambda folder: Rehearsal().run(job_in(folder), limit=2),
    "ledger lost": lambda folder: shutil.rmtree(folder / "corpus" / LEDGER, ignore_errors=True),
}


@pytest.mark.parametrize("done", [0, 5, None])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_plan_remembers_is_what_it_would_find(tmp_path: Path, change: str, done: int | None) -> None:
    """Over a new corpus, one half of which is made, and one that is finished."""
    write_seeds(tmp_path, some_personas(12))
    job = job_in(tmp_path, "run.rows_per_shard=4")
    if done != 0:
        Rehearsal().run(job, limit=done)
    plan(job)
    overrides = CHANGES[change](tmp_path)
    changed = job_in(tmp_path, "run.rows_per_shard=4", *(overrides if isinstance(overrides, list) else []))
    first, again = outcome(changed), outcome(changed)
    assert first == again
    Corpus(job.corpus).storage.delete(REMEMBERED)
    assert outcome(changed) == first


def test_a_plan_after_a_run_or_a_plan_compares_nothing(tmp_path: Path, compared: Compared) -> None:
    write_seeds(tmp_path, some_personas(12))
    job = job_in(tmp_path)
    plan(job)
    Rehearsal().run(job)
    plan(job)
    assert len(compared) == 2
    assert plan(job).summary.rows == 0
    assert len(compared) == 2


def test_a_commit_that_only_drops_rows_is_noticed(tmp_path: Path) -> None:
    """It adds no shard, so the files of the ledger stay as they are."""
    write_seeds(tmp_path, some_personas(12))
    job = job_in(tmp_path, "run.rows_per_shard=1")
    Rehearsal().run(job)
    plan(job)
    table = Corpus(job.corpus).table
    table.commit([], table.shards()[:2], "two rows dropped")
    assert plan(job).summary.make == 2


def test_a_ledger_that_numbers_what_made_its_rows_anew_is_compared_anew(tmp_path: Path, compared: Compared) -> None:
    write_seeds(tmp_path, some_personas(12))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    plan(job).ledger.compact()
    compared.clear()
    plan(job)
    assert compared


def test_rows_that_failed_are_tried_again_on_demand(tmp_path: Path, compared: Compared) -> None:
    write_seeds(tmp_path, some_personas(12))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    plan(job)
    compared.clear()
    plan(job, retry_failed=True)
    assert compared


@pytest.mark.parametrize("damage", [b"", b"no Arrow"])
def test_a_damaged_comparison_is_made_again(tmp_path: Path, compared: Compared, damage: bytes) -> None:
    write_seeds(tmp_path, some_personas(12))
    job = job_in(tmp_path)
    before = outcome(job)
    (tmp_path / "corpus" / REMEMBERED).write_bytes(damage)
    compared.clear()
    assert outcome(job) == before
    assert compared == [True]


def test_a_large_difference_is_not_kept(tmp_path: Path, compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST_ROWS", 5)
    write_seeds(tmp_path, some_personas(12))
    job = job_in(tmp_path)
    assert outcome(job) == outcome(job)
    assert len(compared) == 2
    assert not (tmp_path / "corpus" / REMEMBERED).exists()
