"""Two sides compared: what differs is found, what does not is not, and what cannot be compared is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from factory.cli import app
from factory.store.corpus import Corpus
from factory.store.records import Row, row_id
from factory.store.table import CorpusError
from factory.views.compare import compare
from tests.views.report.corpora import commit, dialogue

OBJECTS = ("garden", "river", "kitchen", "piano", "train", "market", "harbour", "lamp", "window", "novel")
VERBS = ("paint", "like", "see", "repair", "visit", "clean", "describe", "forget")


def talk(number: int, asks: float = 0.3) -> list[str]:
    """A drawn dialogue of six to nine turns."""
    chance = np.random.default_rng(number)
    turns = []
    for _ in range(chance.integers(6, 10)):
        words = [f"{chance.choice(VERBS)} the {chance.choice(OBJECTS)}" for _ in range(chance.integers(1, 4))]
        turns.append(f"I {' and '.join(words)}{'?' if chance.random() < asks else '.'}")
    return turns


def written(place: Path, talks: list[list[str]]) -> Path:
    lines = ({"turns": [{"speaker": "AB"[n % 2], "text": text} for n, text in enumerate(one)]} for one in talks)
    place.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return place


def differing(told: dict) -> set[str]:
    return {one["column"] for one in told["columns"] if one["differs"]}


def test_two_halves_of_one_corpus_hardly_ever_differ(tmp_path: Path):
    chance, talks, wrong, splits = np.random.default_rng(0), [talk(number) for number in range(80)], 0, 20
    for _ in range(splits):
        order = chance.permutation(len(talks))
        sides = [
            written(tmp_path / f"{name}.jsonl", [talks[place] for place in half])
            for name, half in (("a", order[:40]), ("b", order[40:]))
        ]
        wrong += bool(differing(compare(*map(str, sides))))
    assert wrong <= 3  # of 20 at 5 % each: four or more in 1.6 % of such tests


def test_a_planted_difference_is_found_and_no_other(tmp_path: Path):
    one = written(tmp_path / "a.jsonl", [talk(number) for number in range(50)])
    other = written(tmp_path / "b.jsonl", [talk(number, asks=0.8) for number in range(100, 150)])
    told = compare(str(one), str(other))
    assert differing(told) == {"lexical.question_rate"}
    (first, *_) = told["columns"]
    assert first["column"] == "lexical.question_rate"
    assert first["least"] < 0.5 < first["most"]
    assert first["means"][1] - first["means"][0] == pytest.approx(first["difference"])
    assert "too few" in told["frechet"]["left_out"] or told["frechet"]["distance"] < 1


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., Corpus]:
    def made(name: str, numbers: range, change: Callable[[Row], None] = lambda _: None) -> Corpus:
        rows = [dialogue(number) for number in numbers]
        for number, row in zip(numbers, rows, strict=True):
            row.row_id, row.decision, row.reasons = row_id((f"{name}{number}",), 0), "accept", []
            change(row)
        return commit(tmp_path / name, [rows])

    return made


def test_stored_values_are_compared_where_both_sides_made_them_alike(corpus, tmp_path: Path):
    def contradict(row: Row) -> None:
        row.scores["consistency"]["contradiction"] = 0.97

    one, other = corpus("one", range(24)), corpus("other", range(24), contradict)
    told = compare(one.root, other.root)
    assert differing(told) == {"consistency.contradiction"}
    other.storage.write_bytes("_recipes/n.json", json.dumps({"method": "consistency", "version": 9}).encode())
    told = compare(one.root, other.root)
    assert differing(told) == set()
    assert told["left_out"] == {"consistency": "it was made with other models, parameters or versions"}
    real = written(tmp_path / "real.jsonl", [talk(number) for number in range(30)])
    told = compare(one.root, str(real))
    assert told["left_out"] == {"consistency": f"{real} does not have it"}
    assert "lexical.question_rate" in differing(told)
    assert [side["version"] is None for side in told["sides"]] == [False, True]


def test_rows_of_the_decision_that_is_asked_for_are_compared(corpus):
    def reject(row: Row) -> None:
        row.decision = "reject" if int(row.row_id, 16) % 2 else "accept"

    one, other = corpus("one", range(60)), corpus("other", range(60), reject)
    rejected = sum(row.decision == "reject" for row in other.rows())
    assert compare(one.root, other.root)["sides"][1]["dialogues"] == 60 - rejected
    with pytest.raises(CorpusError, match="0 dialogues decided reject are too few to compare; 10 are needed"):
        compare(one.root, other.root, decisions=["reject"])


def test_the_command_prints_a_table_or_json(corpus):
    roots = [corpus("one", range(24)).root, corpus("other", range(100, 124)).root]
    result = CliRunner().invoke(app, ["compare", *roots, "--dialogues", "20", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [side["compared"] == 20 for side in told["sides"]] == [True, True]
    text = CliRunner().invoke(app, ["compare", *roots]).stdout
    for one in compare(*roots)["columns"]:
        assert f"{one['difference']:+.3f}" in text
    assert "A: " in text
    assert "Fréchet distance" in text


def test_what_is_nowhere_is_said(tmp_path: Path, corpus):
    one = corpus("one", range(24)).root
    result = CliRunner().invoke(app, ["compare", one, str(tmp_path / "none.jsonl")])
    assert result.exit_code == 1
    assert "none.jsonl" in str(result.exception)
    with pytest.raises(CorpusError, match="has no version 3"):
        compare(one, str(written(tmp_path / "a.jsonl", [talk(1)])), versions=(None, 3))
