"""What is forgotten stands in no file any more, whatever was there before and wherever the command was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from factory.cli import app
from factory.planning.forget import Forgotten, forget
from factory.planning.plan import plan
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.storage import Storage
from factory.store.table import CorpusError
from factory.store.versions import log, restore
from tests.killing import FOLDER, order
from tests.local_ray import Death, Killed
from tests.rehearsal import JOB, Rehearsal, job_in, letters_of, rows_of, settled, some_personas, write_seeds

ROOT = Path(__file__).parents[2]
SEED = "p2"
MARKS = ("*p2*", "'p2'", '"p2"', "I own 2 boats.")
TEXT = JOB.replace("select:", "passes: {{near_duplicates: {{}}}}\nselect:")
APART = JOB.replace("  augment: {{count: 1, probability: 0.5}}\n", "")
"""A job in whose rows there are no facts of others."""


@pytest.fixture(params=["local", "s3"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    """A corpus, on disk or in an object store, of two versions of each row, with a dead letter of the seed, caches, and
    what a run left that died before it committed a third."""
    write_seeds(tmp_path, some_personas(6))
    os.utime(tmp_path / "seeds" / "a.jsonl", (1e9, 1e9))  # one that has just been written is not kept as parsed
    root = tmp_path / "corpus" if request.param == "local" else f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    text = TEXT.replace("{folder}/corpus", str(root))
    rehearsal = Rehearsal()
    rehearsal.run(job_in(tmp_path, text=text))
    rehearsal.talker.mute = {"*p2*"}
    job = job_in(tmp_path, "makers.converse.turns=4")
    rehearsal.run(job)
    with pytest.raises(Killed):
        Rehearsal().run(job_in(tmp_path, "makers.converse.turns=4", "pairing.samples=2"), deaths=[Death("after merge")])
    return job


def everything(root: str) -> dict[str, str]:
    """All files of a corpus as text, decompressed, by path."""
    storage, texts = Storage(root), dict[str, str]()
    for path in [file.path for file in storage.files("")]:
        content = storage.read_bytes(path)
        if content.startswith(b"PAR1"):
            texts[path] = str(pq.read_table(pa.BufferReader(content)).to_pylist())
        elif content.startswith(b"ARROW1"):
            texts[path] = str(pa.ipc.open_file(content).read_all().to_pylist())
        elif path.endswith((".arrow", ".compared")):
            texts[path] = str(storage.read_arrow(path).to_pylist())
        else:
            texts[path] = content.decode()
    return texts


def marked(root: str) -> set[str]:
    """The files that hold anything of the seed."""
    return {path for path, text in everything(root).items() if any(mark in text for mark in MARKS)}


def erased(job: Job) -> Forgotten:
    """Have the seed erased; fails if a file still holds it, or another row has gone or changed but for its donors."""
    before = rows_of(job)
    found = forget(Corpus(job.corpus), SEED, delete=True)
    assert (found.left, found.shared) == ([], 0)
    assert marked(job.corpus) == set()
    after = rows_of(job)
    assert not [row for row in after.values() if SEED in {ref.id for ref in row.seeds}]
    for row_id, row in after.items():
        row.donors = before[row_id].donors
        assert row == before[row_id]
    return found


def without_seed(folder: Path) -> None:
    """Take the seed out of its file."""
    personas = some_personas(6)
    del personas[SEED]
    write_seeds(folder, personas)


def test_a_seed_is_erased_from_rows_versions_letters_and_caches(job: Job, tmp_path: Path) -> None:
    corpus = Corpus(job.corpus)
    before, held = rows_of(job), marked(job.corpus)
    folders = {path.rpartition("/")[0] for path in held}
    assert folders == {"shards", "_dead_letters/shards", "_seeds", "_staging"}
    listed = forget(corpus, SEED, delete=False)
    assert (set(listed.held), set(listed.left), listed.erased) == (held, held, False)
    assert listed.places == ["seeds/a.jsonl, line 3"]
    assert listed.dead_letters == len([one for one in letters_of(job).values() if SEED in one.seed_ids]) > 0
    used = [row for row in before.values() if SEED in {fact.source_id for one in row.speakers for fact in one.facts}]
    offered = [row for row in before.values() if SEED in {fact.source_id for side in row.donors for fact in side}]
    assert used
    assert (listed.rows, listed.trimmed) == (len(used), len([row for row in offered if row not in used]))
    assert rows_of(job) == before, "it was but looked at"

    found = erased(job)
    assert (found.rows, found.trimmed, found.held) == (listed.rows, listed.trimmed, listed.held)
    assert (found.erased, found.version) == (True, log(Corpus(job.corpus))[0].version)
    assert found.texts >= 2
    with pytest.raises(CorpusError, match="files of version 0 are gone"):
        restore(corpus, 0)
    again = forget(corpus, SEED, delete=True)
    assert (again.held, again.erased, again.left) == ([], False, [])

    without_seed(tmp_path)
    Rehearsal().run(job)
    assert settled(job)
    assert marked(job.corpus) == set()


def test_a_seed_that_stays_in_its_file_is_made_again(job: Job) -> None:
    found = erased(job)
    planned = plan(job).summary
    assert planned.make == found.rows + found.dead_letters
    Rehearsal().run(job)
    assert settled(job)
    assert "*p2*" in str(everything(job.corpus))


EVENTS = [("commit_letters", 0), ("committed", 1), ("deleted", 0), ("deleted", 6)]


@pytest.mark.parametrize(("event", "after"), EVENTS)
def test_killed_on_the_way_the_same_command_goes_on(job: Job, tmp_path: Path, event: str, after: int) -> None:
    order(tmp_path / "deaths", event, after)
    command = [sys.executable, "-m", "tests.killing", "forget", job.corpus, SEED, "--delete"]
    environment = os.environ | {FOLDER: str(tmp_path / "deaths")}
    killed = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert marked(job.corpus)
    found = erased(job)
    assert found.texts >= 2, "what is sought is still known"
    without_seed(tmp_path)
    Rehearsal().run(job)
    assert settled(job)


def test_a_text_that_others_say_too_stays_with_them(tmp_path: Path) -> None:
    personas = some_personas(6)
    personas["p0"] = [*personas["p0"], "I like rain."]
    personas[SEED] = [*personas[SEED], "I like rain."]
    write_seeds(tmp_path, personas)
    job = job_in(tmp_path, text=APART)
    Rehearsal().run(job)
    found = forget(Corpus(job.corpus), SEED, delete=True)
    assert (found.left, found.shared) == ([], 1)
    assert "I like rain." in str(everything(job.corpus))
    assert marked(job.corpus) == set()


def test_a_row_that_was_refused_for_the_same_id_goes_too(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    with (tmp_path / "seeds" / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": SEED, "facts": ["I own 77 boats."]}) + "\n")
    os.utime(tmp_path / "seeds" / "a.jsonl", (1e9, 1e9))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    assert any("another seed has the id 'p2'" in text for text in everything(job.corpus).values())
    found = forget(Corpus(job.corpus), SEED, delete=True)
    assert (found.dead_letters, found.left) == (1, [])
    assert marked(job.corpus) == set()


def test_an_id_is_not_sought_in_longer_ones_nor_in_what_people_say(tmp_path: Path) -> None:
    personas = {f"p{number}": [f"I keep *p{number}* pets.", "p1"] for number in (1, 10, 11, 12, 13)}
    write_seeds(tmp_path, personas)
    job = job_in(tmp_path, text=APART)
    Rehearsal().run(job)
    found = forget(Corpus(job.corpus), "p1", delete=True)
    assert (found.left, found.erased) == ([], True)
    assert "*p1*" not in str(everything(job.corpus))
    assert re.search(r"\*p1\d\*", str(everything(job.corpus)))
    assert forget(Corpus(job.corpus), "p1", delete=False).similar == sorted(
        {ref.id for row in rows_of(job).values() for ref in row.seeds}
    )


def test_a_file_that_is_not_the_factory_s_is_named_and_left(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    note = Path(job.corpus) / "README.md"
    note.write_text("An example: I keep *p2* pets.")
    ended = CliRunner().invoke(app, ["forget", job.corpus, SEED, "--delete"])
    assert ended.exit_code == 1
    assert "still held, or not to be read: README.md" in ended.stderr
    note.write_text("An example.")
    ended = CliRunner().invoke(app, ["forget", job.corpus, SEED, "--delete", "--json"])
    assert (ended.exit_code, json.loads(ended.stdout)["left"]) == (0, [])


def test_what_is_printed_says_where_the_seed_stands_and_that_it_is_gone(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    listed = CliRunner().invoke(app, ["forget", job.corpus, SEED]).stdout
    assert "seed p2: seeds/a.jsonl, line 3" in listed
    assert "to erase all that: --delete" in listed
    done = CliRunner().invoke(app, ["forget", job.corpus, SEED, "--delete"]).stdout
    assert "files hold the seed's id or any of its" in done
    assert "the next plan or run takes it up again unless the seed is taken out of seeds/a.jsonl, line 3" in done
    assert "ids that begin so: p0" in CliRunner().invoke(app, ["forget", job.corpus, "p"]).stdout


@pytest.mark.parametrize("seed", ["1", "may"])
def test_what_is_no_seed_changes_nothing_though_logs_say_it(tmp_path: Path, seed: str) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path, "select.flag.may=consistency.contradiction >= 0.2")
    Rehearsal().run(job)
    before = log(Corpus(job.corpus))
    found = forget(Corpus(job.corpus), seed, delete=True)
    assert (found.held, found.left, found.erased) == ([], [], False)
    assert log(Corpus(job.corpus)) == before


@pytest.mark.parametrize("name", ["7", "conv-26/session_1"])
def test_only_what_the_seed_gave_is_taken_from_others(tmp_path: Path, name: str) -> None:
    """Ids that stand by chance in hashes, times and longer ids."""
    write_seeds(tmp_path, {f"{name}{end}": [f"I own {end or 'no'} boats."] for end in ("", "0", "1", "2", "3", "4")})
    job = job_in(tmp_path, "makers.augment={count: 1, probability: 0.01}")
    Rehearsal().run(job)
    before = rows_of(job)
    offered = {id_ for id_, row in before.items() if name not in {ref.id for ref in row.seeds}}
    found = forget(Corpus(job.corpus), name, delete=True)
    assert (found.left, set(rows_of(job))) == ([], offered)
    assert found.trimmed == sum(
        any(fact.source_id == name for side in before[id_].donors for fact in side) for id_ in offered
    )


def test_where_there_is_no_corpus_nothing_is_forgotten(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is no corpus here"):
        forget(Corpus(str(tmp_path)), SEED, delete=True)
