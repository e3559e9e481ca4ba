"""Job files: what is wrong is named by field, line and the nearest right name, and nothing else is ever raised."""

# ruff: noqa: E501 - a mistake and what is said of it stand on one line

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.seeds.archives import find_files
from factory.seeds.files import SourceError
from factory.spec.identity import recipes
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from tests.spec.parts import GOOD, complaint, write

SCRIPTED = "{engine: scripted, name: scripted}"
BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(24)
)
PROMPT = "{% block system %}s{% endblock %}{% block user %}u{% endblock %}"


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_job_is_read_whole_and_its_values_come_back(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    job = load_job(path)
    assert job.base == tmp_path
    assert [source.path for source in job.seeds] == ["a.jsonl", "b.csv"]
    assert Job.model_validate(job.model_dump() | {"base": job.base}) == job


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_job_of_the_repository_loads(path: Path) -> None:
    assert load_job(path).base == path.parent


MISTAKES = [
    (changed("corpus:", "corpsu:"), ["FILE, line 1: unknown field corpsu; did you mean corpus?", "corpus is missing"]),
    (changed("    turns:", "    truns:"), ["FILE, line 10: unknown field makers.converse.truns; did you mean turns? Allowed here: method, mode, turns"]),
    (changed("format:", "formt:"), ["FILE, line 5: unknown field seeds.1.formt; did you mean format?"]),
    (changed("rows_per_shard", "xyz"), ["FILE, line 14: unknown field run.xyz. Allowed here: rows_per_shard, shards_"]),
    (changed("name: scripted}", "nam: x}"), ["line 7: models.writer.name is missing", "did you mean name?"]),
    (changed("turns: 6", "turns: six"), ["line 10: makers.converse.turns: ", "valid integer", "(given: 'six')"]),
    (changed("turns: 6", "turns: [6]"), ["line 10: makers.converse.turns: ", "valid integer", "(given: list)"]),
    (changed("turns: 6", "turns: 0"), ["line 10: makers.converse.turns: ", "greater than or equal to 1", "(given: 0)"]),
    (changed("[pets, work]", "[pets, 7]"), ["line 11: makers.converse.topics.1: ", "valid string", "(given: 7)"]),
    (changed("format: csv", "format: parket"), ["line 5: seeds.1.format: ", "did you mean parquet?"]),
    (changed("engine: scripted", "engine: openia"), ["line 7: models.writer.engine: ", "did you mean openai?"]),
    (changed("corpus: out/c\n", ""), ["FILE, line 1: corpus is missing"]),
    (changed("corpus: out/c", "corpus:"), ["line 1: corpus: ", "valid string", "(given: None)"]),
    (changed("corpus: out/c", "corpus: ''"), ["line 1: corpus: ", "at least 1 character"]),
    (changed("    format: csv\n", "    format: csv\n    path: c.csv\n"), ["line 6: seeds.1.path is given twice (line 4)"]),
    (GOOD + "corpus: out/d\n", ["FILE, line 15: corpus is given twice (line 1)"]),
    (changed("    turns: 6", "\tturns: 6"), ["FILE, line 10: not valid YAML: ", "'\\t'"]),
    ("- corpus\n- seeds\n", ["FILE: the file is a mapping with the fields corpus, seeds, pairing, models, makers, scores, passes, select, keep_versions, run"]),
    ("", ["FILE: the file is a mapping with the fields corpus"]),
    ("# nothing\n", ["FILE: the file is a mapping"]),
    (b"\x00\x01\x02", ["FILE: not valid YAML: ", "#x0000"]),
    (b"\x89PNG\r\n", ["FILE: not UTF-8 text (byte 0); save the file as UTF-8"]),
    (GOOD.encode("utf-16"), ["FILE: not UTF-8 text (byte 0)"]),
    (GOOD + BOMB, ["FILE, line 15: unknown field a", "line 39: unknown field y"]),
    (GOOD + "x: &x [*x]\n", ["FILE, line 15: unknown field x"]),
    (changed("out/c", "!!python/object/apply:os.getcwd []"), ["line 1: not valid YAML: ", "python/object/apply:os.getcwd"]),
    (changed("out/c", "!!int x"), ["FILE: not valid YAML: invalid literal for int()"]),
    ("[" * 3000, ["FILE: not valid YAML: "]),
    (GOOD + "---\n" + GOOD, ["line 15: not valid YAML: but found another document"]),
    (GOOD + "1: x\n", ["1: Keys should be strings"]),
    (changed("rows_per_shard: 8", "workers: {writer: {min: 4, max: 2}}"), ["line 14: run.workers.writer: max (2) is below min (4)"]),
    (changed("turns: 6", "turns: 0\n    keep: 2"), ["line 10: makers.converse.turns", "line 11: makers.converse.keep"]),
    (changed("turns: 6", "prompt: no.j2"), ["line 10: makers.converse.prompt: /", "/no.j2: No such file", "paths start at the"]),
    (changed("turns: 6", "prompt: bare.j2"), ["makers.converse.prompt: bare.j2: ", "has no {% block system %}"]),
    (changed("turns: 6", "prompt: torn.j2"), ["makers.converse.prompt: torn.j2: prompt template, line 1: "]),
    (changed("turns: 6", "prompt: latin.j2"), ["makers.converse.prompt: latin.j2: ", "utf-8"]),
    (changed("turns: 6", 'prompt: "a\\0b"'), ["line 10: makers.converse.prompt: ", "null byte"]),
    (changed("turns: 6", "sampling: {temprature: 1}"), ["makers.converse.sampling.temprature; did you mean temperature?"]),
    (changed("- path: a.jsonl\n", "- pth: a.jsonl\n"), ["line 3: seeds.0.path is missing", "did you mean path?"]),
    (GOOD.replace("seeds:\n  - path: a.jsonl\n  - path: b.csv\n    format: csv", "seeds: []"), ["line 2: seeds: ", "at least 1"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_mistake_is_named_by_its_line_and_field(tmp_path: Path, text: str | bytes, said: list[str]) -> None:
    (tmp_path / "bare.j2").write_text("Hello.")
    (tmp_path / "torn.j2").write_text("{% block system %}")
    (tmp_path / "latin.j2").write_bytes(PROMPT.encode() + b"\xe9")
    message = complaint(write(tmp_path, text))
    for part in said:
        assert part in message


def test_one_wrong_seed_source_is_one_mistake(tmp_path: Path) -> None:
    message = complaint(write(tmp_path, "corpus: c\nmakers: {}\nseeds:\n  - path: a\n    frmat: csv\n"))
    assert message.splitlines() == [
        "FILE, line 5: unknown field seeds.0.frmat; did you mean format? Allowed here: path, format, fields, token_env"
    ]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("makers.converse.turns", "--set makers.converse.turns: write field=value, such as"),
        ("=5", "--set =5: write field=value"),
        (
            "makers.converse.truns=5",
            "FILE, --set makers.converse.truns: unknown field makers.converse.truns; did you mean",
        ),
        ("makers.converse={turns: 0}", "FILE, --set makers.converse: makers.converse.turns: "),
        ("seeds.2.path=x", "--set seeds.2.path=x: there is no 2 here"),
        ("seeds.-1.path=x", "there is no -1 here"),
        ("seeds.first.path=x", "there is no first here"),
        ("corpus.name=x", "there is no field corpus.name"),
        ("corpus.a.b=x", "there is no a here"),
        ("makers.converse.topics.9=x", "there is no 9 here"),
        ("run.²=1", "unknown field run.²"),
        ("run.rows_per_shard=[", "--set run.rows_per_shard=[: the value is not valid YAML"),
        ("run.rows_per_shard=!!int x", "the value is not valid YAML"),
        ("run.rows_per_shard=", "FILE, --set run.rows_per_shard: run.rows_per_shard: "),
        ("run.rows_per_shard=!!python/name:os.system", "the value is not valid YAML"),
        ("base=/elsewhere", "FILE, --set base: unknown field base"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, said: str) -> None:
    assert said in complaint(write(tmp_path, GOOD), override)


def test_overrides_reach_into_lists_and_missing_mappings_and_the_last_one_counts(tmp_path: Path) -> None:
    overrides = ["seeds.1.path=c.csv", "pairing.partners=3", "pairing.partners=4", "makers.converse.topics=[a, b]"]
    job = load_job(write(tmp_path, GOOD), overrides)
    assert (job.seeds[1].path, job.pairing.partners) == ("c.csv", 4)
    assert (job.makers["converse"].topics, job.makers["converse"].turns) == (("a", "b"), 6)


def test_pools_may_share_what_they_have_in_common(tmp_path: Path) -> None:
    run = "run:\n  workers:\n    writer: &pool {max: 2, cpus: 3}\n    scorers:\n      <<: *pool\n      max: 4\n"
    text = GOOD[: GOOD.index("run:")]
    job = load_job(write(tmp_path, f"{text}\n{run}"))
    assert (job.workers("writer").max, job.workers("scorers").max, job.workers("scorers").cpus) == (2, 4, 3)
    twice = run.replace("max: 4", "max: 4\n      max: 5")
    assert "run.workers.scorers.max is given twice" in complaint(write(tmp_path, f"{text}\n{twice}"))


def test_a_corpus_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert load_job(write(tmp_path, GOOD), ["corpus=~/mine"]).corpus == "/home/ann/mine"


def test_a_date_is_text(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, changed("[pets, work]", "[2026-11-24]")), ["corpus=2026-13-45"])
    assert (job.makers["converse"].topics, job.corpus) == (("2026-11-24",), str(tmp_path / "2026-13-45"))


@pytest.mark.parametrize("name", ["missing.yaml", ""])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert complaint(path).startswith("FILE: ")


def test_a_prompt_is_read_from_beside_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "own.j2").write_text(PROMPT)
    job = load_job(write(tmp_path, changed("turns: 6", "prompt: own.j2")))
    assert job.makers["converse"].prompt == PROMPT


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_garbled_job_is_a_job_or_a_job_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lines = GOOD.splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 1))
    junk = data.draw(st.sampled_from(list("{}[]:-&*!|>%@`'\"#,?\t\0é\n")) | st.text(max_size=3))
    column = data.draw(st.integers(0, len(lines[place])))
    lines[place] = lines[place][:column] + junk + lines[place][column:]
    path = write(tmp_path_factory.mktemp("garbled"), "".join(lines).encode("utf-8", "replace"))
    with contextlib.suppress(YamlError):
        load_job(path)


def model_in(folder: Path, layers: int = 2) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(f'{{"layers": {layers}}}')
    return folder


@pytest.mark.parametrize("by", ["file", "--set"])
def test_relative_paths_start_at_the_job_file_from_wherever_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    jobs = tmp_path / "my jobs"
    model_in(jobs / "models" / "nli")
    model_in(tmp_path / "talker")
    (jobs / "own.j2").write_text(PROMPT)
    text = changed(SCRIPTED, "{name: ../talker}\n  nli: {kind: nli, name: models/nli}")
    overrides = ["makers.converse.prompt=own.j2"]
    if by == "--set":
        overrides += ["corpus=../c", "seeds.0.path=b/*.jsonl", "models.embedding={kind: embedding, name: ./models/nli}"]
    path = write(jobs, text)
    for place in (tmp_path, jobs, Path("/")):
        monkeypatch.chdir(place)
        job = load_job(os.path.relpath(path), overrides)
        assert (job.models["writer"].name, job.models["nli"].name) == (
            str(tmp_path / "talker"),
            str(jobs / "models/nli"),
        )
        assert job.makers["converse"].prompt == PROMPT
        assert job.corpus == str(tmp_path / "c" if by == "--set" else jobs / "out/c")
        assert job.models["embedding"].name == (str(jobs / "models/nli") if by == "--set" else "minilm")
        with pytest.raises(SourceError, match=re.escape(f"(in {jobs})")):
            find_files(job.seeds[0].path, "auto", job.base)


def test_a_job_made_in_code_starts_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = {"corpus": "out/c", "seeds": [{"path": "a.jsonl"}], "makers": {}}
    assert Job.model_validate(told).corpus == str(tmp_path / "out/c")
    assert Job.model_validate(told | {"base": "/jobs"}).corpus == "/jobs/out/c"
    for uri in ("s3://bucket/a b", "gs://bucket/x"):
        assert Job.model_validate(told | {"corpus": uri}).corpus == uri


def test_a_model_folder_that_is_not_there_is_named_by_its_place(tmp_path: Path) -> None:
    text = changed(SCRIPTED, "{engine: scripted, name: scripted}\n  nli: {kind: nli, name: ../nli}")
    message = complaint(write(tmp_path, text))
    assert (
        f"line 8: models.nli.name: ../nli: there is no folder {tmp_path.parent / 'nli'}; paths start at the job"
        in message
    )
    server = changed(SCRIPTED, "{engine: openai, base_url: 'http://x/v1', name: ./a/b/c}")
    loaded = load_job(write(tmp_path, server))
    assert loaded.models["writer"].name == "./a/b/c"


def test_rows_are_the_same_wherever_the_folder_of_a_model_lies(tmp_path: Path) -> None:
    def made(folder: Path, name: str, layers: int = 2) -> list[str]:
        model_in(folder / name, layers)
        text = f"{{name: ./{name}, dtype: float32}}\n  nli: {{kind: nli, name: ./{name}}}"
        return [recipe.id for recipe in recipes(load_job(write(folder, changed(SCRIPTED, text))), "generated")]

    here, there, other = (
        made(tmp_path / "a", "nli"),
        made(tmp_path / "b" / "c", "n l i"),
        made(tmp_path / "d", "nli", 3),
    )
    assert here == there
    assert here[0] != other[0]
    assert here[1] == other[1], "conditions that read nothing of it"
