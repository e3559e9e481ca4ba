"""A judge behind a server, over a small job: what it answers decides rows, and every command tells of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from factory.cli import app
from factory.spec.identity import recipes
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from factory.store.corpus import Corpus
from factory.store.records import Row
from factory.views.card import card
from factory.views.report import report
from tests.jobs import write_job, write_personas
from tests.model_server import Answer, ModelServer, completions, serving

ROWS = 5
QUESTIONS: list[dict[str, Any]] = [
    {
        "name": "in_context",
        "ask": "consistency",
        "orders": "both",
        "certainty": 80,
        "only": "lexical.question_rate < 0.5",
    },
    {"name": "never", "ask": "coherence", "only": "lexical.question_rate > 0.5"},
    {"name": "warm", "ask": "warm.j2", "of": "turn", "samples": 2, "agree": "mean"},
]
SELECT = {
    "reject": {"contradicts_in_context": "judge.in_context IS NOT NULL AND judge.in_context = 'contradicts'"},
    "flag": {"unsettled": "judge.in_context_outcome IN ('uncertain', 'order')"},
}


def answer(body: dict[str, Any]) -> Answer:
    """Takes no schema's form: words, in which the first persona contradicts, the second one's judge is not certain, and
    that of the third goes by the order."""
    asked = body["messages"][-1]["content"]
    if "How warm" in asked:
        return completions(*["I would say 4 out of 5.", "Score: 2"][: body["n"]])
    (hens,) = re.findall(r"Of A.*\n- I have (\d) hens", asked)
    first = re.findall(r'one of "(\w+)"', asked)[0]
    verdict = {"0": "contradicts", "2": first}.get(hens, "fits")
    return completions(f"Verdict: **{verdict}**\nCertainty: {60 if hens == '1' else 90}%")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("judge")
    write_personas(folder, ROWS)
    (folder / "warm.j2").write_text("How warm is {{ speaker }} here?", encoding="utf-8")
    with serving(ModelServer(answer)) as server:
        models = {
            "writer": {"engine": "scripted", "name": "scripted"},
            "judge": {"engine": "openai", "name": "m", "base_url": server.url},
        }
        judge = {"questions": QUESTIONS, "sampling": {"temperature": 0.7}}
        write_job(folder, models=models, scores={"lexical": {}, "judge": judge}, select=SELECT)
        call("run", folder / "job.yaml")
        yield folder


def call(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return re.sub(r"\s+", " ", result.stdout)


@pytest.fixture
def corpus(folder: Path) -> Corpus:
    return Corpus(str(folder / "corpus"))


@pytest.fixture
def rows(corpus: Corpus) -> dict[str, Row]:
    """The rows, by the seed of the speaker who begins."""
    return {row.speakers[0].seed_id: row for row in corpus.rows()}


def test_each_row_has_its_verdict_or_why_there_is_none(rows: dict[str, Row]) -> None:
    told = {seed: row.scores["judge"] for seed, row in rows.items()}
    assert {seed: (one["in_context"], one["in_context_outcome"]) for seed, one in told.items()} == {
        "p0": ("contradicts", "answered"), "p1": (None, "uncertain"), "p2": (None, "order"), "p3": ("fits", "answered"),
        "p4": ("fits", "answered"),
    }  # fmt: skip
    for one in told.values():
        assert (one["never"], one["never_outcome"]) == (None, "not_asked")
        assert (one["warm"], one["warm_abstained"], one["warm_agreement"]) == (3.0, 0, 0.5)


def test_conditions_decide_by_it(rows: dict[str, Row]) -> None:
    assert {seed: (row.decision, row.reasons) for seed, row in rows.items()} == {
        "p0": ("reject", ["contradicts_in_context"]), "p1": ("flag", ["unsettled"]), "p2": ("flag", ["unsettled"]),
        "p3": ("accept", []), "p4": ("accept", []),
    }  # fmt: skip


def test_every_answer_stands_on_the_row_as_it_was_written(rows: dict[str, Row]) -> None:
    found = [one for one in rows["p2"].details if one.kind == "in_context"]
    assert [(one.order, one.values, one.answer) for one in found] == [
        (0, [0.0, 90.0], "Verdict: **fits**\nCertainty: 90%"),
        (1, [1.0, 90.0], "Verdict: **contradicts**\nCertainty: 90%"),
    ]
    record = next(one for one in rows["p2"].stages if one.stage == "judge")
    assert record.calls == 2 + len(rows["p2"].turns)


def test_status_show_and_explain_tell_of_it(folder: Path, rows: dict[str, Row]) -> None:
    corpus = folder / "corpus"
    status = call("status", corpus)
    assert "contradicts_in_context" in status
    assert re.search(r"judge\W+5 rows", status), status
    assert "warm 3" in status
    assert json.loads(call("status", corpus, "--json"))["scores"]["judge"]["means"]["warm"] == 3.0
    assert "in context outcome order" in call("show", corpus)
    told = call("explain", corpus, rows["p2"].row_id)
    assert "question in_context, order 1" in told
    assert "question warm, turn 0" in told
    assert "How warm is A here?" in told
    assert "judge: in context" in told
    assert "certainty 90" in told
    assert "question never" not in told


def test_the_card_and_the_report_know_its_columns(corpus: Corpus, tmp_path: Path) -> None:
    assert "in_context: Answer of the judge: fits, contradicts" in card(corpus)
    page, _ = report(corpus, tmp_path / "report.html")
    assert "in_context_agreement" in page.read_text(encoding="utf-8")


def test_another_rubric_redoes_the_judge_alone_and_another_threshold_nothing(folder: Path) -> None:
    job = folder / "job.yaml"
    again = json.loads(call("plan", job, "--json"))
    assert (again["rows"], again["model_calls"]) == (0, 0)
    before = {one.stage: one.id for one in recipes(load_job(job), "generated")}
    (folder / "colder.j2").write_text("How cold is it?", encoding="utf-8")
    content = yaml.safe_load(job.read_text(encoding="utf-8"))
    content["scores"]["judge"]["questions"][2]["ask"] = "colder.j2"
    other = folder / "other.yaml"
    other.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    after = {one.stage: one.id for one in recipes(load_job(other), "generated")}
    assert {name for name in after if after[name] != before[name]} == {"judge", "select"}
    planned = json.loads(call("plan", other, "--json"))
    assert planned["remake"] == {"judge": ROWS}
    moved = load_job(job, ["select.reject.cold=judge.warm < 2"])
    found = {one.stage: one.id for one in recipes(moved, "generated")}
    assert {name for name in found if found[name] != before[name]} == {"select"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"only": "consistency.contradiction > 0.5"}, "scores.judge: there is no score consistency"),
        ({"only": "lexical.rate > 0.5"}, "scores.judge: lexical has no column rate"),
        ({"only": "lexical.question_rate + 1"}, "not true or false"),
        ({"only": "judge.warm > 1"}, "read each other in a circle"),
        ({"ask": "nowhere.j2"}, "scores.judge.questions.2.ask: /"),
        ({"ask": "bad.j2"}, "{{ dialog }} is unknown"),
        ({"ask": "How warm is {{ dialog }}?\n5: warm. 1: cold."}, "{{ dialog }} is unknown"),
    ],
)
def test_a_mistake_in_a_question_is_named(folder: Path, tmp_path: Path, change: dict[str, str], said: str) -> None:
    content = yaml.safe_load((folder / "job.yaml").read_text(encoding="utf-8"))
    content["scores"]["judge"]["questions"][2].update(change)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (tmp_path / "warm.j2").write_text("How warm?", encoding="utf-8")
    (tmp_path / "bad.j2").write_text("{{ dialog }}", encoding="utf-8")
    with pytest.raises(YamlError) as raised:
        load_job(tmp_path / "job.yaml")
    assert said in str(raised.value)
