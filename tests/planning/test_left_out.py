"""Personas that nearly repeat another are left out of the pairing, and older code may keep its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.methods.makers.converse import Converse
from factory.planning.plan import plan
from factory.spec.layers import YamlError
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, some_personas, write_seeds

SAME = "I sail every summer with my brother on the big lake behind our house."


def test_a_persona_that_nearly_repeats_an_earlier_one_talks_to_nobody(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3) | {"one": [SAME], "two": [SAME.replace("big", "big,")]})
    job = job_in(tmp_path, "pairing.near_duplicates={}")
    planned = plan(job).summary
    assert planned.near_duplicates == 1
    assert planned.make == 4
    Rehearsal().run(job)
    assert {seed.id for row in rows_of(job).values() for seed in row.seeds} == {"p0", "p1", "p2", "one"}
    assert settled(job)
    assert plan(job_in(tmp_path)).summary.make > 0


def test_rows_of_an_older_version_are_kept_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_seeds(tmp_path, some_personas(3))
    job, kept = job_in(tmp_path), f"keep_versions.converse={Converse.version}"
    Rehearsal().run(job)
    monkeypatch.setattr(Converse, "version", Converse.version + 1)
    assert plan(job).summary.remake == {"converse": 3}
    assert settled(job_in(tmp_path, kept))
    later = job_in(tmp_path, kept, "makers.extract=null")
    assert "converse" not in plan(later).summary.remake


def test_a_version_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3))
    with pytest.raises(YamlError, match=rf"keep_versions.converse: the newest version is {Converse.version}$"):
        job_in(tmp_path, "keep_versions.converse=99")
    with pytest.raises(YamlError, match="keep_versions.talk: there is no such entry; there are expand, converse"):
        job_in(tmp_path, "keep_versions.talk=1")
