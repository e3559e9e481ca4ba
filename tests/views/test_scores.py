"""A score of a method that is not installed here is told of everywhere, without any code for it."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from factory.spec.identity import Recipe
from factory.store.corpus import Corpus
from factory.store.records import Detail, Row, StageRecord, rows_to_table
from factory.views.card import card
from factory.views.display import show_explanation, show_row, show_status
from factory.views.explain import explain
from factory.views.report import report
from factory.views.status import status
from tests.methods.parts import a_row

COLUMNS = {
    "fluency": pa.struct(
        [("share", pa.float64()), ("words", pa.int32()), ("clean", pa.bool_()), ("language", pa.string())]
    )
}


@pytest.fixture
def rows() -> list[Row]:
    """Three rows: two are scored, one has a null in it; of the third the score failed."""
    rows = [a_row(["I ski."], ["I sew."], turns=["Hi!", "I sew."], row_id=f"{number:032x}") for number in range(3)]
    for row in rows:
        row.stages = [StageRecord("fluency", "r", "f")]
        row.decision = "accept"
    rows[0].scores["fluency"] = {"share": 0.25, "words": 3, "clean": True, "language": "en"}
    rows[1].scores["fluency"] = {"share": 0.75, "words": None, "clean": False, "language": "en"}
    rows[2].stages[0].failed = "fault: odd shape"
    rows[0].details = [
        Detail("fluency", "fact_shown", [0.5, None], 1, 1, origin="seed", fact=0, answer="yes"),
        Detail("fluency", "echo", [0.125], 1, 1, other=0),
    ]
    return rows


@pytest.fixture
def corpus(tmp_path: Path, rows: list[Row]) -> Corpus:
    corpus = Corpus(str(tmp_path / "corpus"))
    recipe = Recipe(
        id="r", stage="fluency", method="their_fluency", version=1, params={}, prompt=None, models={}, upstream={},
        inputs=(),
    )  # fmt: skip
    corpus.save_recipe("r", recipe.model_dump() | {"made_with": {}})
    corpus.table.shards()
    corpus.table.grow(COLUMNS, "run")
    corpus.table.commit([corpus.table.write(rows_to_table(rows, COLUMNS))], [], "made")
    return corpus


def test_status_has_its_means_and_what_failed(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    told = status(corpus)
    means = {"share": 0.5, "words": 3.0, "clean": 0.5}
    assert told["scores"] == {"fluency": {"rows": 2, "failed": {"fault": 1}, "means": means}}
    show_status(told)
    printed = capsys.readouterr().out
    assert "2 rows: share 0.50, words 3, clean 0.50 (means); of others failed: fault 1" in printed


def test_show_and_explain_have_its_values_and_its_details(
    corpus: Corpus, rows: list[Row], capsys: pytest.CaptureFixture[str]
) -> None:
    show_row(rows[0])
    assert "fluency: share 0.25, words 3, clean True, language en" in capsys.readouterr().out
    show_row(rows[2])
    assert "fluency: none, fault: odd shape" in capsys.readouterr().out
    show_explanation(explain(corpus, rows[0]), rows[0])
    printed = re.sub(" +", " ", capsys.readouterr().out)
    assert "fluency: fact shown" in printed
    assert "speaker B, turn 1 0.50, – I sew. / I sew. / yes" in printed
    assert "speaker B, turn 1 0.12 Hi! / I sew." in printed


def test_the_card_has_its_column_and_means(corpus: Corpus) -> None:
    text = card(corpus)
    assert "{share: double, words: int32, clean: bool, language: string}" in text
    assert "not installed here" in text
    assert "| fluency | share | 0.50 |" in text
    assert "name: fluency" in text.partition("\n---\n")[0]


def test_the_report_has_a_line_for_each_of_its_columns(corpus: Corpus, tmp_path: Path) -> None:
    page, figures = report(corpus, tmp_path / "report.html")
    cells = re.findall(r"<td[^>]*>(?:<a[^>]*>)?([^<]*)<", page.read_text().partition("Scores of all dialogues")[2])
    assert cells[:7] == ["fluency", "share", "0.50", "0.25", "0.75", "0.75", "1"]
    assert cells[7:14] == ["fluency", "words", "3", "3", "3", "3", "2"]
    assert cells[21:28] == ["fluency", "language", "–", "–", "–", "–", "1"]
    assert '"nulls": 2' in figures.read_text()
