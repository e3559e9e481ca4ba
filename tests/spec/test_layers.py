"""Job files that extend others, and variables in them: what comes out, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from tests.spec.parts import GOOD, write


def layered(tmp_path: Path, text: str, base: str = GOOD) -> Path:
    """A file that extends `base.yaml` in a folder beside it."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "base.yaml").write_text(base, encoding="utf-8")
    path = tmp_path / "prod.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def told(path: Path) -> str:
    with pytest.raises(YamlError) as error:
        load_job(path)
    return str(error.value)


def test_mappings_are_merged_and_all_else_is_replaced(tmp_path: Path) -> None:
    path = layered(
        tmp_path,
        "extends: shared/base.yaml\ncorpus: s3://bucket/prod\nseeds: [{path: all.jsonl}]\n"
        "makers: {converse: {turns: 12}, extract: {}}\n",
    )
    job, base = load_job(path), load_job(write(tmp_path, GOOD))
    assert job.corpus == "s3://bucket/prod"
    assert [source.path for source in job.seeds] == ["all.jsonl"]
    assert list(job.makers) == [*base.makers, "extract"]
    assert job.makers["converse"] == base.makers["converse"].model_copy(update={"turns": 12})
    assert (job.models["writer"], job.run) == (base.models["writer"], base.run)


def test_null_leaves_out_what_the_other_file_has(tmp_path: Path) -> None:
    base = GOOD.replace("select:", "  extract: {}\nselect:")
    path = layered(tmp_path, "extends: shared/base.yaml\nmakers: {extract: null}\n", base)
    assert "extract" in load_job(tmp_path / "shared" / "base.yaml").makers
    assert "extract" not in load_job(path).makers


def test_paths_start_at_the_file_that_is_run(tmp_path: Path) -> None:
    job = load_job(layered(tmp_path, "extends: shared/base.yaml\n"))
    assert job.base == tmp_path
    assert job.corpus == str(tmp_path / "out" / "c")


def test_a_mistake_is_named_with_the_file_it_stands_in(tmp_path: Path) -> None:
    base = GOOD.replace("turns: 6", "turns: six")
    path = layered(tmp_path, "extends: shared/base.yaml\nrun: {rows_per_shard: 0}\n", base)
    lines = told(path).splitlines()
    assert any(f"line 10 of {tmp_path / 'shared' / 'base.yaml'}: makers.converse.turns" in line for line in lines)
    assert any(f"{path}, line 2: run.rows_per_shard" in line for line in lines)


def test_a_field_laid_over_another_has_its_own_line(tmp_path: Path) -> None:
    path = layered(tmp_path, "extends: shared/base.yaml\n\nmakers:\n  converse: {turns: six}\n")
    assert told(path).startswith(f"{path}, line 4: makers.converse.turns")


def test_what_an_alias_shares_below_is_laid_over_in_one_place(tmp_path: Path) -> None:
    shared = GOOD.replace(
        "writer: {engine: scripted, name: scripted}",
        "writer: &one {engine: scripted, name: scripted}\n  other: *one\n  third: {<<: *one, max_num_seqs: 9}",
    )
    path = layered(
        tmp_path, "extends: shared/base.yaml\nmodels: {writer: {max_num_seqs: 7}, third: {name: x}}\n", shared
    )
    found = {name: model.model_dump() for name, model in load_job(path).models.items()}
    base = load_job(tmp_path / "shared" / "base.yaml").models["other"].model_dump()
    assert found["writer"]["max_num_seqs"] == 7
    assert found["other"] == base
    assert (found["third"]["name"], found["third"]["max_num_seqs"]) == ("x", 9)


def test_an_anchor_of_ones_own_may_be_merged_over_the_other_file(tmp_path: Path) -> None:
    text = "extends: shared/base.yaml\nmakers: {converse: &c {turns: 8, sampling: {temperature: 0.5}}, extract: {}}\n"
    base = GOOD.replace("    turns: 6\n", "    turns: 6\n    sampling: {top_p: 0.9}\n")
    merged = text.replace("converse: &c {turns: 8,", "converse: {<<: &c {turns: 8},").replace("extract: {}", "")
    for given in (text, merged):
        (tmp_path / given[-9:-3].strip(" ,{}")).mkdir(exist_ok=True)
        job = load_job(layered(tmp_path / given[-9:-3].strip(" ,{}"), given, base))
        assert job.makers["converse"].model_dump()["turns"] == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: [shared/base.yaml]\n", "line 1: extends: the path of one other file"),
        ("corpus: c\nextends: shared/bas.yaml\n", "line 2: extends: there is no file"),
        ("extends: prod.yaml\n", "extends: prod.yaml extends this file in turn"),
    ],
)
def test_what_cannot_be_extended_is_said(tmp_path: Path, text: str, said: str) -> None:
    assert said in told(layered(tmp_path, text))


def test_two_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    path = layered(tmp_path, "extends: shared/base.yaml\n", "extends: ../prod.yaml\n")
    assert "../prod.yaml extends this file in turn" in told(path)


def test_an_editor_accepts_a_file_that_extends_another() -> None:
    checker = jsonschema.Draft202012Validator(Job.model_json_schema())
    assert checker.is_valid({"extends": "base.yaml", "makers": {"converse": {"turns": 4}}})
    assert not checker.is_valid({"makers": {"converse": {"turns": 4}}})


def test_variables_stand_for_values_of_any_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "dev")
    monkeypatch.setenv("TURNS", "12")
    monkeypatch.delenv("ROWS", raising=False)
    text = GOOD.replace("out/c", "out/${STAGE}-$${x}").replace("turns: 6", "turns: ${TURNS}")
    job = load_job(write(tmp_path, text.replace("[pets, work]", '["${ROWS:-pets}", "${TURNS}"]')))
    assert job.corpus == str(tmp_path / "out" / "dev-${x}")
    converse = job.makers["converse"].model_dump()
    assert converse["turns"] == 12
    assert list(converse["topics"]) == ["pets", "12"]


@pytest.mark.parametrize("value", ["12", "=", "<<", "null", "yes"])
def test_a_variable_that_is_to_be_text_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PLACE", value)
    assert load_job(write(tmp_path, GOOD.replace("out/c", "'${PLACE}'"))).corpus == str(tmp_path / value)
    if value in ("=", "<<"):
        assert load_job(write(tmp_path, GOOD.replace("out/c", "${PLACE}"))).corpus == str(tmp_path / value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("out/${NO_SUCH}", "line 1: the environment variable NO_SUCH is not set; set it, or write ${NO_SUCH:-default}"),
        ("out/${HF_TOKEN}", "line 1: HF_TOKEN is a secret by its name"),
        ("out/${a b}", "line 1: ${a b}: write ${NAME}"),
        ("out/${", "line 1: ${: write ${NAME}"),
    ],
)
def test_what_is_no_variable_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_never_shown_1234")
    message = told(write(tmp_path, GOOD.replace("out/c", value)))
    assert said in message
    assert "never_shown" not in message
