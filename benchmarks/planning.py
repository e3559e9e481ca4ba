"""What a plan costs: `python benchmarks/planning.py [--rows 10000 …] [--folder KEPT]`.

Builds corpora of synthetic rows with the factory's own table, seeds, pairing and recipes, such that their jobs have
nothing left to do, and times plans over them, each in a process of its own: the first one of a new corpus, which reads
the seeds and makes every row (once), the first without a ledger, which indexes every shard (once), one that compares
and finds nothing to do, one after that, which finds the comparison made, and one after 1,000 seeds were added (medians
of three). Seconds are those of `plan` alone; interpreter
and imports are told apart. Memory is the highest of a process: all that was resident, mapped
files included, and what is the process's own (anonymous, sampled every 5 ms).

Limitations: columns that planning never reads are null, so shards are smaller than real ones; the files were just
written, so none of them is read off a cold disk; facts are made by rule.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter(), time.process_time()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from factory.planning.ledger import LEDGER, ranges  # noqa: E402
from factory.planning.plan import Plan, plan  # noqa: E402
from factory.planning.remembered import REMEMBERED  # noqa: E402
from factory.planning.wanted import Slots  # noqa: E402
from factory.seeds.digests import digests_of  # noqa: E402
from factory.seeds.store import SEEDS  # noqa: E402
from factory.spec.jobfile import load_job  # noqa: E402
from factory.store.records import row_id, row_schema  # noqa: E402
from factory.store.table import Shard  # noqa: E402

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
pairing: {{partners: {partners}, samples: {samples}}}
models:
  writer: {{name: org/talker}}
  nli: {{kind: nli, name: org/nli}}
  embedding: {{kind: embedding, name: org/vectors}}
makers: {{expand: {{}}, converse: {{}}, extract: {{}}, augment: {{}}}}
scores: {{consistency: {{}}}}
select: {{}}
run: {{rows_per_shard: {rows_per_shard}}}
"""
ROWS_PER_SHARD = 1024
ADDED = 1000
FACTS = ("keep {} pets", "have lived in {} towns", "own book number {}", "sing song number {}", "am number {} of all")
PAIRINGS = {10: (5, 2), 1: (1, 1)}
"""Partners and samples that make so many rows for each seed."""


def facts_of(seed: int) -> list[str]:
    """Five facts; the last is nobody else's."""
    return [f"I {fact.format(seed * 7919 % 10_007 if fact != FACTS[-1] else seed)}." for fact in FACTS]


def write_seeds(path: Path, numbers: range) -> None:
    """Seeds as a file that was not changed just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": f"p{number}", "facts": facts_of(number)}) + "\n" for number in numbers)
    os.utime(path, (time.time() - 60,) * 2)


class Rows:
    """The rows that a plan makes, as tables, finished by every maker and score."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        count = len(plan.wanted.seeds)
        self.ids = pa.array([f"p{number}" for number in range(count)])
        self.facts = pa.array([fact for number in range(count) for fact in facts_of(number)])
        self.digests = pa.array([digests_of((tuple(facts_of(number)),)) for number in range(count)])
        self.recipes = plan.wanted.making.recipes["generated"]
        self.schema = row_schema(plan.wanted.making.columns)

    def table(self, slots: Slots) -> pa.Table:
        """Rows in these slots; null where planning does not look."""
        count = len(slots)
        seeds = self.plan.wanted.seeds.sorted.seed[np.stack([slots.first, slots.second], axis=1).ravel()]
        columns = {
            "row_id": self._row_ids(seeds.reshape(count, 2), slots.sample),
            "kind": ["generated"] * count,
            "sample": slots.sample,
            "seeds": _lists(2, self.schema.field("seeds"), id=self.ids.take(seeds), digests=self.digests.take(seeds)),
            "donors": self._donors(slots),
            "stages": _lists(
                len(self.recipes),
                self.schema.field("stages"),
                stage=pa.array([recipe.stage for recipe in self.recipes] * count, pa.string()),
                recipe=pa.array([recipe.id for recipe in self.recipes] * count, pa.string()),
            ),
        }
        given = [columns.get(field.name, pa.nulls(count, field.type)) for field in self.schema]
        return pa.table(dict(zip(self.schema.names, given, strict=True)), schema=self.schema)

    def _row_ids(self, seeds: Any, samples: Any) -> list[str]:
        pairs = zip(seeds.tolist(), samples.tolist(), strict=True)
        return [row_id((f"p{first}", f"p{second}"), sample) for (first, second), sample in pairs]

    def _donors(self, slots: Slots) -> pa.Array:
        ordered = self.plan.wanted.seeds.sorted
        drawn = [self.plan.wanted._drawn(slots.first, slots.second, slots.slot, side) for side in (0, 1)]
        given, facts = (np.stack([part.T for part in parts], axis=1) for parts in zip(*drawn, strict=True))
        seeds = ordered.seed[given].ravel()
        texts = self.facts.take(seeds * len(FACTS) + (facts - ordered.starts[given]).ravel())
        field = self.schema.field("donors").type.value_field
        sides = _lists(given.shape[2], field, text=texts, source_id=self.ids.take(seeds))
        return pa.ListArray.from_arrays(np.arange(0, len(sides) + 1, 2, dtype=np.int32), sides)


def _lists(each: int, field: pa.Field, **columns: pa.Array) -> pa.Array:
    """Lists of `each` structs, null but for the columns given."""
    kinds = list(field.type.value_type)
    count = len(next(iter(columns.values())))
    given = [columns.get(kind.name, pa.nulls(count, kind.type)) for kind in kinds]
    structs = pa.StructArray.from_arrays(given, fields=kinds)
    return pa.ListArray.from_arrays(np.arange(0, count + 1, each, dtype=np.int32), structs)


def build(folder: Path, rows: int, per_seed: int) -> Path:
    """The job file of a corpus of so many rows that has all that it wants."""
    path = folder / f"{rows}-{per_seed}" / "job.yaml"
    if path.exists():
        return path
    began = time.perf_counter()
    shutil.rmtree(path.parent, ignore_errors=True)
    write_seeds(path.parent / "seeds" / "all.jsonl", range(rows // per_seed))
    partners, samples = PAIRINGS[per_seed]
    new = path.with_suffix(".new.yaml")
    new.write_text(JOB.format(folder=path.parent, partners=partners, samples=samples, rows_per_shard=ROWS_PER_SHARD))
    planned = plan(load_job(new))
    corpus, wanted = planned.corpus, planned.wanted
    for recipe in wanted.making.recipes["generated"]:
        corpus.save_recipe(recipe.id, recipe.model_dump(mode="json"))
    parts = [wanted.slots(low, high) for low, high in ranges(rows)]
    slots = Slots(*(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in Slots.__slots__))
    slots = slots.at(np.argsort(wanted.seeds.sorted.seed[slots.first], kind="stable"))
    made = Rows(planned)

    def shard(start: int) -> Shard:
        return corpus.table.write(made.table(slots.at(np.arange(start, min(start + ROWS_PER_SHARD, rows)))))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        corpus.table.commit(list(pool.map(shard, range(0, rows, ROWS_PER_SHARD))), [], "synthetic rows")
    new.rename(path)
    print(f"built {rows} rows in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return path


def status(name: str) -> int:
    """A line of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measure(path: Path) -> dict[str, Any]:
    """One plan, in this process."""
    imports = time.perf_counter() - BEGAN[0]
    before, peak, watched, done = status("RssAnon"), 0, 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak, watched
        while not done.wait(0.005):
            peak, watched = max(peak, status("RssAnon")), time.thread_time()

    watcher = threading.Thread(target=watch)
    watcher.start()
    job = load_job(path)
    wall, cpu = time.perf_counter(), time.process_time()
    summary = plan(job).summary
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    cpu -= watched
    told = {"wall": wall, "cpu": cpu, "resident": status("VmHWM"), "own": max(peak, before), "before": before}
    return told | {"imports": imports, "rows": summary.rows, "make": summary.make, "reasons": summary.reasons}


def compared(path: Path) -> dict[str, Any]:
    """One plan that compares."""
    (path.parent / "corpus" / REMEMBERED).unlink(missing_ok=True)
    return planned(path)


def planned(path: Path) -> dict[str, Any]:
    """One plan, in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(path)]
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told


def after_adding(path: Path, count: int, per_seed: int) -> dict[str, Any]:
    """A plan with 1,000 seeds more than `count`, which are taken away again."""
    corpus, seeds = path.parent / "corpus", path.parent / "seeds" / "new.jsonl"
    kept = set((corpus / SEEDS).iterdir())
    write_seeds(seeds, range(count, count + ADDED))
    told = planned(path)
    seeds.unlink()
    for cached in set((corpus / SEEDS).iterdir()) - kept:
        cached.unlink()
    assert told["reasons"]["make"]["seed added"] == ADDED * per_seed, told
    assert set(told["reasons"]["make"]) <= {"seed added", "partner changed"}, told
    return told


def of_new_corpus(path: Path) -> dict[str, Any]:
    """The plan of the same job with a corpus that is not there yet, which is taken away again."""
    folder, new = path.parent, path.with_name("empty.yaml")
    new.write_text(path.read_text().replace(f"{folder}/corpus", f"{folder}/empty"))
    told = planned(new)
    shutil.rmtree(folder / "empty")
    return told


def report(folder: Path, rows: int, per_seed: int) -> None:
    """Measure a corpus; a line of the table for each kind of plan, of the run that took the median time."""
    path, seeds = build(folder, rows, per_seed), rows // per_seed
    new = of_new_corpus(path)
    assert new["make"] == new["rows"] == rows, new
    shutil.rmtree(path.parent / "corpus" / LEDGER, ignore_errors=True)
    indexed = planned(path)
    nothing = [compared(path) for _ in range(3)]
    again = [planned(path) for _ in range(3)]
    assert not any(told["rows"] for told in (indexed, *nothing, *again)), nothing
    more = [after_adding(path, seeds, per_seed) for _ in range(3)]
    for what, plans in (
        ("new corpus", [new]),
        ("new ledger", [indexed]),
        ("nothing to do", nothing),
        ("nothing to do, again", again),
        (f"{ADDED:,} seeds more", more),
    ):
        for told in sorted(plans, key=lambda told: float(told["wall"]))[len(plans) // 2 :][:1]:
            seconds = (f"{told[name]:.2f}" for name in ("imports", "wall", "cpu"))
            memory = (f"{told[name] / 2**20:,.0f}" for name in ("resident", "own", "before"))
            each = f"{told['cpu'] / rows * 1e6:.1f}"
            line(f"{rows:,}", f"{seeds:,}", what, f"{told['rows']:,}", *seconds, each, *memory)


def line(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


def heading() -> None:
    """What was measured, on what, and the head of the table."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pyarrow", "deltalake"))
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    print(f"Commit {commit.stdout.strip()}, Python {platform.python_version()}, {versions}.")
    print(f"{os.cpu_count()} cores, {model.partition(': ')[2]}. Seconds; microseconds a row; MiB.\n")
    line("rows", "seeds", "plan", "planned", "imports", "wall", "CPU", "CPU a row", "resident", "own", "own before")
    line(*["---:"] * 2, "---", *["---:"] * 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7], help="sizes of corpora")
    parser.add_argument("--per-seed", type=int, nargs="+", default=[10, 1], choices=PAIRINGS, help="rows for each seed")
    parser.add_argument("--folder", type=Path, help="where the corpora are kept; a temporary folder without it")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    heading()
    with tempfile.TemporaryDirectory() as temporary:
        for per_seed in given.per_seed:
            for rows in given.rows:
                report(given.folder or Path(temporary), rows, per_seed)


if __name__ == "__main__":
    main()
