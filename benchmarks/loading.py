"""Rows a second that `Corpus.to_torch` gives, over plain pyarrow reads of the same columns, one after another.

    python -m benchmarks.loading [--rows 20000] [--shard 1024] [--rounds 3]

A corpus of made-up rows, of eight turns and twelve scored pairs each, is read shard by shard with pyarrow, into Arrow
tables and, as a training needs them, on into Python values; and by `to_torch`, which shuffles. In turns, each once in
each round. Limitations: what tokenizing and a DataLoader's workers take, and disks: files are in the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import pyarrow.parquet as pq

from benchmarks.machine import print_machine
from factory.base.fingerprint import blake
from factory.store.corpus import Corpus
from factory.store.records import Detail, Fact, Row, SeedRef, Speaker, Turn, rows_to_table

COLUMNS = {"dialogue": ["speakers", "turns"], "all": None}


def a_row(number: int) -> Row:
    facts = [Fact(f"I own {number % 97} hens of kind {kind}.", "seed", f"p{number}") for kind in range(5)]
    turns = [Turn(turn % 2, f"Turn {turn} of {number} has some words, as turns do.", "stop") for turn in range(8)]
    return Row(
        row_id=blake("row", str(number)),
        kind="generated",
        sample=0,
        seeds=[
            SeedRef(f"p{number}", ["f", "t", "a"], "a.jsonl", number),
            SeedRef(f"q{number}", ["f", "t", "a"], "a.jsonl", number),
        ],
        speakers=[Speaker(f"p{number}", f"p{number}", facts=facts), Speaker(f"q{number}", f"q{number}", facts=facts)],
        turns=turns,
        details=[
            Detail("consistency", "turn_persona", [0.4, 0.5, 0.4, 0.1], n % 2, n % 8, origin="seed", fact=n % 5)
            for n in range(12)
        ],
        decision="accept" if number % 4 else "reject",
    )


def ways(corpus: Corpus) -> dict[str, Callable[[], Iterator[int]]]:
    """Ways to read a corpus, each giving the rows of its steps."""
    found: dict[str, Callable[[], Iterator[int]]] = {}
    for name, columns in COLUMNS.items():

        def tables(columns: list[str] | None = columns) -> Iterator[int]:
            return (pq.read_table(file, columns=columns).num_rows for file in corpus.files())

        def lists(columns: list[str] | None = columns) -> Iterator[int]:
            return (len(pq.read_table(file, columns=columns).to_pylist()) for file in corpus.files())

        def loaded(columns: list[str] | None = columns) -> Iterator[int]:
            return (1 for _ in corpus.to_torch(columns=columns))

        def accepted(columns: list[str] | None = columns) -> Iterator[int]:
            return (1 for _ in corpus.to_torch(columns=columns, decisions=["accept"]))

        found |= {
            f"{name}: pyarrow, tables": tables,
            f"{name}: pyarrow, Python values": lists,
            f"{name}: to_torch": loaded,
            f"{name}: to_torch, accepted": accepted,
        }
    return found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--shard", type=int, default=1024, help="rows of a shard")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(folder)
        corpus.table.shards()
        firsts = range(0, given.rows, given.shard)
        rows = ([a_row(n) for n in range(first, min(first + given.shard, given.rows))] for first in firsts)
        corpus.table.commit([corpus.table.write(rows_to_table(some, {})) for some in rows], [], "made up")
        rounds = []
        for _ in range(given.rounds):
            speeds = {}
            for name, way in ways(corpus).items():
                began = time.perf_counter()
                speeds[name] = sum(way()) / (time.perf_counter() - began)
            rounds.append(speeds)
    print("| columns and way | rows/s | of pyarrow's Python values |")
    print("| --- | ---: | ---: |")
    for name in rounds[0]:
        plain = f"{name.split(':')[0]}: pyarrow, Python values"
        ratio = statistics.median(speeds[name] / speeds[plain] for speeds in rounds)
        print(f"| {name} | {statistics.median(speeds[name] for speeds in rounds):,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
