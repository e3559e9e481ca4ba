"""Two versions are told apart row by row, in the words of the plan that led from one to the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.planning.compare import REFRESHED
from factory.planning.diff import diff
from factory.planning.garbage import gc
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.table import CorpusError
from factory.store.versions import log, restore
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds

Personas = dict[str, list[str]]


def newest(job: Job) -> int:
    return log(Corpus(job.corpus))[0].version


def told(job: Job, before: int, after: int) -> Counter[tuple[str, str]]:
    """What differs and why; of what was redone the first."""
    found = diff(Corpus(job.corpus), before, after).select("what", "why")
    return Counter((what.partition(",")[0], why) for what, why in found.iter_rows())


def added(personas: Personas) -> None:
    personas["p99"] = ["I keep *p99* pets."]


def removed(personas: Personas) -> None:
    del personas["p3"]


def edited(personas: Personas) -> None:
    personas["p3"] = ["I keep no pets."]


@pytest.mark.parametrize("change", [added, removed, edited, None])
@pytest.mark.parametrize(
    "override",
    [
        "run.rows_per_shard=4",
        "pairing.samples=2",
        "makers.converse.turns=4",
        "makers.extract.min_similarity=0.2",
        "makers.augment=null",
    ],
)
def test_a_diff_says_what_the_plan_said(
    tmp_path: Path, change: Callable[[Personas], None] | None, override: str
) -> None:
    personas = some_personas(12)
    write_seeds(tmp_path, personas)
    Rehearsal().run(job_in(tmp_path))
    before = newest(job_in(tmp_path))
    if change:
        change(personas)
    write_seeds(tmp_path, personas)
    job = job_in(tmp_path, override)
    reasons = Rehearsal().run(job).summary.reasons
    what = {"make": "added", "drop": "removed", "left_out": "left out: augment"}
    planned = Counter(
        {
            (what.get(done, f"redone: {done}"), why): count
            for done, whys in reasons.items()
            for why, count in whys.items()
        }
    )
    assert told(job, before, newest(job)) == planned
    assert told(job, before, before) == Counter()


def test_the_way_back_is_told_the_other_way_round(tmp_path: Path) -> None:
    personas = some_personas(8)
    write_seeds(tmp_path, personas)
    job = job_in(tmp_path, "makers.augment=null")
    Rehearsal().run(job)
    before = newest(job)
    added(personas)
    write_seeds(tmp_path, personas)
    Rehearsal().run(job)
    there, back = told(job, before, newest(job)), told(job, newest(job), before)
    assert there["added", "seed added"] == 1
    assert back["removed", "seed removed"] >= 1
    assert back["added", "partner changed"] == there["removed", "partner changed"]
    assert there.total() == back.total()


def test_samples_that_go_are_told_as_such(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    Rehearsal().run(job_in(tmp_path, "pairing.samples=2"))
    before, job = newest(job_in(tmp_path)), job_in(tmp_path)
    dropped = Rehearsal().run(job).summary.reasons["drop"]
    assert told(job, before, newest(job)) == {("removed", why): count for why, count in dropped.items()}
    assert set(told(job, before, newest(job))) == {("removed", "fewer samples")}
    assert set(told(job, newest(job), before)) == {("added", "more samples")}


def test_moved_decisions_are_told_with_the_threshold_that_moved_them(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(12))
    Rehearsal().run(job_in(tmp_path))
    before, job = (
        newest(job_in(tmp_path)),
        job_in(tmp_path, "select.flag.may_contradict=consistency.contradiction >= 0.05"),
    )
    old = rows_of(job)
    Rehearsal().run(job)
    found = diff(Corpus(job.corpus), before, newest(job))
    assert set(found.select("what", "why").iter_rows()) == {("decided again", "select.flag.may_contradict")}
    new = rows_of(job)
    assert {row_id: (was, now) for row_id, _, _, was, now in found.iter_rows()} == {
        key: (old[key].decision, new[key].decision) for key in new if old[key].reasons != new[key].reasons
    }


def test_failures_are_told_as_such(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*p1*"}
    rehearsal.run(job)
    with_letters = newest(job)
    rehearsal.talker.mute = set()
    rehearsal.run(job, retry_failed=True)
    healed = newest(job)
    assert set(told(job, with_letters, healed)) == {("added", "failed before")}
    assert set(told(job, healed, with_letters)) == {("removed", "failed")}
    rehearsal.run(job_in(tmp_path, "makers.converse.turns=4"))
    restore(Corpus(job.corpus), healed)
    corpus = Corpus(job.corpus)
    corpus.table.commit([], corpus.table.shards(), "emptied")
    rehearsal.run(job)
    assert set(told(job, healed, newest(job))) == {("redone: expand", "made again")}


def test_versions_that_are_not_there_are_named(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    Rehearsal().run(job_in(tmp_path))
    Rehearsal().run(job_in(tmp_path, "makers.converse.turns=4"))
    gc(Corpus(job_in(tmp_path).corpus), 0, delete=True)
    with pytest.raises(CorpusError, match=r"files of version 0 are gone \(factory gc or forget, or another"):
        diff(Corpus(job_in(tmp_path).corpus), 0, newest(job_in(tmp_path)))
    with pytest.raises(CorpusError, match="no version 99"):
        diff(Corpus(job_in(tmp_path).corpus), newest(job_in(tmp_path)), 99)


def test_what_only_the_seeds_tell_is_told_too(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    seeds = tmp_path / "seeds" / "a.jsonl"
    job = job_in(tmp_path)
    Rehearsal().run(job)
    before = newest(job)
    seeds.write_text(seeds.read_text().replace('"id": "p3"', '"id": "p3", "job": "nurse"'))
    rehearsal = Rehearsal()
    reasons = rehearsal.run(job).summary.reasons
    assert rehearsal.talker.requests == []
    of_nurse = sum("p3" in {seed.id for seed in row.seeds} for row in rows_of(job).values())
    told_of = {(what, why): count for what, whys in reasons.items() for why, count in whys.items() if count}
    assert told(job, before, newest(job)) == told_of == {(REFRESHED, "seed edited"): of_nurse}
