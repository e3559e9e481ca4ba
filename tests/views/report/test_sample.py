from __future__ import annotations

from pathlib import Path

from factory.methods.scores.consistency import scored_pairs
from factory.store.corpus import Corpus
from factory.store.records import Detail, Fact, Row
from factory.views.report.sample import dialogues
from tests.views.report.conftest import Made
from tests.views.report.corpora import commit, dialogue


def kinds(rows: list[Row]) -> set[tuple[str | None, str]]:
    return {(row.decision, reason.split(":")[0]) for row in rows for reason in row.reasons or [""]}


def test_every_decision_and_reason_is_shown(tmp_path: Path) -> None:
    """Also where 95 of 100 rows are of one kind."""
    rows = [dialogue(number) for number in range(0, 200, 2)]
    rows[50].decision, rows[50].reasons = "reject", ["short"]
    rows[51].decision, rows[51].reasons = "reject", ["low_coverage", "short"]
    corpus = commit(tmp_path, [rows])
    own = {row.row_id: row for row in rows}
    for count in (5, 20):
        shown = [own[one["id"]] for one in dialogues(corpus, corpus.scan(), count)]
        assert len(shown) == count
        assert kinds(shown) == kinds(rows)
    assert [one["id"] for one in dialogues(corpus, corpus.scan(), 300)] == sorted(own)


def test_it_is_the_same_each_time(made: Made) -> None:
    again = Corpus(made.corpus.root)
    assert dialogues(again, again.scan(), 12) == dialogues(made.corpus, made.corpus.scan(), 12)
    assert dialogues(made.corpus, made.corpus.scan(), 0) == []


def test_marks_are_the_pairs_that_the_rows_own_thresholds_flag(made: Made) -> None:
    own = {row.row_id: row for row in made.rows}
    for one in dialogues(made.corpus, made.corpus.scan(), 80):
        marks = [(mark["fact"], mark["rejects"]) for turn in one["turns"] for mark in turn["marks"]]
        scores = [score for score in scored_pairs(own[one["id"]]) if score.found.contradiction >= 0.6]
        assert marks == [(score.pair.premise, score.found.contradiction >= 0.9) for score in scores]


def test_other_checks_are_marked_as_what_they_are(tmp_path: Path) -> None:
    row = dialogue(0)
    row.speakers[1].facts.append(Fact("I hate boats.", "extract", "s", 3))
    row.details[2].values[3] = 0.9
    row.details[1].kind, row.details[1].other, row.details[1].values[3] = "extracted_persona", 0, 0.55
    corpus = commit(tmp_path, [[row, dialogue(2)]])
    one = next(one for one in dialogues(corpus, corpus.scan(), 9) if one["id"] == row.row_id)
    said, extracted = one["turns"][3]["marks"]
    assert (said["check"], said["said"], said["rejects"]) == ("turn_turn", 1, False)
    assert (extracted["check"], extracted["extracted"]) == ("extracted_persona", "I hate boats.")


def test_what_another_score_found_of_a_turn_stands_under_it(tmp_path: Path) -> None:
    row = dialogue(0)
    row.details.append(Detail("fluency", "echo", [0.125], 1, 1, other=0, order=2))
    corpus = commit(tmp_path, [[row, dialogue(2)]])
    told = next(one for one in dialogues(corpus, corpus.scan(), 9) if one["id"] == row.row_id)
    assert [len(turn["notes"]) for turn in told["turns"]] == [0, 1, 0, 0]
    note = {"title": "fluency: echo", "where": "order 2", "values": "0.12", "texts": [row.turns[0].text]}
    assert told["turns"][1]["notes"] == [note]
