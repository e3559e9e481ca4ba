"""A key reaches nobody, whatever quotes it: terminal, tables, files of a corpus, logs of Ray, chains of exceptions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from factory.cli import app
from factory.engines import Health, LanguageModel, Message, Request, Sampling
from factory.engines.openai import OpenAIEngine
from factory.spec.layers import YamlError
from factory.store.corpus import Corpus
from tests import model_server
from tests.jobs import scripted_job, write_job, write_personas
from tests.model_server import Answer, ModelServer, as_json, completions, error, page, serving

SECRET = "sk-live-4f9aB7+/x=Q"  # noqa: S105
ASKED = Request((Message(role="user", content="Hi!"),), Sampling())


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving(ModelServer()) as started:
        yield started


def refused(body: dict[str, Any]) -> Answer:
    """Two personas are answered in ways that quote the key."""
    prompt = str(body["messages"])
    if "number 0" in prompt:
        return error(400, f"Cannot do this for key {SECRET}")
    if "number 1" in prompt:
        return completions(f"Your key {SECRET} is not valid, said clerk {len(prompt)}.")
    return completions(f"I saw {len(prompt)} birds.")


def factory(*arguments: object, key: str = SECRET, folder: Path) -> tuple[str, dict[Path, str]]:
    """All that a command prints, whatever it ends with; and, as far as they were seen, the logs of Ray, which go with
    the run."""
    command = [sys.executable, "-m", "factory", *map(str, arguments)]
    environment = os.environ | {"OPENAI_API_KEY": key, "RAY_TMPDIR": str(folder), "COLUMNS": "1000"}
    logs: dict[Path, str] = {}
    with (folder / "out").open("w+") as out:
        running = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=folder)
        while running.poll() is None:
            for file in folder.rglob("logs/*.*"):
                with contextlib.suppress(OSError):
                    logs[file] = file.read_text(errors="replace")
            time.sleep(0.2)
        out.seek(0)
        return out.read(), logs


def readable(corpus: Path) -> str:
    """All that stands in a corpus."""
    opened = Corpus(str(corpus))
    files = [file for file in corpus.rglob("*") if file.suffix in (".json", ".md", ".html")]
    return "\n".join([*map(repr, opened.rows()), *map(repr, opened.dead_letters()), *(f.read_text() for f in files)])


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray puts its logs: sockets too, whose paths are short."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_no_way_leads_a_key_to_a_person(server: ModelServer, tmp_path: Path, ray_folder: Path) -> None:
    write_personas(tmp_path, 6)
    model = {"engine": "openai", "name": "m", "base_url": server.url, "timeout_s": 5, "max_retries": 1}
    job = write_job(tmp_path, models={"writer": model}, pairing={"partners": 1, "samples": 2})
    corpus, folder = tmp_path / "corpus", ray_folder

    server.reply = refused
    first, logs = factory("run", job, key=f"{SECRET}\r\n", folder=folder)
    assert server.keys == {f"Bearer {SECRET}"}
    assert "committed" in first
    assert any("worker-" in file.name for file in logs)
    looks = [["status"], ["show"], ["log"], ["letters"], ["report", "--to", f"{corpus}/r.html"], ["card"]]
    told = [first, *(CliRunner().invoke(app, [look[0], str(corpus), *look[1:]]).output for look in looks)]
    told.append(readable(corpus))
    assert "Cannot do this for key ***" in told[-1]
    assert "Your key *** is not valid, said clerk" in told[-1]

    server.reply = lambda _: error(401, f"Incorrect API key provided: {SECRET[:12]}...{SECRET[-8:]}")
    again = ("run", job, "--set", "makers.converse.turns=3")
    second, more = factory(*again, folder=folder)
    assert "Incorrect API key provided" in second
    third, most = factory(*again, key=f"{SECRET}é", folder=folder)
    assert "OPENAI_API_KEY holds" in third
    for text in (*told, second, third, *logs.values(), *more.values(), *most.values()):
        assert parts_of(SECRET) & parts_of(text) == set(), text


def parts_of(text: str) -> set[str]:
    return {text[start : start + 8] for start in range(len(text) - 7)}


@pytest.mark.parametrize(
    "answer",
    [
        error(403, f"refused: {SECRET}"),
        error(418, f"refused: {SECRET}"),
        error(422, f"refused: {SECRET}"),
        page(f"Log in with {SECRET}"),
        Answer(200, f'{{"choices": [{{"{SECRET}'.encode(), {"Content-Type": "application/json"}),
        Answer(200, b"", {"Content-Type": SECRET}),
        as_json({"error": {"message": SECRET}}),
        Answer(307, b"", {"Location": f"http://127.0.0.1:9/?key={SECRET}"}),
        model_server.RESET,
    ],
)
@pytest.mark.parametrize("at", ["models", "chat"])
def test_no_exception_of_the_engine_holds_the_key(
    answer: Answer, at: str, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {SECRET}\n")
    server.models = answer if at == "models" else as_json({"data": [{"id": "m"}, {"id": SECRET}]})
    server.reply = lambda _: answer
    fields = {"engine": "openai", "base_url": server.url, "max_retries": 0, "timeout_s": 1}

    async def ask() -> None:
        engine = await asyncio.to_thread(OpenAIEngine, LanguageModel(name="m", **fields), 1.0, Health())
        try:
            await engine.generate(ASKED)
        finally:
            await engine.close()

    with pytest.raises(Exception) as caught:  # noqa: PT011 -- whichever it is
        asyncio.run(ask())
    assert_silent(caught.value)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        OpenAIEngine(LanguageModel(name="another", **fields), 1.0, Health())
    assert_silent(caught.value)


def assert_silent(error: BaseException | None) -> None:
    """Neither an error nor what led to it knows the key."""
    while error is not None:
        told = f"{error!r} {vars(error)} {''.join(traceback.format_exception(error))}"
        assert parts_of(SECRET) & parts_of(told) == set()
        assert "Bearer" not in told
        error = error.__cause__ or error.__context__


def test_an_error_that_nobody_foresaw_is_printed_without_the_key(tmp_path: Path) -> None:
    broken = (
        f"from factory.cli import app, main\n@app.command()\ndef broken():\n    raise ValueError('{SECRET}')\nmain()"
    )
    command = [sys.executable, "-c", broken, "broken"]
    environment = os.environ | {"OPENAI_API_KEY": SECRET}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "ValueError: ***" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("api_key_env", "capital letters"),
        ("headers_env", "capital letters"),
        ("base_url", "credentials do not belong"),
        ("api_key", "unknown field"),
    ],
)
def test_a_key_in_the_wrong_field_is_not_repeated(field: str, said: str, tmp_path: Path) -> None:
    secret = f"http://me:{SECRET}@host/v1"
    value = {"X-Key": secret} if field == "headers_env" else secret
    with pytest.raises(YamlError, match=said) as caught:
        scripted_job(tmp_path, models={"dialogue": {"name": "m", field: value}})
    assert SECRET not in "".join(traceback.format_exception(caught.value))
