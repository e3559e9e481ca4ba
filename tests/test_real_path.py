"""The whole job on real parts: Ray, vLLM with the bundled model, NLI, embeddings, the Delta table."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from factory.methods.scores.consistency import scored_pairs
from factory.running.run import run
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.store.corpus import Corpus
from factory.store.records import Row
from tests.conftest import KEY
from tests.jobs import write_job, write_personas
from tests.running.test_run import assert_settled

ROWS = 4
MAKERS: dict[str, Any] = {
    "expand": {"count": 1},
    "converse": {"turns": 4, "candidates": 2, "sampling": {"max_tokens": 40}},
    "extract": {},
    "augment": {"probability": 1.0, "contradiction": 1.0},
}
SCORES: dict[str, Any] = {"consistency": {}}
SELECT = {"reject": {"contradicts_persona": "consistency.contradiction >= 0.95"}}
DIALOGUES = """\
{"id": "d1", "turns": ["Hi! I have two dogs.", "Nice, I am a nurse.", "I love to hike with my dogs.", "I work a lot."]}
{"id": "d2", "turns": [{"speaker": "Ann", "text": "Hello, do you work?"}, {"speaker": "Bo", "text": "I am a cook."}]}
{"id": "d3", "turns": ["I am alone"]}
"""


def job(folder: Path, writer: dict[str, Any]) -> Job:
    return load_job(write_job(folder, models={"writer": writer}, makers=MAKERS, scores=SCORES, select=SELECT))


def check_row(row: Row) -> None:
    """What every generated row must carry, however it was made."""
    assert [record.stage for record in row.stages] == [*MAKERS, *SCORES, "select"]
    assert 2 <= len(row.turns) <= 4
    assert [turn.speaker for turn in row.turns] == [number % 2 for number in range(len(row.turns))]
    assert all(turn.text and turn.completion_tokens and turn.prompt_tokens for turn in row.turns)
    assert all(sum(candidate.chosen for candidate in turn.candidates) == 1 for turn in row.turns)
    pairs = scored_pairs(row)
    assert len(pairs) >= row.scores["consistency"]["pairs"]
    assert all(abs(sum(astuple(pair.found)) - 1) < 0.01 for pair in pairs)
    assert row.scores["consistency"]["contradiction"] is not None
    assert row.decision is not None
    assert (row.decision == "accept") == (not row.reasons)
    distractors = [fact for speaker in row.speakers for fact in speaker.facts if fact.origin == "augment"]
    assert {fact.source_id for fact in distractors}.isdisjoint(seed.id for seed in row.seeds)
    converse = row.stages[1]
    assert converse.calls == sum(turn.attempts for turn in row.turns)
    assert converse.completion_tokens == sum(turn.completion_tokens for turn in row.turns)


@pytest.fixture(scope="module")
def by_vllm(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished corpus made in the worker's own vLLM."""
    folder = tmp_path_factory.mktemp("vllm")
    write_personas(folder, ROWS)
    made = job(folder, {"name": "smollm2", "adapter": "persona", "max_model_len": 768, "max_num_seqs": 16})
    result = run(made)
    assert result.committed + result.failed == ROWS
    assert result.tokens > 0
    return made


def test_every_row_is_complete(by_vllm: Job) -> None:
    rows = list(Corpus(by_vllm.corpus).rows())
    assert rows
    for row in rows:
        check_row(row)
    assert_settled(by_vllm)


def test_an_openai_server_gives_the_same_kinds_of_rows(
    tmp_path: Path, vllm_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONA_KEY", KEY)
    write_personas(tmp_path, ROWS)
    server = {"engine": "openai", "base_url": vllm_server, "api_key_env": "PERSONA_KEY", "max_num_seqs": 16}
    made = job(tmp_path, {"name": "tiny", **server})
    run(made)
    rows = list(Corpus(made.corpus).rows())
    assert rows
    for row in rows:
        check_row(row)
    assert_settled(made)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in written)


def test_dialogues_start_at_extraction(tmp_path: Path) -> None:
    (tmp_path / "dialogues.jsonl").write_text(DIALOGUES, encoding="utf-8")
    models = {"writer": {"name": "smollm2", "adapter": "persona", "max_model_len": 768, "max_num_seqs": 16}}
    seeds = [{"path": "dialogues.jsonl"}]
    made = load_job(write_job(tmp_path, models=models, seeds=seeds, makers={"extract": {}}, scores=SCORES))

    result = run(made)

    assert (result.committed, result.failed, result.bad_seeds) == (2, 0, 1)
    rows = {row.seeds[0].id: row for row in Corpus(made.corpus).rows()}
    assert rows["d1"].kind == "imported"
    assert [turn.text for turn in rows["d2"].turns] == ["Hello, do you work?", "I am a cook."]
    assert rows["d1"].stages[0].calls == 4
    (letter,) = Corpus(made.corpus).dead_letters()
    assert (letter.source, letter.line, letter.stage) == ("dialogues.jsonl", 3, "seeds")
