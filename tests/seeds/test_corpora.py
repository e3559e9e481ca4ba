"""The personas of a corpus as seeds: of rows without turns, and of speakers of dialogues."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from factory.planning.plan import plan
from factory.seeds.corpora import CorpusSource, source_of
from factory.seeds.files import SourceError
from factory.seeds.store import Seeds
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.records import Seed
from factory.store.table import CorpusError
from factory.store.versions import log
from tests.rehearsal import JOB, Rehearsal, job_in, rows_of, settled, some_personas, write_seeds

PEOPLE = """\
corpus: {folder}/people
seeds: [{{path: seeds/*.jsonl}}]
models: {{writer: {{engine: vllm, name: org/talker}}}}
makers: {{profile: {{fields: [{{name: name}}, {{name: age, type: integer, low: 18}}]}}}}
run: {{rows_per_shard: 2}}
"""


def people(folder: Path, *overrides: str) -> Job:
    path = folder / "people.yaml"
    path.write_text(PEOPLE.format(folder=folder), encoding="utf-8")
    return load_job(path, overrides)


def newest(job: Job) -> int:
    return log(Corpus(job.corpus))[0].version


def talks(folder: Path, **source: object) -> Job:
    return job_in(folder, f"seeds=[{json.dumps({'corpus': 'people', **source})}]", "makers.augment=null")


def read(folder: Path, **source: object) -> list[Seed]:
    made = source_of(CorpusSource.model_validate({"corpus": "people", **source}), folder, str(folder / "own"))
    seeds = Seeds([made], folder, Corpus(str(folder / "own")).storage, 0)
    assert seeds.unkept == []
    return sorted(seeds.take(np.arange(len(seeds))), key=lambda seed: seed.id)


def test_a_persona_is_what_its_row_says_of_it(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3))
    job = people(tmp_path)
    Rehearsal().run(job)
    rows, seeds = rows_of(job), read(tmp_path)
    assert [seed.id for seed in seeds] == sorted(rows)
    for seed in seeds:
        (speaker,) = rows[seed.id].speakers
        assert seed.personas == (tuple(fact.text for fact in speaker.facts),)
        assert len(seed.personas[0]) == 4
        (told,) = seed.speakers
        assert told.attributes == {"age": "18", "parent": speaker.seed_id}
        assert told.name == speaker.attributes["name"]
        assert seed.source == f"corpus: people at version {newest(job)}"


def test_a_change_of_the_corpus_redoes_what_hangs_on_the_changed_rows(tmp_path: Path) -> None:
    personas = some_personas(6)
    write_seeds(tmp_path, personas)
    rehearsal, source, job = Rehearsal(), people(tmp_path), talks(tmp_path)
    rehearsal.run(source)
    rehearsal.run(job)
    assert settled(job)
    first, before = newest(source), rows_of(source)
    assert plan(job).summary.corpora == [f"people at version {first}"]
    write_seeds(tmp_path, personas | {"p2": ["I dive."]})
    rehearsal.run(source)
    assert plan(job).summary.corpora == [f"people at version {newest(source)}"]
    (changed,) = [key for key, row in rows_of(source).items() if row != before[key]]
    hanging = {key for key, row in rows_of(job).items() if changed in {seed.id for seed in row.seeds}}
    summary = plan(job).summary
    assert (summary.make, summary.drop, summary.remake.total()) == (0, 0, len(hanging))
    assert 1 <= len(hanging) < 6
    assert plan(talks(tmp_path, version=first)).summary.rows == 0
    rehearsal.run(job)
    assert settled(job)


def test_only_rows_that_are_accepted_or_undecided_are_read_unless_others_are_asked_for(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4) | {"more": ["I ski.", "I sail.", "I row."]})
    job = people(tmp_path, 'select={reject: {many: "row.sample = 0 AND row.turns > 0"}, flag: {}}')
    Rehearsal().run(job)
    assert len(read(tmp_path)) == 5
    rejecting = people(tmp_path, 'select={reject: {all: "row.turns = 0"}, flag: {}}')
    Rehearsal().run(rejecting)
    assert len(read(tmp_path, decisions=["reject"])) == 5
    with pytest.raises(SourceError, match="people at version .: no row with a persona is accepted"):
        read(tmp_path)


def test_each_speaker_of_a_dialogue_is_a_persona_without_its_distractors(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    text = JOB.replace("{folder}/corpus", "{folder}/people")
    job = job_in(tmp_path, "makers.augment.probability=1", "select=null", text=text)
    Rehearsal().run(job)
    rows = rows_of(job)
    assert any(speaker.facts_of("augment") for row in rows.values() for speaker in row.speakers)
    seeds = {seed.id: seed for seed in read(tmp_path)}
    assert seeds.keys() == {f"{key}-{number}" for key in rows for number in (0, 1)}
    for key, row in rows.items():
        for number, speaker in enumerate(row.speakers):
            own = speaker.facts_of("seed", "expand", "extract")
            assert seeds[f"{key}-{number}"].personas == (tuple(dict.fromkeys(own)),)
            assert seeds[f"{key}-{number}"].speakers[0].attributes["parent"] == speaker.seed_id


def test_a_corpus_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    with pytest.raises(SourceError, match="people: there is no corpus with rows here; run the job that makes it first"):
        plan(talks(tmp_path))
    Rehearsal().run(people(tmp_path))
    with pytest.raises(CorpusError, match="there is no version 77; the newest is"):
        plan(talks(tmp_path, version=77))
    with pytest.raises(SourceError, match="is the job's own corpus"):
        plan(job_in(tmp_path, "seeds=[{corpus: corpus}]"))
