from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from factory.store.corpus import Corpus
from factory.store.table import CorpusError
from factory.views.status import status
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, some_personas, write_seeds


def test_the_counts_are_those_of_the_rows(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(7) | {"bad": []})
    near = "select={flag: {near: consistency.contradiction >= 0.2}}"
    job, rehearsal = job_in(tmp_path, near, "makers.expand=null"), Rehearsal()
    rehearsal.talker.mute = {"*p2*"}
    rehearsal.run(job)
    rows, counts = rows_of(job).values(), status(Corpus(job.corpus))
    assert counts["rows"] == len(rows)
    assert counts["turns"] == sum(len(row.turns) for row in rows)
    assert counts["decisions"] == Counter(row.decision for row in rows)
    assert counts["reasons"] == Counter(reason for row in rows for reason in row.reasons)
    assert counts["gates"] == Counter(line.gate for row in rows for line in row.extracted)
    assert counts["models"] == Counter(model for row in rows for record in row.stages for model in record.models)
    assert counts["dead_letters"] == {"converse/turn_empty": len(letters_of(job))}
    assert counts["bad_seeds"] == {"empty": 1}
    row, seed = counts["failures"]
    letters = letters_of(job).values()
    assert (row["kind"], row["stage"], row["reason"], row["count"]) == ("row", "converse", "turn_empty", len(letters))
    assert row["calls"] == sum(letter.calls for letter in letters) > 0
    assert set(row["details"]) <= {letter.detail for letter in letters}
    assert (seed["kind"], seed["calls"], seed["details"]) == ("seed", 0, ["seeds/a.jsonl, line 8: no fact in 'facts'"])
    scored: list[Any] = [row.scores["consistency"] for row in rows]
    told = counts["scores"]["consistency"]
    assert (told["rows"], told["failed"]) == (len(rows), {})
    for name in ("coverage", "entailed_share", "contradicted_share", "c_score", "apc"):
        assert told["means"][name] == pytest.approx(sum(one[name] for one in scored) / len(scored)), name
    json.dumps(counts)


def test_a_corpus_of_dead_letters_has_a_status(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"pets"}
    rehearsal.run(job)
    counts = status(Corpus(job.corpus))
    assert (counts["version"], counts["rows"], counts["decisions"]) == (None, 0, {})
    assert counts["cost"]["total"]["calls"] == counts["failures"][0]["calls"] == len(rehearsal.talker.requests)
    json.dumps(counts)


def test_without_a_corpus_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus here yet"):
        status(Corpus(str(tmp_path)))
