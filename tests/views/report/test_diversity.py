from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from factory.base.distinct import distinct
from factory.views.report.diversity import diversity, near_duplicates, self_repetition
from factory.views.report.frames import sampled
from tests.views.report.conftest import Made
from tests.views.report.corpora import commit, dialogue


def test_distinct_n_is_that_of_the_paper_over_the_first_words() -> None:
    """Counted by hand: of ten words seven differ; of eight pairs within turns seven do."""
    turns = ["I like tea and I like tea.", "You like COFFEE", "never counted"]
    assert distinct(turns, 10) == {"words": 10, "distinct_1": 6 / 10, "distinct_2": 6 / 8}
    assert distinct(turns, 8)["words"] == 8
    assert distinct([]) == {"words": 0, "distinct_1": None, "distinct_2": None}


def test_self_repetition_counts_what_an_earlier_turn_had() -> None:
    told = self_repetition([["we go home now", "Yes, we go home now then"], ["one two three four", "five"], ["no"]])
    assert told == {"dialogues": 2, "words": 4, "mean": pytest.approx((1 / 4 + 0) / 2), "with_any": 0.5}


def test_openings_and_facts_are_counted_over_dialogues_and_personas(made: Made) -> None:
    told = made.figures["diversity"]
    assert told["openings"]["most"] == [{"text": "hi how are you", "dialogues": 80, "share": 1.0}]
    holders = Counter(fact.text for row in made.rows for fact in row.speakers[0].facts if fact.origin == "expand")
    assert told["facts"]["expand"] == [
        {"text": "I like tea.", "personas": holders["I like tea."], "share": pytest.approx(80 / 80)}
    ]
    seeds = {
        (s.seed_id, fact.text) for row in made.rows for s in row.speakers for fact in s.facts if fact.origin == "seed"
    }
    personas = Counter(text for _, text in seeds)
    assert [one["personas"] for one in told["facts"]["seed"]] == [count for _, count in personas.most_common(10)]


def test_near_duplicates_are_those_that_are_one(tmp_path: Path) -> None:
    """Of a dialogue of 40 different words: 38 of them again are one, 30 are none (Jaccard 0.95 and 0.75)."""
    rows = [dialogue(number) for number in range(6)]
    words = [f"word{number}" for number in range(200)]
    for row, said in zip(
        rows, (words[:40], words[50:90], words[:38], words[100:140], words[:30], words[:40]), strict=True
    ):
        row.turns = row.turns[:2]
        row.turns[0].text, row.turns[1].text = " ".join(said[:20]), " ".join(said[20:])
    corpus = commit(tmp_path, [rows])
    told = near_duplicates(corpus.scan(), 6)
    assert (told["dialogues"], told["duplicates"], told["share"]) == (6, 2, pytest.approx(2 / 6))
    alike = [rows[0].row_id, rows[2].row_id, rows[5].row_id]
    assert told["most"] == [{"row_id": min(alike), "duplicates": 2}]


def test_a_sample_is_the_same_each_time_and_about_as_large_as_asked(made: Made) -> None:
    rows = pl.LazyFrame({"row_id": [row.row_id for row in made.rows]})
    taken = sampled(rows, 80, 40).collect()["row_id"].to_list()
    assert taken == sampled(rows, 80, 40).collect()["row_id"].to_list()
    assert 25 <= len(taken) <= 55
    assert len(sampled(rows, 80, 80).collect()) == 80


def test_what_a_sample_is_taken_of_is_told(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factory.views.report.diversity.DIALOGUES", 40)
    monkeypatch.setattr("factory.views.report.diversity.COMPARED", 20)
    told = diversity(made.corpus.scan(), 80)
    assert told["self_repetition"]["dialogues"] < 60
    assert told["near_duplicates"]["dialogues"] < 35
    assert told["openings"]["dialogues"] == 80
