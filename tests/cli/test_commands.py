from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from factory.cli import app, main
from factory.engines import RequestError
from factory.running.run import Result, run
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from factory.store.corpus import Corpus
from factory.store.dead_letters import DEAD_LETTER_SCHEMA, DEAD_LETTERS
from factory.store.failures import Only
from factory.store.records import ROW_SCHEMA
from factory.store.table import CorpusError, Table
from factory.views import display
from tests.jobs import scripted_job, write_job, write_personas
from tests.rehearsal import Rehearsal, job_in, some_personas, write_seeds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished corpus of six dialogues, one unreadable seed, and one given twice."""
    folder = tmp_path_factory.mktemp("cli")
    write_personas(folder, 6)
    again = (folder / "personas.jsonl").read_text(encoding="utf-8").splitlines()[0]
    with (folder / "personas.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(f"\n{{broken\n{again}\n")
    run(scripted_job(folder))
    return folder


def call(*arguments: str | Path | int, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def test_plan_says_what_and_why(folder: Path) -> None:
    job = folder / "job.yaml"
    nothing = json.loads(call("plan", job, "--json"))
    assert (nothing["rows"], nothing["model_calls"], nothing["bad_seeds"]) == (0, 0, 1)
    assert nothing["repeated_seeds"] == 1
    assert "1 row repeats another, and counts once" in call("plan", job)
    longer = json.loads(call("plan", job, "--json", "--set", "makers.converse.turns=6"))
    assert (longer["rows"], longer["remake"]) == (6, {"converse": 6})
    assert longer["model_calls"] > 0


def test_plan_says_what_it_will_take_and_by_what_it_knows(folder: Path) -> None:
    more = ("plan", folder / "job.yaml", "--set", "pairing.samples=2")
    told = json.loads(call(*more, "--json"))
    assert told["calls"] == {"converse": 4 * 6}
    assert told["basis"] == {"converse": "6 rows of this corpus"}
    assert told["seconds"] > 0
    text = call(*more)
    assert f"about {told['prompt_tokens']:,} prompt and {told['completion_tokens']:,} completion tokens" in text
    assert "at the pace of this corpus" in text
    assert "estimated from 6 rows of this corpus (converse)" in text


def test_run_with_nothing_to_do(folder: Path) -> None:
    result = json.loads(call("run", folder / "job.yaml", "--json"))
    assert (result["rows"], result["committed"], result["tokens"]) == (0, 0, 0)
    assert (result["bad_seeds"], result["repeated_seeds"]) == (1, 1)


def test_run_hands_on_what_it_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, object] = {}

    def fake(job: object, **options: object) -> Result:
        told.update(options)
        return run(scripted_job(folder))

    monkeypatch.setattr("factory.cli.run_job", fake)
    call("run", folder / "job.yaml", "--retry-failed", "--address", "10.0.0.1:6379", "--json")
    assert (told["retry_failed"], told["address"]) == (True, "10.0.0.1:6379")


def test_plan_counts_failed_rows_when_they_are_to_be_tried_again(tmp_path: Path) -> None:
    write_personas(tmp_path, 2)
    job = write_job(tmp_path, "scripted?fail=hens")
    run(load_job(job))
    assert json.loads(call("plan", job, "--json"))["make"] == 0
    assert json.loads(call("plan", job, "--json", "--retry-failed"))["make"] == 2


def test_status_counts(folder: Path) -> None:
    status = json.loads(call("status", folder / "corpus", "--json"))
    assert (status["rows"], status["turns"]) == (6, 24)
    assert status["decisions"] == {"accept": 6}
    assert status["bad_seeds"] == {"json": 1}


def test_status_says_what_it_cost(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(8))
    strict = ("select.reject.contradicts_persona=consistency.contradiction >= 0.3",)
    job, rehearsal = job_in(tmp_path, *strict), Rehearsal()
    rehearsal.talker.mute = {"*p5*"}
    rehearsal.run(job)
    status = json.loads(call("status", job.corpus, "--json"))
    cost, failed = status["cost"], status["cost"]["dead_letters"]
    made, lost = status["rows"], failed["rows"]  # whoever was paired with the mute one
    assert made + lost == 8
    assert lost in (1, 2)
    text = call("status", job.corpus)
    lines = [line.split() for line in text.splitlines()]
    took = cost["stages"]["converse"]
    assert any(line[:4] == ["converse", f"{made}", f"{3 * made}", f"{took['prompt_tokens']:,}"] for line in lines)
    (reason,) = (one for one in cost["reasons"] if one["reason"] == "contradicts_persona")
    assert ["reject", "contradicts_persona", f"{reason['rows']}", f"{reason['tokens']:,}"] in [
        line[:4] for line in lines
    ]
    assert f"{cost['per_accepted']['completion_tokens']:,.0f} completion tokens" in text
    assert ["accepted", *(f"{cost['gates']['accepted'][name]:,}" for name in ("lines", "tokens"))] in lines
    assert ["dead", "letters", f"{lost}", *(f"{failed[name]:,}" for name in ("calls", "prompt_tokens"))] in [
        line[:5] for line in lines
    ]
    assert ["converse", "turn_empty", f"{lost}", f"{failed['calls']}"] in [line[:4] for line in lines]
    assert re.search(r"^converse/turn_empty, for example: turn \d: ''$", text, re.MULTILINE)
    assert f"to read them: factory letters {job.corpus}" in text


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A corpus of dead letters alone: rows that failed in three ways, and two unreadable seeds."""
    folder = tmp_path_factory.mktemp("failed")
    write_seeds(folder, some_personas(24) | {"bad": []})
    with (folder / "seeds" / "a.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("{broken\n")
    job, rehearsal = job_in(folder), Rehearsal()
    rehearsal.talker.mute = {"pets"}
    rehearsal.talker.deadly = {"*p5*": RequestError("prompt too long"), "*p7*": KeyError("[boats]")}
    rehearsal.run(job)
    return job


def test_letters_are_counted_then_read(failed: Job) -> None:
    told = json.loads(call("letters", failed.corpus, "--json"))
    letters = list(Corpus(failed.corpus).dead_letters())
    assert told["letters"] == DEAD_LETTERS.dump_python(letters, mode="json")
    assert told["failures"] == json.loads(call("status", failed.corpus, "--json"))["failures"]
    text = call("letters", failed.corpus)
    lines = [line.split() for line in text.splitlines()]
    for one in told["failures"]:
        counts = [f"{one[name]:,}" for name in ("count", "calls", "prompt_tokens", "completion_tokens")]
        assert [one["stage"], one["reason"], *(counts if one["kind"] == "row" else counts[:1])] in lines
        assert f"  {one['stage']}/{one['reason']}, " in text
    assert f"20 of {len(letters)}; more with --limit" in text
    request = next(letter for letter in letters if letter.reason == "request")
    alone = call("letters", failed.corpus, "--reason", "request", "--limit", 99)
    assert f"{request.row_id[:12]}  expand/request, {request.failed_at:%Y-%m-%d %H:%M:%S} UTC, 1 attempt\n" in alone
    where = f"{', '.join(request.seed_ids)} (the first: seeds/a.jsonl, line {request.line})"
    assert f"  seeds     {where}\n  spent     {request.calls} calls, " in alone
    assert "  why       prompt too long\n" in alone
    assert "more with" not in alone


@pytest.mark.parametrize(
    ("asked", "only"),
    [
        (["--of", "rows"], {"of": "rows"}),
        (["--of", "seeds"], {"of": "seeds"}),
        (["--stage", "converse", "--seed", "p3"], {"stage": "converse", "seed": "p3"}),
        (["--reason", "fault"], {"reason": "fault"}),
    ],
)
def test_letters_filters(failed: Job, asked: list[str], only: Only) -> None:
    letters = list(Corpus(failed.corpus).dead_letters(**only))
    told = json.loads(call("letters", failed.corpus, *asked, "--json"))
    assert [one["id"] for one in told["letters"]] == [letter.id for letter in letters]
    assert sum(one["count"] for one in told["failures"]) == len(letters) > 0
    text = call("letters", failed.corpus, *asked, "--limit", 99)
    assert text.count("\n  why  ") == len(letters)
    (some,) = json.loads(call("letters", failed.corpus, *asked, "--json", "--limit", 1))["letters"]
    assert some in told["letters"]


def test_no_letters(failed: Job, tmp_path: Path) -> None:
    text = call("letters", failed.corpus, "--reason", "turn_emty")
    assert text.startswith("No dead letter matches. There are:")
    assert "turn_empty" in text
    write_seeds(tmp_path, some_personas(2))
    Rehearsal().run(job_in(tmp_path))
    assert call("letters", tmp_path / "corpus") == "No dead letters.\n"
    assert json.loads(call("letters", tmp_path / "corpus", "--json")) == {"failures": [], "letters": []}


def test_a_status_of_dead_letters_alone_shows_why(failed: Job) -> None:
    text = call("status", failed.corpus)
    assert "(no version yet)" in text
    assert "expand/request, for example: prompt too long\n" in text
    assert "expand/fault, for example: KeyError: '[boats]'\n" in text
    assert "seeds/json, for example: seeds/a.jsonl, line 26: " in text
    assert "read_delta" not in text


@pytest.mark.parametrize(
    "command",
    [
        ["letters"], ["status"], ["show"], ["explain", "00"], ["report"], ["log"], ["diff", "0", "1"], ["restore", "0"],
        ["gc"], ["export", "chat", "--to", "made"], ["card"], ["push", "hf://datasets/me/x"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_every_command_refuses_a_corpus_of_another_version(
    failed: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    older = pa.schema([column for column in DEAD_LETTER_SCHEMA if column.name not in ("text", "calls")])
    dead = Table(f"{tmp_path}/corpus/_dead_letters", older)
    dead.commit([dead.write(older.empty_table())], [], "made")
    rows = Corpus(f"{tmp_path}/corpus").table
    rows.commit([rows.write(ROW_SCHEMA.empty_table())], [], "made")
    result = CliRunner().invoke(app, [command[0], f"{tmp_path}/corpus", *command[1:]])
    assert isinstance(result.exception, CorpusError)
    assert "made by another version of the factory" in str(result.exception)
    assert not (tmp_path / "made").exists()


def test_plan_and_run_refuse_a_corpus_of_another_version(tmp_path: Path) -> None:
    write_personas(tmp_path, 2)
    older = ROW_SCHEMA.remove(ROW_SCHEMA.get_field_index("topic"))
    rows = Table(f"{tmp_path}/corpus", older)
    rows.commit([rows.write(older.empty_table())], [], "made")
    for command in ("plan", "run"):
        result = CliRunner().invoke(app, [command, str(write_job(tmp_path))])
        assert isinstance(result.exception, CorpusError)
        assert "made by another version of the factory" in str(result.exception)


def test_show_filters(folder: Path) -> None:
    assert call("show", folder / "corpus", "--limit", "1").count("seed p") == 2
    for nothing in (("--decision", "reject"), ("--reason", "short"), ("--seed", "zzz")):
        assert "No dialogue fits" in call("show", folder / "corpus", *nothing)
    of_p3 = call("show", folder / "corpus", "--seed", "p3")
    assert 0 < of_p3.count("(seed p3)") == of_p3.count("accept")


def test_show_prints_whole_rows_as_json_lines(folder: Path) -> None:
    lines = call("show", folder / "corpus", "--json").splitlines()
    assert [json.loads(line)["row_id"] for line in lines] == _rows(folder)
    assert all(json.loads(line)["turns"][0]["text"] for line in lines)
    assert call("show", folder / "corpus", "--json", "--decision", "reject") == ""


def test_a_decision_that_is_none_is_refused_with_those_there_are(folder: Path) -> None:
    result = CliRunner().invoke(app, ["show", str(folder / "corpus"), "--decision", "accepted"])
    assert result.exit_code == 2
    assert "'accept', 'flag', 'reject'" in re.sub(r"[\s│]+", " ", result.output)


def test_of_a_reason_that_no_row_has_show_names_those_there_are(tmp_path: Path) -> None:
    write_personas(tmp_path, 2)
    scores, select = {"lexical": {}}, {"flag": {"asks_little": "lexical.question_rate >= 0"}}
    run(scripted_job(tmp_path, scores=scores, select=select))
    assert "Reasons in this corpus: asks_little." in call("show", tmp_path / "corpus", "--reason", "asks")


def test_validate_reads_the_job_file_alone(tmp_path: Path) -> None:
    job = write_job(tmp_path)  # its seeds are not there
    assert json.loads(call("validate", job, "--json"))["makers"] == ["converse"]
    assert "holds: converse" in call("validate", job)
    assert not (tmp_path / "corpus").exists()
    result = CliRunner().invoke(app, ["validate", str(job), "--set", "makers.converse.turn=2"])
    assert isinstance(result.exception, YamlError)


def test_explain_leads_back_to_the_seed(folder: Path) -> None:
    first = next(iter(_rows(folder)))
    explanation = json.loads(call("explain", folder / "corpus", first[:12], "--json"))
    assert explanation["row"]["row_id"] == first
    assert explanation["row"]["seeds"][0]["source"] == "personas.jsonl"
    converse = explanation["stages"][0]
    assert converse["stage"] == "converse"
    assert [prompt["for"] for prompt in converse["prompts"]] == [f"turn {number}" for number in range(4)]
    facts = [fact["text"] for fact in explanation["row"]["speakers"][0]["facts"]]
    assert all(fact in converse["prompts"][0]["messages"][0]["content"] for fact in facts)


def test_calibrate_proposes_thresholds_and_draws_them(tmp_path: Path) -> None:
    pairs, picture = tmp_path / "pairs.csv", tmp_path / "curves.png"
    said = {"I own a dog.": "entailment", "I have no dog.": "contradiction", "It is late.": "neutral", "?": "-"}
    pairs.write_text("fact,said,gold\n" + "".join(f"I have a dog.,{text},{label}\n" for text, label in said.items()))
    columns = ["--premise", "fact", "--hypothesis", "said", "--label", "gold", "--picture", picture]
    found = json.loads(call("calibrate", pairs, *columns, "--json"))
    assert (found["pairs"], found["contradictions"], found["left_out"]) == (3, 1, {"no gold label": 1})
    assert found["reject"]["recall"] == 1
    assert picture.exists()
    text = call("calibrate", pairs, *columns)
    assert f"consistency.contradiction >= {found['reject']['threshold']:.2f}" in text


def test_versions_are_listed_told_apart_restored_and_swept(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    for override in ("run.rows_per_shard=100", "makers.converse.turns=4"):
        Rehearsal().run(job_in(tmp_path, override, "run.rows_per_shard=100"))
    corpus = tmp_path / "corpus"
    assert [one["rows"] for one in json.loads(call("log", corpus, "--json"))["versions"]] == [6, 6]
    assert "6 rows made" in call("log", corpus)

    told = {"what": "redone: converse, extract, augment, consistency", "why": "converse.turns"}
    changes = json.loads(call("diff", corpus, 0, 1, "--json"))["changes"]
    assert sum(change["rows"] for change in changes) == 6
    assert all(change.items() >= told.items() for change in changes)
    assert "  ".join(told.values()) in call("diff", corpus, 0, 1)
    lines = call("diff", corpus, 0, 1, "--rows").splitlines()
    assert len(lines) == 6
    assert all(line.split("\t")[1:3] == list(told.values()) for line in lines)
    rows = [json.loads(line) for line in call("diff", corpus, 0, 1, "--rows", "--json").splitlines()]
    assert [row["row_id"] for row in rows] == [line.split("\t")[0] for line in lines]
    assert call("diff", corpus, 1, 1) == "No row differs.\n"

    assert "version 0 is restored as version 2: 6 rows" in call("restore", corpus, 0)
    assert "file of old versions" in call("gc", corpus, "--keep-days", 0)
    assert json.loads(call("gc", corpus, "--keep-days", 0, "--json"))["deleted"] is False
    assert "deleted: " in call("gc", corpus, "--keep-days", 0, "--delete")
    assert call("gc", corpus, "--keep-days", 0) == "Nothing to delete.\n"


def _rows(folder: Path) -> list[str]:
    return [row.row_id for row in Corpus(str(folder / "corpus")).rows()]


JOB_FILE_MISTAKES = [
    (["plan", "nowhere.yaml"], "nowhere.yaml"),
    (["plan", "{job}", "--set", "makers.convers.turns=4"], "did you mean converse"),
    (["train-lm", "{job}", "--to", "{empty}/m"], "unknown field corpus"),
    (["train-nli", "absent.yaml", "--to", "{empty}/m"], "absent.yaml"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *JOB_FILE_MISTAKES,
        (["plan", "{job}", "--set", "seeds.0.path=absent.jsonl"], "absent.jsonl"),
        (["run", "{job}", "--set", "corpus=ftp://host/corpus"], "ftp://host/corpus"),
        (["run", "{job}", "--set", "corpus={file}"], "personas.jsonl"),
        (["status", "{empty}"], "no corpus here"),
        (["show", "{empty}"], "no corpus here"),
        (["letters", "{empty}"], "no corpus here"),
        (["calibrate", "{file}"], "no labelled pair in"),
        (["calibrate", "absent.csv"], "absent.csv"),
        (["explain", "{corpus}", "ffffffffffffffff"], "no row"),
        (["log", "{empty}"], "no corpus here"),
        (["gc", "{empty}"], "no corpus here"),
        (["diff", "{corpus}", "0", "77"], "no version 77"),
        (["restore", "{corpus}", "77"], "no version 77"),
    ],
)
def test_mistakes_are_explained_without_a_traceback(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    write_job(folder)
    places = {
        "job": folder / "job.yaml",
        "corpus": folder / "corpus",
        "empty": tmp_path,
        "file": folder / "personas.jsonl",
    }
    monkeypatch.setattr("sys.argv", ["factory", *(argument.format(**places) for argument in arguments)])
    monkeypatch.setattr(display, "err", display.Console(stderr=True, soft_wrap=True, width=500))
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    assert stopped.value.code == (2 if (arguments, message) in JOB_FILE_MISTAKES else 1)
    assert message in captured.err
    assert "Traceback" not in captured.err
