"""Runs without Ray's processes and without models: the real driver, pools and workers, in this process."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from factory.base.fingerprint import blake
from factory.engines import LanguageModel, Message, Reply, Request
from factory.engines.scripted import ScriptedEngine
from factory.planning.plan import Plan, plan
from factory.running.run import Progress, run
from factory.scorers.nli import Probabilities
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.dead_letters import DeadLetter
from factory.store.records import Row
from tests.local_ray import Death, LocalRay, Steps

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
pairing: {{partners: 1, samples: 1}}
models:
  writer: {{engine: vllm, name: org/talker}}
  nli: {{kind: nli, name: org/nli}}
  embedding: {{kind: embedding, name: org/vectors}}
makers:
  expand: {{count: 1, attempts: 1}}
  converse: {{turns: 3, min_turns: 3, attempts: 1}}
  extract: {{min_entailment: 0}}
  augment: {{count: 1, probability: 0.5}}
scores:
  consistency: {{relevance: -1, turn_relevance: -1}}
select:
  reject: {{contradicts_persona: "consistency.contradiction >= 0.9"}}
  flag: {{may_contradict: "consistency.contradiction >= 0.5"}}
run: {{rows_per_shard: 3}}
"""


class Talker:
    """A scripted engine that never says the same twice (unless it is not `varied`), says nothing where a prompt holds a
    word of `mute`, and raises the error of one of `deadly`. It keeps what it was asked and what it answered."""

    capacity = 8

    def __init__(self, *, varied: bool = True) -> None:
        self.varied = varied
        self.requests: list[Request] = []
        self.replies: list[Reply] = []
        self.deadly: dict[str, Exception] = {}
        self.mute: set[str] = set()
        self._engine = ScriptedEngine(LanguageModel(engine="scripted", name="scripted"))
        self._asked = 0
        self._told: Callable[[int], None] = lambda _: None

    def listen(self, told: Callable[[int], None]) -> None:
        """Tell of each request from now on, before it is answered: which it is, from 1."""
        self._asked, self._told = 0, told

    async def generate(self, request: Request) -> Reply:
        self._asked += 1
        self._told(self._asked)
        self.requests.append(request)
        for word, error in self.deadly.items():
            if any(word in message["content"] for message in request.messages):
                raise error
        salt = Message(role="user", content=f"Call {len(self.requests) if self.varied else 0}.")
        reply = await self._engine.generate(replace(request, messages=(*request.messages, salt)))
        if any(word in message["content"] for message in request.messages for word in self.mute):
            reply = replace(reply, completions=tuple(replace(said, text="") for said in reply.completions))
        self.replies.append(reply)
        return reply

    async def close(self) -> None:
        """Nothing to free."""


class HashNli:
    """Probabilities drawn by the hash of the pair. It keeps what it was asked, and how often under each name."""

    def __init__(self) -> None:
        self.asked: list[Sequence[tuple[str, str]]] = []
        self.calls: Counter[str] = Counter()

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        self.asked.append(pairs)
        drawn = [np.random.default_rng(int(blake(*pair)[:8], 16)).dirichlet((2, 4, 1)) for pair in pairs]
        return [Probabilities(*(float(np.float32(share)) for share in shares)) for shares in drawn]


@dataclass
class _Named:
    """The NLI model of a job that has this name."""

    name: str
    nli: HashNli

    async def score(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        self.nli.calls[self.name] += 1
        return await self.nli.score(pairs)


class HashEmbedder:
    """Unit vectors drawn by the hash of the text."""

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [np.random.default_rng(int(blake(text)[:8], 16)).normal(size=8) for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), 8)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class Rehearsal:
    """Runs jobs as `factory run` does, with Ray's actors in this process; `talker` and `nli` keep what was asked of
    them, `steps` what the last run did. What is merged is committed at once, or later if `commit_every_s` says so."""

    talker: Talker = field(default_factory=Talker)
    nli: HashNli = field(default_factory=HashNli)
    steps: Steps = field(default_factory=Steps)
    commit_every_s: float = 0.0

    def run(
        self,
        job: Job,
        *,
        retry_failed: bool = False,
        limit: int | None = None,
        allow_failures: bool = True,
        stop_after: int | None = None,
        deaths: Sequence[Death] = (),
        at_step: Callable[[int, str], None] = lambda *_: None,
        order: int = 0,
        report: Callable[[Progress], None] = lambda _: None,
    ) -> Plan:
        """Make what the job wants, unless interrupted after so many requests, or killed. The plan that was carried
        out, and what it came to in `result`; Killed passes if the driver died."""
        self.steps = Steps(list(deaths), at_step)
        local = LocalRay(self.steps, random.Random(order))
        planned: list[Plan] = []

        def planning(*args: Any, **options: Any) -> Plan:
            planned.append(plan(*args, **options))
            return planned[0]

        def asked(count: int) -> None:
            self.steps.reach("request")
            if count == stop_after:
                os.kill(os.getpid(), signal.SIGINT)
                for actor in local.actors:
                    actor.instance._winding_down = True

        self.talker.listen(asked)
        replaced = {
            "factory.running.run.ray": local,
            "factory.running.cluster.ray": local,
            "factory.running.pool.ray": local,
            "factory.running.run._COMMIT_EVERY_S": self.commit_every_s,
            "factory.running.run._GATHER_S": 0.0,
            "factory.running.run.plan": planning,
            "factory.running.models.open_engine": lambda *_: self.talker,
            "factory.running.models.Nli": lambda model: _Named(model.name, self.nli),
            "factory.running.models.Embeddings": lambda _: HashEmbedder(),
        }
        with ExitStack() as stack:
            for name, stand_in in replaced.items():
                stack.enter_context(patch(name, stand_in))
            stack.enter_context(self.steps.in_storage())
            stack.callback(local.close)
            options = {"retry_failed": retry_failed, "limit": limit, "allow_failures": allow_failures}
            self.result = run(job, report=report, **options)
        return planned[0]


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
    planned = plan(job)
    return not (planned.summary.rows or planned.stale_letters or list(planned.work()))
