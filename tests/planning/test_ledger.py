"""The ledger tells of committed rows what planning would read off them, however it came to be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.planning.ledger import LEDGER, Ledger
from factory.planning.plan import Plan, plan
from factory.spec.identity import DONORS, INPUTS
from factory.store.corpus import Corpus
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, some_personas, write_seeds

ALL = (0, 2**64 - 1)


def told(corpus: Corpus) -> set[tuple[object, ...]]:
    ledger = Ledger(corpus)
    ledger.sync()
    held = ledger.between(*ALL)
    columns = held.slot, *held.inputs
    return {
        (*row, ledger.chains[chain], ledger.shards[shard].path)
        for *row, chain, shard in zip(*(c.tolist() for c in columns), held.chain, held.shard, strict=True)
    }


def test_committed_rows_have_the_keys_of_the_wanted_ones(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(9))
    job = job_in(tmp_path, "pairing.samples=2", "makers.augment.count=2")
    Rehearsal().run(job)
    planned = plan(job)
    slots, held = planned.wanted.slots(*ALL), planned.ledger.between(*ALL)
    wanted = zip(slots.slot.tolist(), *slots.inputs.tolist(), strict=True)
    committed = zip(held.slot.tolist(), *held.inputs.tolist(), strict=True)
    assert sorted(wanted) == sorted(committed)
    assert slots.inputs[INPUTS.index(DONORS)].all()


@pytest.mark.parametrize("files", [1, 3])
def test_a_ledger_that_is_lost_stale_or_compacted_tells_the_same(
    tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factory.planning.ledger._MOST_FILES", files)
    personas = some_personas(12)
    for count in (4, 6, 8, 10, 12):
        write_seeds(tmp_path, dict(list(personas.items())[:count]))
        Rehearsal().run(job_in(tmp_path))
        assert settled(job_in(tmp_path))
        assert len(Corpus(job_in(tmp_path).corpus).storage.list(LEDGER)) <= files
    corpus = Corpus(job_in(tmp_path).corpus)
    kept = told(corpus)
    for path in corpus.storage.list(LEDGER):
        corpus.storage.delete(path)
    assert told(corpus) == kept
    assert len(kept) == len(rows_of(job_in(tmp_path)))


def test_rows_that_a_threshold_does_not_move_are_left_alone_and_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_seeds(tmp_path, some_personas(12))
    Rehearsal().run(job_in(tmp_path))
    before = rows_of(job_in(tmp_path))
    moved = job_in(tmp_path, "select.flag.may_contradict=consistency.contradiction >= 0.3")
    summary = Rehearsal().run(moved).summary
    after = rows_of(moved)
    told = {key: (row.decision, row.reasons) for key, row in before.items()}
    changed = {key for key, row in after.items() if (row.decision, row.reasons) != told[key]}
    assert 0 < len(changed) < 12
    assert summary.remake == {"select": len(changed)}
    assert summary.reasons["select"] == {"select.flag.may_contradict": len(changed)}
    assert {key for key in after if after[key] != before[key]} == changed
    assert settled(moved), "what was rewritten beside a row that moved is decided once more"
    monkeypatch.setattr(Plan, "_decided_alike", lambda *_: pytest.fail("decided again"))
    assert settled(moved)


@pytest.mark.parametrize("folder", ["_ledger", "_seeds"])
@pytest.mark.parametrize(
    "damaged",
    [
        lambda whole: b"",
        lambda whole: whole[:100],
        lambda whole: whole[:-60] + bytes(40) + whole[-20:],
        lambda whole: whole.replace(b"shards", b"shreds").replace(b"duplicates", b"duplicated"),
    ],
    ids=["empty", "cut short", "broken footer", "lost metadata"],
)
def test_what_planning_keeps_may_be_damaged(tmp_path: Path, folder: str, damaged: Callable[[bytes], bytes]) -> None:
    write_seeds(tmp_path, some_personas(6))
    os.utime(tmp_path / "seeds" / "a.jsonl", (1e9, 1e9))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    files = Corpus(job.corpus).storage.list(folder)
    assert files
    for path in files:
        kept = tmp_path / "corpus" / path
        whole = kept.read_bytes()
        kept.write_bytes(damaged(whole))
        assert settled(job)
        kept.unlink(missing_ok=True)
        assert settled(job)


def test_a_plan_that_is_not_run_leaves_no_row_with_a_recipe_that_nobody_kept(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(12))
    Rehearsal().run(job_in(tmp_path))
    field = "select.flag.may_contradict"
    assert plan(job_in(tmp_path, f"{field}=consistency.contradiction >= 0.3")).summary.unchanged > 0
    moved = plan(job_in(tmp_path, f"{field}=consistency.contradiction >= 0.2"))
    assert moved.summary.reasons["select"].keys() == {field}
