"""From a planted dump to seeds, and reading these: `python -m benchmarks.threads [--threads 180000] [--folder KEPT]`.

Writes a dump of threads whose dialogues are known (`tests/planted_threads.py`; 180,000 threads are about a million
comments) as one zstd file, rebuilds it in a process of its own, and holds every dialogue against what was planted. MB
are of the unpacked dump, seconds those of processors that the tasks took, without the start of Ray. `--personal`
`replace` screens as well, and tells what that took. Then the rebuilt dialogues are read as seeds, in this process.

Limitations: texts are short, and alike; comments have the fields of 2019, older ones have fewer.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from backports import zstd

from benchmarks.machine import print_machine
from factory.seeds.source import SeedSource
from factory.seeds.store import Seeds
from factory.store.storage import Storage
from tests.planted_threads import Dump, lines, planted

REBUILD = """
import json, sys
from dataclasses import asdict
from factory.running.threads import Wish, rebuild
done = rebuild([sys.argv[1]], sys.argv[2], Wish(personal=sys.argv[3]))
highest = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps(asdict(done) | {"driver_mb": int(highest.split()[1]) / 1024}))
"""


def written(dump: Dump, path: Path) -> int:
    """Write the dump; its bytes, unpacked."""
    size = 0
    with zstd.ZstdFile(path, "w") as file:
        for line in lines(dump.comments):
            file.write(line)
            size += len(line)
    return size


def check(dump: Dump, to: Path) -> None:
    """Raises AssertionError unless the dialogues are what was planted."""
    found = {}
    for file in sorted(to.glob("*.parquet")):
        for row in pq.read_table(file).to_pylist():
            authors, said = (one["id"] for one in row["speakers"]), (turn["text"] for turn in row["turns"])
            found[row["id"]] = (tuple(authors), tuple(said))
    assert found == dump.dialogues
    print(f"all {len(found):,} dialogues are what was planted")


def rebuild(dump: Dump, folder: Path, personal: str) -> Path:
    """Rebuild the dump in a process of its own, and say what it took."""
    path, to = folder / "RC_2019-01.zst", folder / f"seeds-{personal}"
    size = written(dump, path)
    print(
        f"{len(dump.comments):,} comments, {size / 1e6:,.0f} MB, packed {path.stat().st_size / 1e6:,.0f} MB", flush=True
    )
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-c", REBUILD, path, to, personal], capture_output=True, text=True, check=True
    )
    wall, done = time.monotonic() - began, json.loads(told.stdout.splitlines()[-1])
    assert done["bytes"] == size
    print(
        f"{size / 1e6 / done['cpu_s']:.1f} MB/s a core ({done['cpu_s']:.1f} s, of these {done['screening_s']:.1f} s "
        f"screening; {wall:.1f} s with the start of Ray), the driver at most {done['driver_mb']:.0f} MB"
    )
    print(json.dumps(done["counts"]))
    return to


def read(to: Path, folder: Path) -> None:
    """Read the dialogues as a plan does, the first time."""
    for again in range(3):
        began, cpu = time.monotonic(), time.process_time()
        seeds = Seeds([SeedSource(path=str(to))], to, Storage(str(folder / f"corpus-{again}")), max_bad=0)
        took, cpu = time.monotonic() - began, time.process_time() - cpu
        print(f"{len(seeds):,} dialogues read: {len(seeds) / cpu:,.0f} a core-second ({cpu:.2f} s, wall {took:.2f} s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=180_000)
    parser.add_argument("--folder", type=Path, help="a new folder, which is kept")
    parser.add_argument("--personal", choices=("keep", "replace", "drop"), default="keep")
    parser.add_argument("--read", type=Path, help="only read the dialogues in this folder")
    chosen = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as temporary:
        place = chosen.folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        if chosen.read is None:
            planted_dump = planted(chosen.threads)
            seeds_at = rebuild(planted_dump, place, chosen.personal)
            check(planted_dump, seeds_at)
            del planted_dump
        read(chosen.read or seeds_at, Path(temporary))
        print(f"this process at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
