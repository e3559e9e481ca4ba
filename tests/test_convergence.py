"""Whatever happens to a corpus, a run that is let finish leaves exactly what the job wants."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from polars.testing import assert_frame_equal

from factory.planning.plan import plan
from factory.spec.identity import row_fingerprints
from factory.spec.job import Job
from factory.spec.select import scored_frame
from factory.store.corpus import Corpus
from tests.local_ray import Death, Killed
from tests.rehearsal import (
    Rehearsal,
    job_in,
    letters_of,
    rows_of,
    settled,
    some_personas,
    wanted_of,
    write_seeds,
)

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
models:
  writer: {{engine: vllm, name: org/talker}}
  nli: {{kind: nli, name: org/nli}}
  embedding: {{kind: embedding, name: org/vectors}}
makers:
  converse: {{turns: 2, min_turns: 2, attempts: 1}}
  augment: {{count: 1, probability: 0.5}}
scores:
  consistency: {{relevance: 0, turn_relevance: 0}}
select:
  reject: {{contradicts_persona: "consistency.contradiction >= 0.9"}}
  flag: {{may_contradict: "consistency.contradiction >= 0.5"}}
run: {{rows_per_shard: 2}}
"""
NAMES = [f"p{number}" for number in range(7)]
OF_JOBS = {"converse", "augment", "select"}
CHANGES = [
    "makers.converse.turns=3",
    "makers.augment.probability=0.9",
    "makers.augment=null",
    "scores.consistency.relevance=0.1",
    "scores.strict={method: consistency, relevance: 0.3}",
    "select.reject.contradicts_persona=consistency.contradiction >= 0.7",
    "select=null",
    "pairing.partners=2",
    "pairing.samples=2",
    "run.rows_per_shard=1",
    "run.rows_per_shard=5",
]


class Life(RuleBasedStateMachine):
    """A corpus whose seeds, job and fortunes change."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="corpus-"))
        self.personas = dict(list(some_personas(len(NAMES)).items())[:4])
        self.overrides: set[str] = set()
        self.jobs: dict[tuple[str, ...], Job] = {}
        self.rehearsal = Rehearsal()
        self._write()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.rehearsal.talker.mute = set()
            self.run_to_the_end(retry=True)
            assert not letters_of(self.job)
            shutil.rmtree(self.folder)

    @property
    def job(self) -> Job:
        key = tuple(sorted(self.overrides))
        if key not in self.jobs:
            self.jobs[key] = job_in(self.folder, *key, text=JOB)
        return self.jobs[key]

    def _write(self) -> None:
        write_seeds(self.folder, self.personas)

    @rule(name=st.sampled_from(NAMES), words=st.integers(0, 2))
    def write_seed(self, name: str, words: int) -> None:
        self.personas[name] = [f"I keep *{name}* pets.", f"I own {words} boats."]
        self._write()

    @rule(name=st.sampled_from(NAMES))
    def remove_seed(self, name: str) -> None:
        if len(self.personas) > 2:
            self.personas.pop(name, None)
            self._write()

    @rule(override=st.sampled_from(CHANGES))
    def change_or_restore_a_parameter(self, override: str) -> None:
        self.overrides ^= {override}

    @rule(name=st.sampled_from(NAMES))
    def make_a_seed_fail_or_heal(self, name: str) -> None:
        self.rehearsal.talker.mute ^= {f"*{name}*"}

    @rule(requests=st.integers(1, 20), order=st.integers(0, 9), retry=st.booleans())
    def interrupt(self, requests: int, order: int, retry: bool) -> None:
        self.rehearsal.run(self.job, stop_after=requests, order=order, retry_failed=retry)

    @rule(
        deaths=st.lists(st.builds(Death, st.integers(0, 150), st.booleans()), min_size=1, max_size=4),
        order=st.integers(0, 9),
        retry=st.booleans(),
    )
    def kill(self, deaths: list[Death], order: int, retry: bool) -> None:
        with suppress(Killed):
            self.rehearsal.run(self.job, deaths=deaths, order=order, retry_failed=retry)

    @rule(retry=st.booleans())
    def run_to_the_end(self, retry: bool) -> None:
        done = self.rehearsal.run(self.job, retry_failed=retry)
        rows, letters, after = rows_of(self.job), letters_of(self.job), plan(self.job)
        wanted = wanted_of(after)
        assert rows.keys() | letters.keys() == wanted.keys()
        assert not rows.keys() & letters.keys()
        for key, row in rows.items():
            chain = after.wanted.making.recipes[row.kind]
            target = row_fingerprints(chain, wanted[key])
            names = [recipe.stage for recipe in chain]
            made = {record.stage: record.fingerprint for record in row.stages}
            assert [name for name in made if name in names] == names
            assert {name: made[name] for name in names} | {"select": ""} == target | {"select": ""}
            assert not OF_JOBS.intersection(made).difference(names)
            assert row.scores.keys() >= self.job.scores.keys()
            if "augment" in self.job.makers:
                assert row.donors == wanted[key].donors
        if rows and self.job.select is not None:
            frame = scored_frame(Corpus(self.job.corpus).scan(), self.job.select, "decision", "reasons").collect()
            assert_frame_equal(self.job.select.decide(frame), frame.select("decision", "reasons"))
        assert settled(self.job)
        assert not (done.summary.rows and after.corpus.storage.list("_staging"))  # a run without work sweeps nothing

    @invariant()
    def no_row_is_held_twice(self) -> None:
        if hasattr(self, "folder"):
            rows_of(self.job)
            letters_of(self.job)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=24,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
