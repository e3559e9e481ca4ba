"""Corpora over the same slots: the planted better one wins, and of two alike neither does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from factory.cli import app
from factory.spec.jobfile import load_job
from factory.store.table import CorpusError
from factory.views.tournament import held_against, tournament
from tests.model_server import Answer, ModelServer, completions, serving
from tests.planted_judges import planted_row
from tests.views.report.corpora import commit


def by_wrongs(body: dict) -> Answer:
    """Prefers the conversation with fewer wrong turns; one that mentions dill7 gets no answer that can be read."""
    asked = body["messages"][1]["content"]
    first, second = asked.partition("First:\n")[2].partition("Which of the two")[0].split("Second:\n")
    wrong = first.count("never"), second.count("never")
    if "kale4" in first:
        return completions("I cannot say.")
    return completions("equal" if wrong[0] == wrong[1] else "first" if wrong[0] < wrong[1] else "second")


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., str]:
    def made(name: str, wrong: Callable[[int], bool], numbers: range = range(24)) -> str:
        return commit(tmp_path / name, [[planted_row(number, wrong(number)) for number in numbers]]).root

    return made


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Path]:
    def made(url: str) -> Path:
        content = {
            "corpus": str(tmp_path / "none"),
            "seeds": [{"path": "personas.jsonl"}],
            "models": {
                "writer": {"engine": "scripted", "name": "scripted"},
                "judge": {"engine": "openai", "name": "m", "base_url": url},
            },
            "makers": {"converse": {"turns": 4}},
            "scores": {"judge": {"questions": [{"name": "fits", "ask": "consistency"}]}},
            "select": {},
        }
        place = tmp_path / "job.yaml"
        place.write_text(yaml.safe_dump(content), encoding="utf-8")
        return place

    return made


def test_the_planted_better_corpus_wins(corpus, job):
    good, bad = corpus("good", lambda number: number % 6 == 0), corpus("bad", lambda number: number % 3 != 1, range(40))
    with serving(ModelServer(by_wrongs)) as server:
        told = tournament(load_job(job(server.url)), [good, bad])
    (pair,) = told["pairs"]
    assert (told["matched"], told["asked"]) == (24, 24)
    assert [side["rows"] for side in told["sides"]] == [24, 40]
    assert pair["differs"]
    assert 1 / 2 < pair["least"] < pair["chance"] < pair["most"] < 1
    assert (pair["abstained"], pair["answers"], pair["by_order"]) == (2, 46, 0)
    better = [number % 3 != 1 and number % 6 != 0 for number in range(24) if number != 4]
    assert pair["ties"] == 2 * better.count(False)
    assert pair["chance"] == pytest.approx(np.mean([1 if one else 1 / 2 for one in better]))


def test_a_judge_that_takes_the_first_makes_no_winner(corpus, job):
    sides = corpus("good", lambda _: False), corpus("bad", lambda _: True)
    with serving(ModelServer(lambda _: completions("first"))) as server:
        (pair,) = tournament(load_job(job(server.url)), sides)["pairs"]
    assert (pair["chance"], pair["differs"], pair["by_order"], pair["ties"]) == (1 / 2, False, 24, 0)


def drawn(chance: np.random.Generator, slots: int, better: float = 0.5) -> list:
    """The points of a judge that prefers the first side so often, in both orders alike in most slots."""
    one = chance.random(slots) < better
    other = np.where(chance.random(slots) < 0.7, one, chance.random(slots) < better)
    return [(float(first), float(second)) for first, second in zip(one, other, strict=True)]


def test_two_halves_that_are_alike_differ_in_no_more_than_the_interval_says():
    chance, runs = np.random.default_rng(0), 200
    found = [held_against(2, {(0, 1): drawn(chance, 60)})[0]["differs"] for _ in range(runs)]
    assert sum(found) <= 19  # of 200 at 5 % each: twenty or more in 0.3 % of such tests
    assert all(held_against(2, {(0, 1): drawn(chance, 60, 0.85)})[0]["differs"] for _ in range(20))


def test_three_corpora_are_ordered(corpus, job):
    sides = [
        corpus("bad", lambda _: True), corpus("good", lambda number: number == 1),
        corpus("fair", lambda number: number % 2 == 0),
    ]  # fmt: skip
    with serving(ModelServer(by_wrongs)) as server:
        result = CliRunner().invoke(app, ["compare", *sides, "--judge", str(job(server.url)), "--json"])
    assert result.exit_code == 0, result.output
    told = {(one["one"], one["other"]): one for one in json.loads(result.stdout)["pairs"]}
    assert told[0, 1]["chance"] < told[0, 2]["chance"] < 1 / 2 < told[1, 2]["chance"]


def test_the_command_prints_a_line_a_pair(corpus, job):
    sides = corpus("good", lambda _: False), corpus("bad", lambda number: number > 2)
    with serving(ModelServer(by_wrongs)) as server:
        said = CliRunner().invoke(app, ["compare", *sides, "--judge", str(job(server.url)), "--dialogues", "20"]).stdout
    said = re.sub(r"\s+", " ", said)
    assert "20 of 24 slots that are in all, by judge, in both orders" in said
    assert "A better than B 0." in said


def test_what_does_not_fit_is_said(corpus, job, tmp_path: Path):
    sides = corpus("one", lambda _: False), corpus("other", lambda _: False, range(20, 50))
    place = job("http://127.0.0.1:9/v1")
    with pytest.raises(CorpusError, match="4 slots are in all of the corpora, of which 10 are needed"):
        tournament(load_job(place), sides)
    with pytest.raises(CorpusError, match="no corpus here"):
        tournament(load_job(place), [sides[0], str(tmp_path / "none")])
    result = CliRunner().invoke(app, ["compare", *sides, sides[0]])
    assert result.exit_code == 2
    assert "need a job" in result.output
