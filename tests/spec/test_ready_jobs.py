"""The ready jobs for personas that others publish read their columns, from a stand-in for the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.planning.plan import plan
from factory.seeds.store import Seeds
from factory.spec.jobfile import load_job
from factory.spec.sources import sources_of
from factory.store.storage import Storage
from tests.hub_files import hub_of

JOBS = Path(__file__).parents[2] / "jobs"
PUBLIC = Path(__file__).parents[2] / "data" / "personas" / "personahub_5000.jsonl"
PERSON = {
    "uuid": "u1",
    "professional_persona": "Ann is a careful nurse.",
    "persona": "Ann is a nurse. She skis.",
    "skills_and_expertise_list": "['triage']",
    "sex": "Female",
    "age": 34,
    "marital_status": "never_married",
    "education_level": "bachelors",
    "bachelors_field": "health",
    "occupation": "registered_nurse",
    "city": "Reno",
    "state": "NV",
    "zipcode": "89501",
    "country": "USA",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the data sets."""
    folder = tmp_path / "hub"
    folder.mkdir()
    with hub_of(folder) as (address, _):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        files = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield folder


def test_people_of_nemotron_personas_have_ids_facts_and_attributes(hub: Path, tmp_path: Path) -> None:
    data = hub / "nvidia/Nemotron-Personas-USA/data"
    data.mkdir(parents=True)
    for number in range(2):
        people = [PERSON | {"uuid": f"u{number}{one}", "age": 30 + one} for one in range(3)]
        pq.write_table(pa.Table.from_pylist(people), data / f"train-0000{number}-of-00002.parquet")
    job = load_job(JOBS / "nemotron_personas.yaml", [f"corpus={tmp_path}/corpus"])
    seeds = Seeds(sources_of(job.seeds, job.base, job.corpus), job.base, Storage(str(tmp_path / "corpus")), 0)
    first, *others = seeds.take(np.arange(len(seeds)))
    assert [first.id, *(one.id for one in others)] == ["u00", "u01", "u02", "u10", "u11", "u12"]
    assert first.personas == (("Ann is a nurse.", "She skis."),)
    assert first.speakers[0].attributes == {
        name: str(value)
        for name, value in (PERSON | {"age": 30}).items()
        if name in job.seeds[0].model_dump()["fields"]["attributes"]
    }
    assert len(first.speakers[0].attributes) == 9
    assert plan(job).summary.make == 6


def test_persona_hub_is_read_without_what_repeats(hub: Path, tmp_path: Path) -> None:
    data = hub / "proj-persona/PersonaHub"
    data.mkdir(parents=True)
    lines = [
        "A nurse who skis in winter and sails in summer.",
        "a nurse, who skis in winter and sails in summer",
        "A cook.",
    ]
    (data / "persona.jsonl").write_text("\n".join(json.dumps({"persona": line}) for line in lines))
    (data / "math.jsonl").write_text('{"input persona": "A teacher.", "synthesized text": "1 + 1"}')
    summary = plan(load_job(JOBS / "personahub.yaml", [f"corpus={tmp_path}/corpus"])).summary
    assert (summary.make, summary.near_duplicates, summary.bad_seeds) == (2, 1, 0)


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public data files are not beside the repository")
def test_published_lines_of_persona_hub_are_planned(tmp_path: Path) -> None:
    job = load_job(JOBS / "personahub.yaml", [f"corpus={tmp_path}/corpus", f"seeds.0.path={PUBLIC}"])
    summary = plan(job).summary
    assert summary.bad_seeds == 0
    assert summary.make + summary.near_duplicates + summary.repeated_seeds == 5_000
