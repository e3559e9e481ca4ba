"""A corpus pushed to a stand-in for the hub, which speaks its protocol, and read back by the hub's own libraries."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard, constants

from factory.base.frontmatter import joined, parted
from factory.export.hub import HubError
from factory.export.push import Push, push
from factory.store.corpus import Corpus
from factory.views.card import card, is_ours, write_card
from tests import hub_server
from tests.hub_server import READER, TOKEN, HubServer, refusal
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds

TO = "hf://datasets/me/talk"


@dataclass
class Made:
    """A corpus in which every dialogue was made twice, the second time with one score more; in the first version some
    rows failed."""

    corpus: str
    rows: list[dict[str, Any]]
    versions: list[int]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("pushed")
    write_seeds(folder, some_personas(7))
    rehearsal = Rehearsal()
    rows, versions = [], []
    rehearsal.talker.mute = {"*p5*"}
    first = job_in(folder, "scores={}", "select=null")
    second = job_in(folder)
    for job, limit in ((first, None), (second, 3)):
        rehearsal.run(job, limit=limit, retry_failed=True)
        rows.append({name: row.decision for name, row in rows_of(job).items()})
        corpus = Corpus(job.corpus)
        corpus.scan()
        versions.append(corpus.table.version())
        rehearsal.talker.mute = set()
    return Made(first.corpus, rows, versions)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with hub_server.hub() as started:
        for name, value in started.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "ENDPOINT", started.url)  # read from the environment when it is imported
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{started.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
        yield started


def python(code: str) -> Any:
    """What a new process, which reads the environment as it starts, prints as JSON."""
    done = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def factory(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "factory", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


LOAD = (
    "import datasets; rows = datasets.load_dataset('me/talk', split='train'); "
    "print(json.dumps({row['row_id']: row['decision'] for row in rows}))"
)
SNAPSHOT = (
    "import huggingface_hub as hub, pathlib; folder = pathlib.Path(hub.snapshot_download('me/talk', "
    "repo_type='dataset')); print(json.dumps(sorted(str(file.relative_to(folder)) for file in folder.rglob('*.*'))))"
)


def shards_of(made: Made, version: int) -> list[str]:
    return [shard.path for shard in Corpus(made.corpus).table.shards_at(made.versions[version])]


def test_the_command_pushes_and_the_hubs_libraries_read_it_back(made: Made, server: HubServer) -> None:
    done = factory("push", made.corpus, TO, "--message", "First.", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert f"goes to {TO} (new; private)" in done.stderr
    shards = sorted(shards_of(made, 1))
    assert told["files"] == [*shards, "README.md"]
    files = server.files("me/talk")
    assert sorted(files) == sorted([".gitattributes", *told["files"]])
    assert told["bytes"] == sum(len(files[path].content) for path in told["files"])
    assert f"{told['rows']} rows: {len(told['files'])} files, {told['bytes']:,} bytes" in done.stderr
    assert (told["rows"], told["private"], server.datasets["me/talk"].private) == (len(made.rows[1]), True, True)
    assert server.datasets["me/talk"].commits[-1][:2] == (told["commit"], "First.")
    assert python(LOAD) == made.rows[1]
    assert python(SNAPSHOT) == sorted(files)
    for path in shards:
        assert files[path].content == Path(made.corpus, path).read_bytes()


def test_another_version_takes_the_place_of_the_one_before(made: Made, server: HubServer) -> None:
    first = push(made.corpus, TO, version=made.versions[0])
    assert set(shards_of(made, 0)) - set(shards_of(made, 1)), "a shard leaves"
    assert set(shards_of(made, 0)) & set(shards_of(made, 1)), "a shard stays"
    assert first.sent == first.files
    assert python(LOAD) == made.rows[0]
    licence = hub_server.File(b"CC0", False)
    server.datasets["me/talk"].commit("a licence", server.files("me/talk") | {"LICENSE": licence})
    server.asked.clear()
    second = push(made.corpus, TO)
    assert set(second.deleted) == set(shards_of(made, 0)) - set(shards_of(made, 1))
    assert set(second.sent) == set(shards_of(made, 1)) - set(shards_of(made, 0)) | {"README.md"}
    assert len(server.sent()) == len(second.sent) - 1
    assert set(server.files("me/talk")) == {".gitattributes", "LICENSE", *second.files}
    assert python(LOAD) == made.rows[1]
    again = push(made.corpus, TO)
    assert (again.sent, again.deleted, again.commit) == ([], [], second.commit)
    assert len(server.datasets["me/talk"].commits) == 4


def test_the_card_is_that_of_the_version(made: Made, server: HubServer) -> None:
    push(made.corpus, TO, version=made.versions[0])
    old = DatasetCard(server.files("me/talk")["README.md"].content.decode())
    assert old.data["configs"][0]["data_files"][0]["path"] == shards_of(made, 0)
    assert "consistency" not in {one["name"] for one in old.data["dataset_info"]["features"]}
    assert f"\n| dialogues | {len(made.rows[0])} |\n" in old.text
    assert f"\n| rows that failed, converse/turn_empty | {7 - len(made.rows[0])} |\n" in old.text


def test_what_people_wrote_in_a_card_stays(made: Made, server: HubServer) -> None:
    readme = Path(made.corpus, "README.md")
    corpus = Corpus(made.corpus)
    try:
        write_card(corpus, card(corpus, version=made.versions[0], licence="cc-by-4.0", language="de"))
        push(made.corpus, TO)
        ours = server.files("me/talk")["README.md"].content.decode()
        assert is_ours(ours)
        assert (parted(ours)[0]["license"], parted(ours)[0]["language"]) == ("cc-by-4.0", ["de"])
        assert parted(ours)[0]["configs"][0]["data_files"][0]["path"] == shards_of(made, 1)

        theirs = joined(parted(ours)[0] | {"license": "cc0-1.0", "configs": []}, "\nWritten on the hub.\n")
        files = server.files("me/talk") | {"README.md": hub_server.File(theirs.encode(), False)}
        server.datasets["me/talk"].commit("edited there", files)
        push(made.corpus, TO)
        header, text = parted(server.files("me/talk")["README.md"].content.decode())
        assert (header["license"], text) == ("cc0-1.0", "\nWritten on the hub.\n")
        assert header["configs"] == parted(ours)[0]["configs"]

        readme.write_text("---\nlicense: mit\n---\nWritten here.\n")
        push(made.corpus, TO)
        header, text = parted(server.files("me/talk")["README.md"].content.decode())
        assert (header["license"], header["configs"], text) == ("mit", parted(ours)[0]["configs"], "Written here.\n")
        assert readme.read_text() == "---\nlicense: mit\n---\nWritten here.\n"
    finally:
        readme.unlink(missing_ok=True)
    made_there = hub_server.File(b"---\nlicense: odbl\n---\n", False)
    server.datasets["me/talk"].commit("as the hub's page makes it", {"README.md": made_there})
    push(made.corpus, TO)
    text = server.files("me/talk")["README.md"].content.decode()
    assert is_ours(text)
    assert parted(text)[0]["license"] == "odbl"


def test_a_corpus_in_an_object_store_is_pushed(bucket: str, server: HubServer, tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(7))
    job = job_in(tmp_path, f"corpus={bucket}/to-push")
    Rehearsal().run(job)
    pushed = push(job.corpus, TO)
    assert len(pushed.files) > 2
    for path in pushed.files[:-1]:
        assert server.files("me/talk")[path].content == Corpus(job.corpus).storage.read_bytes(path)
    assert python(LOAD) == {name: row.decision for name, row in rows_of(job).items()}


def test_files_are_sent_by_xet_where_the_hub_has_it(
    made: Made, server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "0")
    server.xet = tmp_path / "xet"
    server.xet.mkdir()
    shards = {path: Path(made.corpus, path).read_bytes() for path in shards_of(made, 1)}
    server.large |= {hashlib.sha256(content).hexdigest(): content for content in shards.values()}
    done = factory("push", made.corpus, TO)
    assert done.returncode == 0, done.stderr
    assert not any("/lfs/" in path for _, path in server.asked)
    assert any(file.stat().st_size for file in server.xet.rglob("xorbs/default.*"))
    assert {path: server.files("me/talk")[path].content for path in shards} == shards


def away(_: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def with_token(token: str) -> Any:
    return lambda _, monkeypatch: monkeypatch.setenv("HF_TOKEN", token)


def harmed(method: str, part: str, answer: hub_server.Answer) -> Any:
    return lambda server, _: server.harm.update({(method, part): answer})


@pytest.mark.parametrize(
    ("to", "harm", "message"),
    [
        (TO, lambda _, monkeypatch: monkeypatch.delenv("HF_TOKEN"), "there is no token for the hub.*hf auth login"),
        (TO, with_token("hf_unknown"), "cannot read .*Invalid credentials.*check HF_TOKEN"),
        (TO, with_token(READER), "cannot create .*don't have the rights.*the token may not do that"),
        ("hf://datasets/you/talk", lambda *_: None, "cannot create hf://datasets/you/talk: .*may not do that"),
        (TO, away, "127.0.0.1:9 cannot be reached.*check the network, HF_ENDPOINT"),
        (TO, lambda _, monkeypatch: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True), "HF_HUB_OFFLINE is set"),
        (TO, harmed("POST", "/batch", refusal(403, "Private storage is full")), "Private storage is full"),
        (TO, harmed("PUT", "/lfs/", refusal(403, "No room")), "Error while uploading .*shards/.*No room"),
        (TO, harmed("POST", "/commit/", refusal(412, "A commit has happened")), "somebody else has pushed"),
        (TO, harmed("POST", "/commit/", refusal(404, "Repository not found", "RepoNotFound")), "no such dataset any"),
        ("hf://me/talk", lambda *_: None, "pushed to the main branch of a whole dataset: hf://datasets/OWNER/NAME"),
        ("hf://datasets/me/talk@v1", lambda *_: None, "the main branch of a whole dataset"),
        ("s3://bucket/talk", lambda *_: None, "s3://bucket/talk: .*write hf://datasets/OWNER/NAME"),
    ],
)  # fmt: skip
def test_an_error_says_what_to_do(
    to: str, harm: Any, message: str, made: Made, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm(server, monkeypatch)
    with pytest.raises(HubError, match=message) as error:
        push(made.corpus, to)
    assert "\n" not in str(error.value)
    assert not any(path.startswith("shards/") for name in server.datasets for path in server.files(name))


def test_a_card_that_the_hub_does_not_give_is_not_overwritten(made: Made, server: HubServer) -> None:
    push(made.corpus, TO, version=made.versions[0])
    server.harm["HEAD", "README.md"] = refusal(403, "Too many requests today")
    with pytest.raises(HubError, match="cannot read .*Too many requests today.*push again later"):
        push(made.corpus, TO)
    assert len(server.datasets["me/talk"].commits) == 2


def test_a_public_dataset_is_not_taken_for_a_private_one(made: Made, server: HubServer) -> None:
    told: list[Push] = []
    assert not push(made.corpus, TO, private=False, announce=told.append).private
    assert (told[0].new, told[0].private, told[0].commit) == (True, False, None)
    assert not server.datasets["me/talk"].private
    with pytest.raises(HubError, match="is there already, and public"):
        push(made.corpus, TO, private=True)


def test_nothing_is_sent_before_it_was_announced(made: Made, server: HubServer) -> None:
    def announce(told: Push) -> None:
        assert told.sent == told.files
        raise InterruptedError

    with pytest.raises(InterruptedError):
        push(made.corpus, TO, announce=announce)
    assert {method for method, _ in server.asked} == {"GET"}
    assert server.datasets == {}


def test_a_token_that_the_hub_quotes_is_not_printed(made: Made, server: HubServer) -> None:
    server.harm["POST", "/repos/create"] = refusal(403, f"{TOKEN} may not do this")
    done = factory("push", made.corpus, TO)
    assert done.returncode == 1
    assert "error: cannot create" in done.stderr
    assert TOKEN not in done.stderr + done.stdout
    assert os.environ["HF_TOKEN"] == TOKEN


def test_a_corpus_without_a_row_is_not_pushed(server: HubServer, tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*"}
    rehearsal.run(job)
    with pytest.raises(HubError, match="there is no row to push"):
        push(job.corpus, TO)
    assert server.asked == []
