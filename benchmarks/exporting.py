"""Peak memory and pace of an export, by the size of the corpus.

    python -m benchmarks.exporting [--rows 2048 40960] [--formats chat ranking slots]

Rows are alike: 8 turns of 6 candidates, 13 facts and 80 scored pairs, in shards of 256, two samples of each pair of
seeds, in different shards. Each export is a process of its own; memory is its largest resident set, and that of one
that only imports the code is shown first. Limitations: the corpus's Delta log is made by one commit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from factory.store.corpus import Corpus
from factory.store.records import (
    ROW_SCHEMA,
    Candidate,
    Consistency,
    Fact,
    PairScore,
    Row,
    SeedRef,
    Speaker,
    Turn,
    rows_to_table,
)  # fmt: skip

SHARD, TURNS, CANDIDATES, FACTS, PAIRS = 256, 8, 6, 13, 80
CHILD = (
    "import resource, sys; from factory.export import export; a = sys.argv[1:]; "
    "own = {'of': 'slot'} if a[1:2] == ['slots'] else {}; "
    "told = export(a[0], 'preference' if own else a[1], a[2], splits={'test': 0.2}, **own) if a else None; "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, told and told.rows)"
)


def a_row(number: int) -> Row:
    texts = [f"I have {number} hens and {place} geese on the farm." for place in range(TURNS * CANDIDATES)]
    turns = []
    for place in range(TURNS):
        own = texts[place * CANDIDATES : (place + 1) * CANDIDATES]
        scored = [Candidate(text, not index, 0.5, index / 8, 0.0) for index, text in enumerate(own)]
        turns.append(Turn(place % 2, own[0], "stop", 200, 20, 150, 1, scored))
    speakers = [
        Speaker(name, name, facts=[Fact(f"I like {place} things.", "seed", name) for place in range(FACTS)])
        for name in "ab"
    ]
    pair = PairScore("turn_persona", 0, 0, "I like 3 things.", texts[0], 0.3, 0.1, 0.8, 0.1)
    scores = Consistency(0.5, FACTS, 5.0, number / SHARD, 0.1, 0.4, PAIRS)
    seeds = [SeedRef(name, ["f", "t", "a"], "personas.jsonl", 1) for name in "ab"]
    return Row("", "generated", 0, seeds, speakers, turns=turns, scores=[pair] * PAIRS, consistency=scores,
               decision="accept")  # fmt: skip


def make(root: Path, rows: int) -> None:
    """Commit so many rows; the same ones in each shard, but for ids, seeds and sample."""
    corpus = Corpus(str(root))
    corpus.table.shards()
    first_samples, shards = rows_to_table([a_row(number) for number in range(SHARD)]), []
    others = pa.concat_tables([first_samples.slice(1), first_samples.slice(0, 1)]).combine_chunks()
    for first in range(0, rows, SHARD):
        numbers = range(first, first + SHARD)
        table = first_samples if first < rows // 2 else others
        pairs = [number % (rows // 2) for number in numbers]
        refs = [[{"id": f"{pair}{side}", "digest": "d", "source": "s", "line": 1} for side in "ab"] for pair in pairs]
        columns = {
            "row_id": pa.array([f"{number:032x}" for number in numbers]),
            "sample": pa.array([number // (rows // 2) for number in numbers], pa.int32()),
            "seeds": pa.array(refs, ROW_SCHEMA.field("seeds").type),
        }
        for name, column in columns.items():
            table = table.set_column(ROW_SCHEMA.get_field_index(name), ROW_SCHEMA.field(name), column)
        shards.append(corpus.table.write(table))
    corpus.table.commit(shards, [], "made")


def measure(*arguments: str) -> str:
    child = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=True)
    return child.stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2048, 40960])
    parser.add_argument("--formats", nargs="+", default=["chat", "ranking", "slots"])
    options = parser.parse_args()
    print(f"imports alone: {measure().split()[0]} MiB")
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder) / "corpus", rows)
            for kind in options.formats:
                began = time.monotonic()
                memory, told = measure(f"{folder}/corpus", kind, f"{folder}/{kind}").split(maxsplit=1)
                print(f"{rows} rows, {kind}: {memory} MiB, {time.monotonic() - began:.1f} s, {told}", flush=True)
