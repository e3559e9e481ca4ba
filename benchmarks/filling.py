"""What it costs to fill a new score into a corpus: `python -m benchmarks.filling [--rows 100000]`.

A corpus of made-up dialogues (eight turns, six facts, some twenty scored pairs a row) gets a second `consistency`. The
factory's own work is timed shard by shard, as a worker does it: reading the rows and what is left to do for them,
staging, and merging into the new shard; and the commit with the new column. Beside it the score itself, by the bundled
models, over a sample of the same rows. All in CPU seconds of one process.

Limitations: no Ray, which costs about 4 ms a shard; texts are drawn from few words, so files are smaller than real
ones.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path

from factory.methods.example import kit as example_kit
from factory.methods.scores.consistency import Consistency, ConsistencyParams
from factory.planning.shard import STAGING, ShardSpec, todo
from factory.running.merging import merge
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from factory.spec.identity import row_fingerprints
from factory.spec.jobfile import load_job
from factory.spec.phases import Making, making
from factory.store.corpus import Corpus
from factory.store.records import Detail, Fact, Row, SeedRef, Speaker, StageRecord, Turn, rows_to_table

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds.jsonl}}]
scores:
  consistency: {{}}
  again: {{method: consistency, relevance: 0.2}}
"""
ROWS_PER_SHARD, SAMPLE = 1024, 200
WORDS = (
    "I",
    "we",
    "my",
    "dog",
    "house",
    "ski",
    "sail",
    "work",
    "at",
    "night",
    "in",
    "the",
    "city",
    "tea",
    "old",
    "films",
)


def sentence(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=9)) + "."


def a_row(number: int, job: Making, draw: random.Random) -> Row:
    row = Row(f"{number:032x}", "imported", 0, [SeedRef(f"d{number}", ["0" * 32] * 3, "seeds.jsonl", number)], [])
    for side in "ab":
        facts = [Fact(sentence(draw), "seed", row.seeds[0].id) for _ in range(3)]
        row.speakers.append(Speaker(f"{number}{side}", row.seeds[0].id, facts=facts))
    row.turns = [Turn(place % 2, sentence(draw)) for place in range(8)]
    first = job.recipes["imported"][0]
    fingerprint = row_fingerprints([first], row)[first.stage]
    row.stages = [StageRecord(first.stage, first.id, fingerprint)]
    row.scores[first.stage] = {column.name: 0.5 if column.type == "double" else 20 for column in Consistency.columns}
    values = [draw.random() for _ in range(4)]
    row.details = [
        Detail(first.stage, "turn_persona", values, 0, turn % 8, None, "seed", turn % 3) for turn in range(20)
    ]
    return row


def fill(corpus: Corpus, job: Making) -> dict[str, float]:
    """CPU seconds of each step over the corpus."""
    took = dict.fromkeys(("read", "stage", "merge", "commit"), 0.0)

    def lap(step: str) -> None:
        nonlocal since
        took[step] += time.process_time() - since
        since = time.process_time()

    shards, new = corpus.table.shards(), []
    for shard in shards:
        since = time.process_time()
        ids = [row["row_id"] for row in corpus.table.read(shard, ["row_id"]).to_pylist()]
        spec = ShardSpec(uuid.uuid4().hex, shard, redo=ids, rows=(len(ids),))
        work, kept = todo(corpus, spec, 0, job)
        lap("read")
        for one in work:
            (stage,) = one.stages
            recipe = job.recipes["imported"][-1]
            one.row.scores[stage] = dict(one.row.scores["consistency"])
            one.row.stages.append(StageRecord(stage, recipe.id, one.wanted[stage]))
        since = time.process_time()
        spec.staged = [f"{STAGING}/{spec.id}-0-0.rows.arrow"]
        corpus.storage.write_arrow(spec.staged[0], rows_to_table([one.row for one in work], kept))
        lap("stage")
        new.append(merge(corpus, spec, job).shard)
        lap("merge")
    since = time.process_time()
    corpus.table.grow(job.columns, "benchmark")
    corpus.table.commit([shard for shard in new if shard], shards, "filled")
    lap("commit")
    return took


async def score(rows: list[Row]) -> float:
    """CPU seconds of the score itself, by the bundled models."""
    nli, embedder = Nli(NliModel(name="nli-small")), Embeddings(EmbeddingModel())
    measure = Consistency(ConsistencyParams(relevance=0.2))
    kit = replace(example_kit(), nli=nli, embedder=embedder)
    await asyncio.gather(*(measure.score(row, kit) for row in rows[:8]))
    since = time.process_time()
    await asyncio.gather(*(measure.score(row, kit) for row in rows))
    return time.process_time() - since


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=100_000)
    count = arguments.parse_args().rows
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.yaml").write_text(JOB.format(folder=folder), encoding="utf-8")
        job = load_job(folder / "job.yaml")
        made, corpus = making(job), Corpus(job.corpus)
        first = {"consistency": made.columns["consistency"]}
        shards, sample = [], []
        for start in range(0, count, ROWS_PER_SHARD):
            rows = [a_row(number, made, draw) for number in range(start, min(count, start + ROWS_PER_SHARD))]
            sample = sample or rows[:SAMPLE]
            shards.append(corpus.table.write(rows_to_table(rows, first)))
        corpus.table.grow(first, "benchmark")
        corpus.table.commit(shards, [], "made")
        size = sum(shard.size for shard in shards)
        took = fill(corpus, made)
        scoring = asyncio.run(score(sample)) / len(sample)
        filling = sum(took.values()) / count
        steps = ", ".join(f"{step} {1e3 * seconds / count:.2f}" for step, seconds in took.items())
        print(f"{count:,} rows, {size / count:,.0f} bytes each; filling {1e3 * filling:.2f} ms of CPU a row ({steps})")
        print(f"the score itself {1e3 * scoring:.1f} ms of CPU a row: filling adds {filling / scoring:.1%}")


if __name__ == "__main__":
    main()
