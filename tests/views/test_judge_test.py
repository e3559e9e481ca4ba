"""Planted judges behind a server, as the command tells of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from factory.cli import app
from factory.running.pool import RunError
from factory.spec.jobfile import load_job
from factory.store.table import CorpusError
from factory.views.judge_test import judge_test, read_pairs
from tests.model_server import ModelServer, completions, error, serving
from tests.planted_judges import JUDGES, pairs, planted_row
from tests.views.report.corpora import commit

JUDGE = {"questions": [{"name": "fits", "ask": "consistency", "orders": "both"}]}


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Path]:
    """A job whose corpus is planted, with these scores."""

    def made(url: str, rows: int = 30, **scores: Any) -> Path:
        if rows:
            commit(tmp_path / "corpus", [[planted_row(number) for number in range(rows)]])
        content = {
            "corpus": str(tmp_path / "corpus"),
            "seeds": [{"path": "personas.jsonl"}],
            "models": {
                "writer": {"engine": "scripted", "name": "scripted"},
                "judge": {"engine": "openai", "name": "m", "base_url": url, "max_retries": 0},
            },
            "makers": {"converse": {"turns": 4}},
            "scores": scores or {"judge": JUDGE},
            "select": {},
        }
        place = tmp_path / "job.yaml"
        place.write_text(yaml.safe_dump(content), encoding="utf-8")
        return place

    return made


def write_pairs(folder: Path, count: int) -> Path:
    place = folder / "pairs.jsonl"
    place.write_text("\n".join(one.model_dump_json() for one in pairs(count)), encoding="utf-8")
    return place


def planted(name: str) -> ModelServer:
    return ModelServer(lambda body: completions(*[JUDGES[name](body["messages"])] * body.get("n", 1)))


def call(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["judge-test", *map(str, arguments)])
    return result.exit_code, result.stdout


def test_a_sound_judge_passes_all_over_rows_and_pairs(job, tmp_path: Path):
    with serving(planted("sound")) as server:
        code, said = call(job(server.url), "--rows", "24", "--pairs", write_pairs(tmp_path, 24), "--json")
    told = json.loads(said)
    assert (code, told["fit"], told["rows"], told["pairs"], told["trials"]) == (0, True, 24, 24, 48)
    assert [one["fit"] for one in told["tests"]] == [True] * 8
    assert told["version"] == 1
    assert all(one["source"].startswith("arXiv ") for one in told["tests"])
    by_name = {one["name"]: one["figures"] for one in told["tests"]}
    assert by_name["gold"] == {"coverage": 1.0, "accuracy": 1.0}
    assert by_name["challenge"]["M closed"] == 0


def test_a_judge_that_takes_the_first_is_named_and_the_command_fails(job):
    with serving(planted("takes the first")) as server:
        code, said = call(job(server.url), "--rows", "24")
    assert code == 1
    assert "unfit by order swap: the verdict goes by the order" in said
    assert "24 of 24" in said
    assert "open: gold: no labelled pairs are given" in said


def test_the_sample_goes_by_the_seed_alone(job):
    def asked(*options: str) -> set[str]:
        with serving(planted("sound")) as server:
            call(place, "--rows", "5", "--set", f"models.judge.base_url={server.url}", *options)
        return {one["messages"][1]["content"] for one in server.asked}

    place = job("http://127.0.0.1:9/v1")
    assert asked() == asked("--seed", "0")
    assert asked() != asked("--seed", "1")


def test_pairs_alone_need_no_corpus(job, tmp_path: Path):
    with serving(planted("sound")) as server:
        told = judge_test(load_job(job(server.url, rows=0)), pairs=write_pairs(tmp_path, 24))
    assert (told["corpus"], told["rows"], told["trials"]) == (None, 0, 24)
    assert {one["name"]: one["fit"] for one in told["tests"]} == {
        "order swap": True, "contrast": None, "challenge": True, "redaction": None, "register shift": True,
        "sycophancy": True, "rephrasings": True, "gold": True,
    }  # fmt: skip


def test_without_rows_and_pairs_it_says_what_to_do(job):
    with pytest.raises(CorpusError, match="no corpus here"):
        judge_test(load_job(job("http://127.0.0.1:9/v1", rows=0)))


def test_of_several_scores_one_must_be_named(job):
    place = job("http://127.0.0.1:9/v1", judge=JUDGE, second={"method": "judge", **JUDGE}, lexical={})
    loaded = load_job(place)
    with pytest.raises(RunError, match="name one of them with --score: judge, second"):
        judge_test(loaded)
    with pytest.raises(RunError, match=r"lexical is no score that asks .*: judge, second"):
        judge_test(loaded, score="lexical")
    with serving(planted("sound")) as server:
        loaded = load_job(place, [f"models.judge.base_url={server.url}"])
        assert judge_test(loaded, score="second", rows=2)["score"] == "second"


def test_a_job_without_such_a_score_is_told_so(job):
    with pytest.raises(RunError, match="no score that asks a language model for its opinion"):
        judge_test(load_job(job("http://127.0.0.1:9/v1", lexical={})))


def test_a_server_that_refuses_the_key_is_told(job):
    with (
        serving(ModelServer(lambda _: error(401, "no such key"))) as server,
        pytest.raises(RunError, match="no such key"),
    ):
        judge_test(load_job(job(server.url)), rows=2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"better": "a"}', "line 2: worse: Field required"),
        ('{"better": "a", "worse": "b", "gold": 1}', "line 2: gold: Extra inputs"),
        ("better", "line 2: Invalid JSON"),
    ],
)
def test_a_mistake_in_the_pairs_is_named_by_its_line(tmp_path: Path, line: str, said: str):
    place = tmp_path / "pairs.jsonl"
    place.write_text(f'{{"better": "a", "worse": "b", "fact": ["I sew.", "I ski."]}}\n{line}\n', encoding="utf-8")
    with pytest.raises(CorpusError) as raised:
        read_pairs(place)
    assert said in str(raised.value)
