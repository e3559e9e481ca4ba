"""What a change redoes: `python -m benchmarks.exactly [--rows 10000]`.

A corpus of scripted rows, and then one change of its job after another: a score more, one less, one changed, `augment`
added, a condition moved, a score that reads another's model. For each, what `plan` says (rows and calls by entry), what
the run did (calls that were counted by entry, requests to the engine and to the NLI model), and the seconds of both.
Driver, pools and workers are the real ones, in this process; the engine and the scorers are scripted, so the seconds
are the factory's own.

Limitations: no Ray processes; seconds of the scorers are not those of models.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import polars as pl

from factory.planning.plan import plan
from factory.spec.job import Job
from factory.store.corpus import Corpus
from tests.rehearsal import Rehearsal, job_in

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
models:
  writer: {{engine: vllm, name: org/talker}}
  nli: {{kind: nli, name: org/nli}}
  other_nli: {{kind: nli, name: org/other}}
  embedding: {{kind: embedding, name: org/vectors}}
makers:
  converse: {{turns: 4, min_turns: 4, attempts: 1}}
  extract: {{}}
scores:
  consistency: {{relevance: -1, turn_relevance: -1}}
select:
  reject: {{contradicts_persona: "consistency.contradiction >= 0.9"}}
run: {{rows_per_shard: 256}}
"""
CHANGES = {
    "nothing": [],
    "a condition moved": ["select.reject.contradicts_persona='consistency.contradiction >= 0.6'"],
    "one more score": ["scores.strict={method: consistency, nli: other_nli, relevance: -1, turn_relevance: -1}"],
    "that score changed": ["scores.strict={method: consistency, nli: other_nli, relevance: 0, turn_relevance: -1}"],
    "one score less": ["scores.strict=null"],
    "augment added": ["makers.augment={probability: 0.5}"],
}


def write_seeds(folder: Path, count: int) -> None:
    (folder / "seeds").mkdir()
    lines = (
        json.dumps({"id": f"p{number}", "facts": [f"I keep {number} pets.", f"I own {number} boats."]})
        for number in range(count)
    )
    (folder / "seeds" / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def counted(corpus: Corpus, since: float) -> dict[str, int]:
    """Rows by entry whose record is of this run."""
    stages = corpus.to_polars(columns=["stages"]).explode("stages").unnest("stages")
    made = stages.filter(pl.col("started_at").dt.epoch("us") / 1e6 >= since)
    return dict(made.group_by("stage").len().sort("stage").collect().iter_rows())


def change(job: Job, rehearsal: Rehearsal, what: str) -> None:
    """Plan and run a changed job, and print what both came to."""
    began = time.perf_counter()
    planned = plan(job).summary
    seconds = time.perf_counter() - began
    asked, judged, since = len(rehearsal.talker.requests), len(rehearsal.nli.asked), time.time()
    began = time.perf_counter()
    rehearsal.run(job)
    ran = time.perf_counter() - began
    requests, batches = len(rehearsal.talker.requests) - asked, len(rehearsal.nli.asked) - judged
    print(f"{what}: {planned.rows:,} rows to do, planned in {seconds:.2f} s, run in {ran:.1f} s")
    calls = {name: (planned.least_calls[name], planned.most_calls[name]) for name in sorted(planned.calls)}
    print(f"  planned calls, least and most {calls}")
    print(f"  rows redone {counted(Corpus(job.corpus), since)}; {requests:,} requests, {batches:,} batches of pairs")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=10_000)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, rehearsal = Path(name), Rehearsal()
        write_seeds(folder, given.rows)
        change(job_in(folder, text=JOB), rehearsal, "the corpus")
        overrides: list[str] = []
        for what, sets in CHANGES.items():
            overrides += sets
            change(job_in(folder, *overrides), rehearsal, what)


if __name__ == "__main__":
    main()
