"""Scores are shown whatever their entries are called, however many there are of a method, and whichever methods."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factory.methods.scores.consistency import Consistency, scored_pairs
from factory.store.corpus import Corpus
from factory.store.records import Row
from factory.views.card import card
from factory.views.report import report
from factory.views.report.sample import dialogues
from tests.rehearsal import Rehearsal, job_in, some_personas, write_seeds

COLUMNS = [column.name for column in Consistency.columns]
ALL_PAIRS = "method: consistency, relevance: -1, turn_relevance: -1"


@dataclass
class Made:
    """A corpus of two runs, and its report."""

    corpus: Corpus
    rows: list[Row]
    page: str
    figures: dict[str, Any]


def made(folder: Path, scores: str, *selects: str) -> Made:
    """A corpus with these scores, decided by each of the conditions in turn."""
    write_seeds(folder, some_personas(40))
    for select in selects:
        job = job_in(folder, f"scores={scores}", f"select={select}")
        Rehearsal().run(job)
    page, figures = report(Corpus(job.corpus), folder / "report.html")
    corpus = Corpus(job.corpus)
    text = page.read_text().replace("<wbr>", "")
    return Made(corpus, list(corpus.rows()), text, json.loads(figures.read_text()))


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Made:
    selects = (f"{{flag: {{wrong: nli.contradiction >= {least}}}}}" for least in (0.9, 0.3))
    return made(tmp_path_factory.mktemp("renamed"), f"{{nli: {{{ALL_PAIRS}}}}}", *selects)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Made:
    selects = (f"{{flag: {{asks: lexical.question_rate {what}}}}}" for what in ("> 1", "<= 1"))
    return made(tmp_path_factory.mktemp("others"), "{lexical: {}}", *selects)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Made:
    scores = f"{{nli: {{{ALL_PAIRS}}}, near: {{method: consistency, relevance: 0.1}}}}"
    return made(
        tmp_path_factory.mktemp("several"), scores,
        "{reject: {wrong: near.contradiction >= 0.6}, flag: {perhaps: nli.contradiction >= 0.4}}",
    )  # fmt: skip


def contradictions(row: Row, score: str) -> list[float]:
    pairs = scored_pairs(row, score)
    return [one.found.contradiction for one in pairs if one.pair.check == "turn_persona"]


def is_told_of(made: Made, score: str, columns: list[str]) -> None:
    """Each of the columns has its line in the tables, its histogram and its means, which are those of the rows."""
    for column in columns:
        name, values = f"{score}.{column}", [row.scores[score][column] for row in made.rows]
        mean = pytest.approx(np.mean([value for value in values if value is not None]))
        assert made.figures["distributions"][name]["mean"] == mean
        assert made.figures["changes"].get("after", {"means": {name: mean}})["means"][name] == mean
        assert made.figures["groups"]["all"]["means"][name] == mean
        assert f"<h3>{name}</h3>" in made.page
        assert f">{name}</td>" in made.page.partition("Scores by group")[2]
        assert any((one["score"], one["column"]) == (score, column) for one in made.figures["scores"])


def test_a_score_under_another_name_has_all_its_figures(renamed: Made) -> None:
    is_told_of(renamed, "nli", COLUMNS)
    values = [value for row in renamed.rows for value in contradictions(row, "nli")]
    told = renamed.figures["distributions"]["nli.pairs.contradiction"]
    assert (told["count"], told["mean"]) == (len(values), pytest.approx(np.mean(values)))
    assert renamed.figures["about"]["thresholds"] == {"nli.contradiction": [{"band": "flag", "sign": ">=", "at": 0.3}]}
    assert renamed.page.count("; select: flag ≥ 0.3</figcaption>") == 2
    assert "CAFFEINE" in renamed.page
    assert ">nli.coverage</td>" in renamed.page.partition("Key figures")[2]


def test_its_pairs_are_marked_and_counted_by_group(renamed: Made) -> None:
    shown = dialogues(renamed.corpus, renamed.corpus.scan(), 99)
    marks = [mark for one in shown for turn in one["turns"] for mark in turn["marks"]]
    of_facts = [mark["score"] for mark in marks if mark["check"] == "turn_persona"]
    values = [value for row in renamed.rows for value in contradictions(row, "nli")]
    assert sorted(of_facts) == pytest.approx(sorted(value for value in values if value >= 0.3), abs=1e-4)
    assert {mark["by"] for mark in marks} == {"nli"}
    assert all(one["notes"] == [] and all(turn["notes"] == [] for turn in one["turns"]) for one in shown)
    share = np.mean([max(contradictions(row, "nli")) >= 0.3 for row in renamed.rows])
    assert renamed.figures["groups"]["all"]["contradicted"] == {"nli": pytest.approx(share)}
    assert "contradicts a fact of the speaker, nli ≥ 0.3" in renamed.page
    assert "The scores of nli are an NLI model's." in card(renamed.corpus)


def test_a_corpus_with_another_score_alone_has_that_one(others: Made) -> None:
    is_told_of(others, "lexical", ["question_rate", "own_repetition"])
    assert {one["of"] for one in others.figures["distributions"].values()} == {"dialogue", "turn"}
    assert others.figures["groups"]["all"]["contradicted"] == {}
    assert "; select: flag ≤ 1</figcaption>" in others.page
    text = others.page.partition("<footer")[0]
    assert not any(word in text for word in ("CAFFEINE", "consistency", "P(contradiction)"))
    assert "Consistency was not scored" in card(others.corpus)


def test_what_it_found_of_a_speaker_stands_in_the_dialogue(others: Made) -> None:
    own = {row.row_id: row for row in others.rows}
    for one in dialogues(others.corpus, others.corpus.scan(), 99):
        notes = [(note["title"], note["where"]) for note in one["notes"]]
        assert notes == [("lexical: speaker", "speaker A"), ("lexical: speaker", "speaker B")]
        rate = own[one["id"]].details[0].values[0]
        assert f"question_rate {rate:.2f}".removesuffix(".00") in one["notes"][0]["values"]
        ((name, values),) = one["scores"]
        assert (name, values.partition(" 0")[0]) == ("lexical", "question rate")


def test_two_entries_of_a_method_stand_beside_each_other(several: Made) -> None:
    for score in ("nli", "near"):
        is_told_of(several, score, COLUMNS)
        values = [value for row in several.rows for value in contradictions(row, score)]
        assert several.figures["distributions"][f"{score}.pairs.contradiction"]["count"] == len(values)
        assert f"<h3>{score}: fact entails turn</h3>" in several.page
    assert several.page.count("; select: flag ≥ 0.4</figcaption>") == 2
    assert several.page.count("; select: reject ≥ 0.6</figcaption>") == 2
    assert set(several.figures["groups"]["all"]["contradicted"]) == {"nli", "near"}
    assert "The scores of near, nli are an NLI model's." in card(several.corpus)


def test_a_pair_is_marked_by_the_thresholds_of_its_own_entry(several: Made) -> None:
    shown = dialogues(several.corpus, several.corpus.scan(), 99)
    marks = [mark for one in shown for turn in one["turns"] for mark in turn["marks"]]
    marks = [mark for mark in marks if mark["check"] == "turn_persona"]
    for score, least, rejects in (("nli", 0.4, False), ("near", 0.5, True)):
        own = [mark for mark in marks if mark["by"] == score]
        values = [value for row in several.rows for value in contradictions(row, score) if value >= least]
        assert len(own) == len(values) > 0
        assert {mark["rejects"] for mark in own if mark["score"] >= 0.6} <= {rejects}
