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

from factory.methods import struct_of
from factory.methods.scores.consistency import Consistency
from factory.store.corpus import Corpus
from factory.store.records import ROW_SCHEMA, Candidate, Detail, Fact, Row, SeedRef, Speaker, Turn, rows_to_table

SHARD, TURNS, CANDIDATES, FACTS, PAIRS = 256, 8, 6, 13, 80
COLUMNS = {Consistency.name: struct_of(Consistency.columns)}
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
    values = [0.3, 0.1, 0.8, 0.1]
    pair = Detail(Consistency.name, "turn_persona", values, speaker=0, turn=0, origin="seed", fact=3)
    scores = dict.fromkeys((column.name for column in Consistency.columns), 0.4) | {
        "contradiction": 0.1,
        "c_score": 0.5,
        "profile_length": FACTS,
        "apc": 5.0,
        "entailed_share": number / SHARD,
        "pairs": PAIRS,
    }
    seeds = [SeedRef(name, ["f", "t", "a"], "personas.jsonl", 1) for name in "ab"]
    return Row("", "generated", 0, seeds, speakers, turns=turns, scores={Consistency.name: scores},
               details=[pair] * PAIRS, decision="accept")  # fmt: skip


def make(root: Path, rows: int) -> None:
    """Commit so many rows; the same ones in each shard, but for ids, seeds and sample."""
    corpus = Corpus(str(root))
    corpus.table.shards()
    corpus.table.grow(COLUMNS, "made up")
    first_samples, shards = rows_to_table([a_row(number) for number in range(SHARD)], COLUMNS), []
    others = pa.concat_tables([first_samples.slice(1), first_samples.slice(0, 1)]).combine_chunks()
    for first in range(0, rows, SHARD):
        numbers = range(first, first + SHARD)
        table = first_samples if first < rows // 2 else others
        ids = [[f"{number % (rows // 2)}{side}" for side in "ab"] for number in numbers]
        refs = [[{"id": id_, "digests": ["f", "t", "a"], "source": "s", "line": 1} for id_ in pair] for pair in ids]
        columns = {
            "row_id": pa.array([f"{number:032x}" for number in numbers]),
            "sample": pa.array([number // (rows // 2) for number in numbers], pa.int32()),
            "seeds": pa.array(refs, ROW_SCHEMA.field("seeds").type),
            "speakers": renamed(table["speakers"].combine_chunks(), [id_ for pair in ids for id_ in pair]),
        }
        for name, column in columns.items():
            table = table.set_column(ROW_SCHEMA.get_field_index(name), ROW_SCHEMA.field(name), column)
        shards.append(corpus.table.write(table))
    corpus.table.commit(shards, [], "made up")


def renamed(speakers: pa.ListArray, ids: list[str]) -> pa.ListArray:
    """The speakers with other ids, which say what split they are on."""
    held = speakers.flatten()
    parts = [pa.array(ids) if one.name in ("id", "seed_id") else held.field(one.name) for one in held.type]
    return pa.ListArray.from_arrays(
        speakers.offsets, pa.StructArray.from_arrays(parts, fields=list(held.type)), type=speakers.type
    )


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
