"""A run without Ray and models: what the driver and its workers do, one shard after another in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from factory.corpus import Corpus
from factory.engines import LanguageModel, Message, Reply, Request
from factory.engines.scripted import ScriptedEngine
from factory.fingerprint import blake
from factory.job import LEGS, Job, build_stages
from factory.jobfile import load_job
from factory.nli import Probabilities
from factory.pipeline import run_row, trim
from factory.plan import STAGING, Plan, Work
from factory.records import DeadLetter, Row, rows_to_table
from factory.shard import leg_start, merge, todo
from factory.stages import Kit

Crash = Literal["staged", "letters"]

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
pairing: {{partners: 1, samples: 1}}
models:
  dialogue: {{engine: vllm, name: org/talker}}
  nli: {{name: org/nli}}
  embedding: {{name: org/vectors}}
stages:
  expand: {{count: 1, attempts: 1}}
  converse: {{turns: 3, min_turns: 3, attempts: 1}}
  extract: {{}}
  augment: {{count: 1, probability: 0.5}}
  verify: {{relevance: -1}}
  select: {{}}
run: {{rows_per_shard: 3}}
"""


class Talker:
    """A scripted engine that never says the same twice, and says nothing where a prompt holds a word of `mute`."""

    capacity = 8

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.mute: set[str] = set()
        self._engine = ScriptedEngine(LanguageModel(engine="scripted", name="scripted"))

    async def generate(self, request: Request) -> Reply:
        self.requests.append(request)
        salt = Message(role="user", content=f"Call {len(self.requests)}.")
        reply = await self._engine.generate(replace(request, messages=(*request.messages, salt)))
        if any(word in message["content"] for message in request.messages for word in self.mute):
            reply = replace(reply, completions=tuple(replace(said, text="") for said in reply.completions))
        return reply

    async def close(self) -> None:
        """Nothing to free."""


class HashNli:
    """Probabilities drawn by the hash of the pair."""

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        drawn = [np.random.default_rng(int(blake(*pair)[:8], 16)).dirichlet((2, 4, 1)) for pair in pairs]
        return [Probabilities(*(float(np.float32(share)) for share in shares)) for shares in drawn]


class HashEmbedder:
    """Unit vectors drawn by the hash of the text."""

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [np.random.default_rng(int(blake(text)[:8], 16)).normal(size=8) for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), 8)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class Rehearsal:
    """Runs jobs; `talker` keeps what was asked of it."""

    talker: Talker = field(default_factory=Talker)

    def run(
        self,
        job: Job,
        *,
        retry_failed: bool = False,
        shards: int | None = None,
        rows: int | None = None,
        crash: Crash | None = None,
    ) -> Plan:
        """Make what the job wants, or only so many shards, or only so many rows of each; or die over the last shard,
        when its rows are staged or its dead letters committed. The plan that was carried out."""
        plan = Plan(job, retry_failed=retry_failed)
        for chain in plan.wanted.chains.values():
            for recipe in chain:
                plan.corpus.save_recipe(recipe.id, recipe.model_dump(mode="json") | {"made_with": {"factory": "1"}})
        plan.letters.settle_seeds(plan.bad_seeds)
        plan.letters.settle(plan.stale_letters, ())
        plan.letters.commit()
        works = list(plan.work())[:shards]
        for number, work in enumerate(works, 1):
            died = self._shard(plan, work, rows, crash if number == len(works) else None)
            if died:
                return plan
        for path in plan.corpus.storage.list(STAGING):
            if (shards is None and rows is None) or path.endswith(".skeletons.parquet"):
                plan.corpus.storage.delete(path)
        return plan

    def _shard(self, plan: Plan, work: Work, rows: int | None, crash: Crash | None) -> bool:
        spec, corpus, chains = work.spec, plan.corpus, plan.wanted.chains
        if work.skeletons:
            spec.skeletons = f"{STAGING}/{spec.id}.skeletons.parquet"
            corpus.storage.write_parquet(spec.skeletons, rows_to_table(work.skeletons))
        letters: list[DeadLetter] = []
        for leg in range(spec.leg, len(LEGS)):
            done, failed = asyncio.run(self._leg(plan, todo(corpus, spec, leg, chains)[:rows], leg))
            letters += failed
            spec.failed = [letter.id for letter in letters]
            if done:
                staged = f"{STAGING}/{spec.id}-{leg}.rows.parquet"
                corpus.storage.write_parquet(staged, rows_to_table(done))
                spec.staged.append(staged)
        if crash == "staged":
            return True
        shard = merge(corpus, spec, chains).shard
        plan.letters.settle(spec.redo, letters)
        plan.letters.commit()
        if crash == "letters":
            return True
        if shard or spec.base:
            corpus.table.commit([shard] if shard else [], [spec.base] if spec.base else [], "rehearsed")
        return False

    async def _leg(
        self, plan: Plan, work: Iterable[tuple[Row, list[str], int]], leg: int
    ) -> tuple[list[Row], list[DeadLetter]]:
        stages = build_stages(plan.job)
        kit = Kit(self.talker, HashNli(), HashEmbedder())
        done: list[Row] = []
        letters: list[DeadLetter] = []
        for row, wanted, count in work:
            trim(row, count)
            chain = plan.wanted.chains[row.kind]
            letter = await run_row(row, chain[: leg_start(chain, leg + 1)], wanted, stages, lambda _: kit)
            if letter is None:
                done.append(row)
            else:
                letters.append(letter)
        return done, letters


def write_seeds(folder: Path, personas: dict[str, Sequence[str]], file: str = "a.jsonl") -> None:
    """The personas, by id, as the one seed file of `folder`."""
    (folder / "seeds").mkdir(exist_ok=True)
    lines = [json.dumps({"id": name, "facts": list(facts)}) for name, facts in personas.items()]
    (folder / "seeds" / file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def some_personas(count: int) -> dict[str, list[str]]:
    """So many personas, `p0` first; each has a word that no other has: its id, between stars."""
    return {f"p{number}": [f"I keep *p{number}* pets.", f"I own {number} boats."] for number in range(count)}


def job_in(folder: Path, *overrides: str, text: str = JOB) -> Job:
    """The job of this folder, with overrides as on the command line."""
    path = folder / "job.yaml"
    if not path.exists():
        path.write_text(text.format(folder=folder), encoding="utf-8")
    return load_job(path, overrides)


def rows_of(job: Job) -> dict[str, Row]:
    """The corpus by row id; fails on a row that stands in it twice."""
    rows: dict[str, Row] = {}
    for row in Corpus(job.corpus).rows():
        assert row.row_id not in rows
        rows[row.row_id] = row
    return rows


def letters_of(job: Job) -> dict[str, DeadLetter]:
    """The dead letters of rows by row id; fails on a row that has two."""
    letters: dict[str, DeadLetter] = {}
    for letter in Corpus(job.corpus).dead_letters():
        if letter.row_id is not None:
            assert letter.row_id not in letters
            letters[letter.row_id] = letter
    return letters


def wanted_of(plan: Plan) -> dict[str, Row]:
    """Skeletons of all wanted rows by row id."""
    return {row.row_id: row for row in plan.wanted.rows(plan.wanted.slots(0, 2**64 - 1))}


def settled(job: Job) -> bool:
    """Whether nothing is left to do."""
    planned = Plan(job)
    return not (planned.summary.rows or planned.stale_letters or list(planned.work()))
