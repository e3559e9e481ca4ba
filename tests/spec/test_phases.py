"""Which entries share a pool of workers, and in which order the pools work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from factory.spec.job import Job
from factory.spec.phases import phases
from tests.jobs import scripted_job, write_personas
from tests.opinions import opinions, with_opinions

SERVED = {"engine": "openai", "name": "served", "base_url": "http://host/v1"}
MODELS: dict[str, Any] = {name: {"name": f"org/{name}"} for name in ("writer", "judge", "critic")}
MODELS |= {"server": SERVED, "other_server": SERVED}

pytestmark = pytest.mark.usefixtures(opinions.__name__)


def job_of(folder: Path, makers: dict[str, Any], scores: dict[str, Any], **more: Any) -> Job:
    """A job with these entries; a score with a `model` is an opinion."""
    write_personas(folder, 1)
    own = {name: entry for name, entry in scores.items() if "model" not in entry}
    job = scripted_job(folder, makers=makers, scores=own, **{"models": MODELS} | more)
    return with_opinions(job, **{name: entry for name, entry in scores.items() if "model" in entry})


@pytest.mark.parametrize(
    ("makers", "scores", "wanted"),
    [
        ({}, {}, "scorers:"),
        ({}, {"consistency": {}}, "scorers: consistency"),
        ({"augment": {}}, {"consistency": {}}, "scorers: augment consistency"),
        ({"converse": {}}, {}, "writer: converse"),
        ({"converse": {}}, {"consistency": {}}, "writer: converse | scorers: consistency"),
        (
            {"expand": {}, "converse": {"model": "judge"}, "extract": {}, "augment": {}},
            {},
            "writer: expand | judge: converse | writer: extract augment",
        ),
        ({"converse": {}}, {"a": {"model": "writer"}}, "writer: converse a"),
        ({"converse": {}}, {"a": {"model": "judge"}}, "writer: converse | judge: a"),
        (
            {"converse": {}},
            {"a": {"model": "judge"}, "b": {"model": "critic"}, "c": {"model": "judge"}},
            "writer: converse | judge: a c | critic: b",
        ),
        (
            {"expand": {}, "converse": {"model": "judge"}},
            {"a": {"model": "writer"}},
            "writer: expand | judge: converse | writer: a",
        ),
        (
            {"converse": {}},
            {"b": {"model": "judge", "of": ("a",)}, "a": {"model": "critic"}},
            "writer: converse | critic: a | judge: b",
        ),
        (
            {"converse": {}},
            {"a": {"model": "judge"}, "b": {"model": "writer", "of": ("a",)}},
            "writer: converse | judge: a | writer: b",
        ),
        (
            {"converse": {}},
            {"consistency": {}, "a": {"model": "judge", "of": ("consistency",)}},
            "writer: converse consistency | judge: a",
        ),
        ({"converse": {}}, {"a": {"model": "server"}}, "writer: converse | scorers: a"),
        (
            {"converse": {}},
            {"a": {"model": "server"}, "consistency": {}, "b": {"model": "other_server", "of": ("a",)}},
            "writer: converse | scorers: consistency a b",
        ),
        ({"converse": {"model": "server"}}, {"a": {"model": "server"}}, "server: converse a"),
        ({"augment": {}}, {"a": {"model": "server"}}, "scorers: augment a"),
        (
            {"converse": {}},
            {"a": {"model": "server"}, "b": {"model": "judge", "of": ("a",)}},
            "writer: converse a | judge: b",
        ),
    ],
)
def test_each_model_that_runs_here_has_a_phase_and_what_is_read_is_made_before(
    tmp_path: Path, makers: dict[str, Any], scores: dict[str, Any], wanted: str
) -> None:
    found = phases(job_of(tmp_path, makers, scores))
    assert [f"{phase.workers}: {' '.join(phase.stages)}".strip() for phase in found] == wanted.split(" | ")


def test_a_server_that_workers_are_set_for_has_a_phase_of_its_own(tmp_path: Path) -> None:
    run = {"workers": {"server": {"max": 4}}}
    found = phases(job_of(tmp_path, {"converse": {}}, {"a": {"model": "server"}, "consistency": {}}, run=run))
    assert [phase.workers for phase in found] == ["writer", "server", "scorers"]


def test_a_phase_tells_whether_a_language_model_is_asked_in_it(tmp_path: Path) -> None:
    found = phases(job_of(tmp_path, {"converse": {}}, {"consistency": {}}))
    assert [phase.language for phase in found] == [True, False]
    found = phases(job_of(tmp_path, {"converse": {}}, {"consistency": {}, "a": {"model": "server"}}))
    assert [phase.language for phase in found] == [True, True]


@pytest.mark.parametrize(
    ("judge", "workers", "wanted"),
    [
        ({"adapter": "org/tuned"}, {}, "writer: converse a"),
        ({"adapter": "org/tuned"}, {"writer": {"max": 2}}, "writer: converse a"),
        ({"adapter": "org/tuned"}, {"judge": {"max": 2}}, "writer: converse | judge: a"),
        ({"adapter": "org/tuned", "max_num_seqs": 8}, {}, "writer: converse | judge: a"),
        ({}, {}, "writer: converse a"),
    ],
)
def test_models_that_differ_in_their_adapters_alone_share_workers(
    tmp_path: Path, judge: dict[str, Any], workers: dict[str, Any], wanted: str
) -> None:
    """Unless some are set for one of them."""
    models = {"writer": {"name": "org/writer"}, "judge": {"name": "org/writer"} | judge}
    job = job_of(tmp_path, {"converse": {}}, {"a": {"model": "judge"}}, models=models, run={"workers": workers})
    assert " | ".join(f"{phase.workers}: {' '.join(phase.stages)}" for phase in phases(job)) == wanted
