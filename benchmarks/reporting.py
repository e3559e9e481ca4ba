"""A report of a large corpus: time and memory to make it, its size, and how soon a browser has it open.

    python -m benchmarks.reporting [--rows 100000]

The corpus is made up: personas of `personas.py`, eight turns that say own facts or something else, probabilities drawn
so that people with allergies are contradicted more often, decisions by the conditions of `jobs/quickstart.yaml`. The
report is made in a process of its own, and opened from disk in a headless Chromium. Limitations: texts as varied as a
large model's.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pyarrow as pa
from playwright.sync_api import sync_playwright

from benchmarks.machine import print_machine
from benchmarks.personas import facts_of, sentences
from factory.methods import struct_of
from factory.methods.scores.consistency import Consistency
from factory.spec.jobfile import load_job
from factory.spec.select import scored_frame
from factory.store.corpus import Corpus
from factory.store.records import (
    Detail,
    Fact,
    Row,
    SeedRef,
    Speaker,
    StageRecord,
    Turn,
    row_id,
    rows_to_table,
)

PER_SHARD, FACTS, SCORED, TURNS = 2500, 5, 3, 8
COLUMNS = {Consistency.name: struct_of(Consistency.columns)}
JOB = Path(__file__).parents[1] / "jobs" / "quickstart.yaml"
TALK = sentences("neutral")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
REPORT = """
import resource, sys, time
began = time.monotonic()
from pathlib import Path; from factory import Corpus; from factory.views.report import report
report(Corpus(sys.argv[1]), Path(sys.argv[2]))
print(f"{time.monotonic() - began:.1f} s, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
"""


@cache
def speaker(seed: int) -> Speaker:
    return Speaker(f"p{seed}", f"p{seed}", facts=[Fact(fact, "seed", f"p{seed}") for fact in facts_of(seed, FACTS)])


def made_up(number: int, rows: int) -> Row:
    """One dialogue of two personas, of whom there are half as many as rows."""
    rng, speakers = random.Random(number), [speaker(number % (rows // 2)), speaker((number * 7 + 1) % (rows // 2))]
    seeds = [SeedRef(one.seed_id, [one.seed_id] * 3, "personas.jsonl", 1) for one in speakers]
    row = Row(row_id((seeds[0].id, seeds[1].id), number), "generated", number, seeds, speakers)
    for turn in range(TURNS):
        own = speakers[turn % 2].facts_of("seed")
        text = rng.choice(own) if rng.random() < 0.5 else rng.choice(TALK)
        row.turns.append(Turn(turn % 2, text, "stop", 200, 15, 150, 1))
        odds = 0.05 if any("allerg" in fact for fact in own) else 0.004
        for place, fact in enumerate(own[:SCORED]):
            wrong = rng.betavariate(8, 1) if rng.random() < odds else rng.betavariate(0.4, 40)
            right = (1 - wrong) * (rng.betavariate(20, 1) if fact == text else rng.betavariate(0.5, 6))
            values = [0.3, right, 1 - wrong - right, wrong]
            row.details.append(
                Detail(Consistency.name, "turn_persona", values, turn % 2, turn, origin="seed", fact=place)
            )
    entailments, contradictions = ([detail.values[place] for detail in row.details] for place in (1, 3))
    entailed = sum(one > 0.5 for one in entailments) / len(entailments)
    contradicted = sum(one > 0.5 for one in contradictions) / len(contradictions)
    row.scores[Consistency.name] = {
        "contradiction": max(contradictions),
        "self_contradiction": 0.0,
        "extracted_contradiction": 0.0,
        "c_score": SCORED * (entailed - contradicted),
        "profile_length": FACTS,
        "apc": 4 + rng.gauss(0, 0.3),
        "entailed_share": entailed,
        "contradicted_share": contradicted,
        "coverage": rng.betavariate(4, 6),
        "pairs": len(row.details),
    }
    began = BEGAN + timedelta(seconds=number / 100)
    row.stages = [StageRecord("converse", "made-up", "", ["made-up"], None, TURNS, 1600, 120, 1200, began, 2.0)]
    return row


def shard(numbers: range, rows: int) -> pa.Table:
    """So many of the rows, decided."""
    made = [made_up(number, rows) for number in numbers]
    frame = pl.DataFrame(rows_to_table(made, COLUMNS)).lazy()
    conditions = load_job(JOB).select
    decided = conditions.decide(scored_frame(frame, conditions).collect())
    for row, (decision, reasons) in zip(made, decided.iter_rows(), strict=True):
        row.decision, row.reasons = decision, reasons
    return rows_to_table(made, COLUMNS)


def write(root: Path, rows: int) -> None:
    table, numbers = Corpus(str(root)).table, range(rows)
    table.shards()
    table.grow(COLUMNS, "made up")
    parts = [numbers[first : first + PER_SHARD] for first in range(0, rows, PER_SHARD)]
    shards = [table.write(shard(part, rows)) for part in parts]
    table.commit(shards, [], f"{rows} rows made up")


def opened(page: Path) -> str:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab, began = browser.new_page(), time.monotonic()
        tab.goto(page.as_uri())
        loaded = time.monotonic() - began
        tab.locator("article").first.wait_for()
        shown = time.monotonic() - began
    return f"opened: load event after {loaded:.2f} s, first dialogue after {shown:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        corpus, page = Path(folder) / "corpus", Path(folder) / "report.html"
        write(corpus, rows)
        command = [sys.executable, "-c", REPORT, str(corpus), str(page)]
        made = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(f"{rows:,} rows: report made in {made} at most; page of {page.stat().st_size / 1e6:.2f} MB")
        print(opened(page))


if __name__ == "__main__":
    main()
