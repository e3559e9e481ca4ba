"""A corpus in an object store that answers late, refuses, breaks off or is silent.

What passes is ridden out and leaves the corpus of an undisturbed run; what stays ends the run with one line that says
where and why, and leaves what was committed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray

from factory.base import stores as stores_module
from factory.planning.plan import plan
from factory.running.pool import RunError
from factory.running.run import run
from factory.spec.job import Job
from factory.store import table as table_module
from factory.store.corpus import Corpus
from factory.store.storage import Storage, StorageError
from factory.store.table import ConflictError, CorpusError
from tests.faulty_s3 import Faults, Kind, Order
from tests.jobs import scripted_job, write_personas
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, settled, some_personas, write_seeds
from tests.store.test_corpus import lines_of, shard_of

MUTE = "*p1*"

TRANSIENT: list[tuple[Kind, ...]] = [("slowdown", "slow"), ("reset", "cut"), ("lost",), ("silence",)]

PLACES = [
    ("POST", "_seeds/"),
    ("GET", "_delta_log/"),
    ("GET", "prefix="),
    ("HEAD", "_recipes/"),
    ("PUT", "_recipes/"),
    ("POST", "_staging/"),
    ("GET", "_staging/"),
    ("HEAD", "_staging/"),
    ("DELETE", "_staging/"),
    ("PUT", "/shards/"),
    ("POST", "/shards/"),
    ("GET", "/shards/"),
    ("PUT", "_dead_letters/_delta_log/"),
    ("PUT", "_delta_log/00000000000000000000.json"),
    ("POST", "_ledger/"),
]
"""Requests that a run makes, at least once each."""

KILLS: dict[str, list[Kind]] = {"_dead_letters/_delta_log": ["silence", "slow"], "_delta_log": ["silence", "slow"] * 2}
"""How the commits of a log are held up while their driver is killed: the table's making, and one to a table."""

DRIVER = (
    "import sys, pathlib; from tests.test_object_store import a_job, rehearse; "
    "rehearse(a_job(pathlib.Path(sys.argv[1]), sys.argv[2]))"
)


@pytest.fixture(autouse=True)
def hurry(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """No orders, and less patience than in earnest."""
    faults.order()
    monkeypatch.setattr(stores_module, "ANSWER_S", 1.0)
    monkeypatch.setattr(stores_module, "RETRIES", 2)
    monkeypatch.setattr(table_module, "_ATTEMPTS", 3)
    for name, value in {"timeout": "1s", "max_retries": "2", "retry_timeout": "2s"}.items():
        monkeypatch.setitem(table_module._CLIENT, name, value)


def a_job(folder: Path, corpus: str) -> Job:
    write_seeds(folder, some_personas(6))
    os.utime(folder / "seeds" / "a.jsonl", (1e9, 1e9))
    return job_in(folder, f"corpus={corpus}", "run.rows_per_shard=2")


def rehearse(job: Job, stop_after: int | None = None) -> None:
    """Run the job without Ray and models; the rows of one persona fail."""
    rehearsal = Rehearsal()
    rehearsal.talker.mute.add(MUTE)
    rehearsal.run(job, stop_after=stop_after)


def made(job: Job) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Rows and dead letters by row id: what they were made by, and at which stage they failed."""
    rows = {row_id: [stage.fingerprint for stage in row.stages] for row_id, row in rows_of(job).items()}
    return rows, {row_id: letter.stage for row_id, letter in letters_of(job).items()}


def said(error: BaseException, *parts: str) -> None:
    """Fails unless the error is one line that holds the parts and ends with what to do."""
    text = str(error)
    assert all(part in text for part in parts)
    assert text.endswith(("run again", "delete there", "then run again"))
    assert not {"\n", "\x1b", "↳"} & set(text)
    assert "Traceback" not in text


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an undisturbed run makes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = a_job(folder, str(folder / "corpus"))
    rehearse(job)
    rows, letters = made(job)
    assert rows
    assert letters
    return rows, letters


@pytest.mark.parametrize("kinds", TRANSIENT)
def test_what_passes_is_ridden_out(faults: Faults, undisturbed: Any, tmp_path: Path, kinds: tuple[Kind, ...]) -> None:
    job = a_job(tmp_path, f"s3://corpora/{tmp_path.name}")
    orders = [Order(kind, method, part, seconds=0.3) for method, part in PLACES for kind in kinds]
    if "silence" in kinds:
        # Each costs a second; Arrow's client takes seconds more to notice where it has just sent something.
        orders = [order for order in orders if order.method == "GET" or "_delta_log" in order.part]
        orders += [Order("silence", "POST", "/shards/")]
    faults.order(*orders)
    rehearse(job)
    assert faults.left() == []
    assert len(faults.struck()) == len(orders)

    faults.order()
    assert made(job) == undisturbed
    assert settled(job)


def test_a_commit_whose_answer_is_lost_stands_once(faults: Faults, tmp_path: Path) -> None:
    corpus = Corpus(f"s3://corpora/{tmp_path.name}")
    shards = [shard_of(corpus, number) for number in range(3)]
    assert corpus.table.shards() == []
    faults.order(Order("lost", "PUT", "_delta_log/", times=None))
    for shard in shards:
        corpus.table.commit([shard], [], "lost and found")
    assert [request.partition("_delta_log/")[2] for request in faults.struck()] == [
        f"{version:020}.json" for version in range(3)
    ]
    faults.order()
    assert lines_of(Corpus(corpus.root)) == [0, 1, 2]
    assert (corpus.table.version(), len(Corpus(corpus.root).table.shards())) == (2, 3)


@pytest.mark.parametrize("begun", [False, True])
def test_a_commit_that_did_not_arrive_is_made_unless_another_came_before(
    faults: Faults, tmp_path: Path, begun: bool
) -> None:
    one, other = (Corpus(f"s3://corpora/{tmp_path.name}") for _ in range(2))
    if begun:
        one.table.commit([shard_of(one, 0)], [], "begun")
    assert one.table.shards() == other.table.shards()
    mine, theirs = shard_of(one, 1), shard_of(other, 2)
    faults.order(Order("reset", "PUT", "_delta_log/", times=2))
    one.table.commit([mine], [], "twice on its way")
    faults.order(Order("reset", "PUT", "_delta_log/"))
    with pytest.raises(ConflictError, match="another run is writing here; let it finish, then run again"):
        other.table.commit([theirs], [], "too late")
    assert lines_of(Corpus(one.root)) == ([0, 1] if begun else [1])


@pytest.fixture(scope="module")
def begun(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A corpus of which a part is committed."""
    folder = tmp_path_factory.mktemp("begun")
    faults.order()
    job = a_job(folder, f"s3://corpora/{folder.name}")
    rehearse(job, stop_after=20)
    return job


@pytest.mark.parametrize(
    ("kind", "method", "part", "place"),
    [
        ("denied", "", "", ""),
        ("denied", "GET", "_seeds/", "/_seeds"),
        ("denied", "PUT", "/shards/", "/shards/"),
        ("denied", "PUT", "_delta_log/", ""),
        ("slowdown", "", "", ""),
        ("slowdown", "POST", "_staging/", "/_staging/"),
        ("slowdown", "PUT", "_delta_log/", ""),
        ("silence", "", "", ""),
        ("silence", "POST", "/shards/", "/shards/"),
        ("silence", "PUT", "_delta_log/", ""),
        ("reset", "GET", "/shards/", "/shards/"),
    ],
)
def test_what_stays_ends_the_run_and_spares_what_is_committed(
    faults: Faults, begun: Job, undisturbed: Any, kind: Kind, method: str, part: str, place: str
) -> None:
    rows, letters = made(begun)
    assert len(rows) + len(letters) > 0
    faults.order(Order(kind, method, part, times=None))
    start = time.monotonic()
    with pytest.raises((StorageError, CorpusError, RunError)) as caught:
        rehearse(begun)
    assert time.monotonic() - start < 30
    assert not isinstance(caught.value, ConflictError)
    said(caught.value, begun.corpus, place)
    assert faults.struck()
    faults.order()
    now = made(begun)
    assert rows.items() <= now[0].items() <= undisturbed[0].items()
    assert letters.items() <= now[1].items() <= undisturbed[1].items()


def test_the_next_run_finishes_what_those_left(faults: Faults, begun: Job, undisturbed: Any) -> None:
    rehearse(begun)
    assert made(begun) == undisturbed
    assert settled(begun)


@pytest.mark.parametrize("log", ["_dead_letters/_delta_log", "_delta_log"])
def test_a_driver_that_is_killed_inside_a_commit_has_made_it_or_not(
    faults: Faults, undisturbed: Any, tmp_path: Path, log: str
) -> None:
    """Killed while the Delta log's client waits for its answer: before the server has its request, and after."""
    job = a_job(tmp_path, f"s3://corpora/{tmp_path.name}")
    command = [sys.executable, "-c", DRIVER, str(tmp_path), job.corpus]
    for number, kind in enumerate(KILLS[log]):
        before, commit = made(job), f"{log}/{KILLS[log][:number].count('slow'):020}.json"
        faults.order(Order(kind, "PUT", f"{tmp_path.name}/{commit}", seconds=60))
        driver = subprocess.Popen(command, cwd=Path(__file__).parents[1])
        while not (faults.struck() and (kind == "silence" or Storage(job.corpus).exists(commit))):
            assert driver.poll() is None
            time.sleep(0.05)
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
        assert Storage(job.corpus).exists(commit) == (kind == "slow")
        now = made(job)
        kept = "_dead" in log  # letters, which are committed before the rows
        assert (now[kept] == before[kept]) == (kind == "silence")
        assert before[0].items() <= now[0].items()
    rehearse(job)
    assert made(job) == undisturbed
    assert settled(job)


def test_credentials_that_may_only_read_plan_and_read_and_a_run_says_so(faults: Faults, tmp_path: Path) -> None:
    job = a_job(tmp_path, f"s3://corpora/{tmp_path.name}")
    rehearse(job)
    before, storage = made(job), Storage(job.corpus)
    for path in [*storage.list("_ledger"), *storage.list("_seeds")]:
        storage.delete(path)
    faults.order(*(Order("denied", method, times=None) for method in ("PUT", "POST", "DELETE")))
    assert settled(job)
    assert made(job) == before
    longer, rehearsal = job_in(tmp_path, f"corpus={job.corpus}", "pairing.samples=2"), Rehearsal()
    assert plan(longer).summary.make > 0
    with pytest.raises(StorageError) as caught:
        rehearsal.run(longer)
    said(caught.value, f"{job.corpus}/", "cannot be written")
    assert rehearsal.talker.requests == []
    assert not [step for step in rehearsal.steps.seen if not step.startswith("driver")]
    faults.order()
    assert not [*storage.list("_ledger"), *storage.list("_seeds")]


@pytest.mark.parametrize("kind", ["denied", "reset"])
def test_every_error_says_where_and_why_and_what_to_do(faults: Faults, tmp_path: Path, kind: Kind) -> None:
    root = f"s3://corpora/{tmp_path.name}"
    storage = Storage(root)
    storage.write_parquet("f/a", pa.table({"a": [1]}))
    tried = {
        "read": [storage.read_bytes, storage.read_parquet, lambda path: storage.local(path, tmp_path)],
        "looked up": [storage.exists],
        "listed": [storage.list],
        "deleted": [storage.delete],
        "written": [lambda path: storage.write_bytes(path, b"new")],
    }
    faults.order(Order(kind, times=None))
    for done, ways in tried.items():
        for way in ways:
            with pytest.raises(StorageError, match="ACCESS_DENIED" if kind == "denied" else "NETWORK") as caught:
                way("f/a")
            assert not isinstance(caught.value, FileNotFoundError)
            said(caught.value, f"{root}/f/a: cannot be {done}: ")
            assert ("credentials" in str(caught.value)) == (kind == "denied")
    faults.order()
    assert storage.read_parquet("f/a").num_rows == 1


def test_a_file_that_is_missing_is_told_from_a_place_that_fails(faults: Faults, tmp_path: Path) -> None:
    storage = Storage(f"s3://corpora/{tmp_path.name}")
    for way in (storage.read_bytes, storage.read_parquet, lambda path: storage.local(path, tmp_path)):
        with pytest.raises(FileNotFoundError) as caught:
            way("f/a")
        assert isinstance(caught.value, StorageError)
        said(caught.value, "f/a: cannot be read: there is no such file")
    storage.delete("f/a")
    assert not storage.exists("f/a")
    assert storage.list("f") == []


@pytest.mark.parametrize(("method", "part"), [("POST", "?uploads"), ("PUT", "partNumber=2"), ("POST", "?uploadId")])
def test_an_upload_that_fails_leaves_nothing_under_its_name(
    faults: Faults, tmp_path: Path, method: str, part: str
) -> None:
    (tmp_path / "big").write_bytes(b"0123456789" * 2_500_000)
    storage = Storage(f"s3://corpora/{tmp_path.name}")
    faults.order(Order("denied", method, part))
    with pytest.raises(StorageError, match="cannot be written"):
        storage.upload(tmp_path / "big", "f/big")
    assert faults.left() == []
    assert storage.list("f") == []
    storage.upload(tmp_path / "big", "f/big")
    assert storage.read_bytes("f/big") == (tmp_path / "big").read_bytes()


class Interrupting:
    """A file system at whose user someone presses Ctrl-C as soon as a stream is open."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def open_output_stream(self, path: str) -> Any:
        stream = self._files.open_output_stream(path)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        return stream


def test_an_interrupt_leaves_the_whole_file_or_none(faults: Faults, tmp_path: Path) -> None:
    storage = Storage(f"s3://corpora/{tmp_path.name}")
    files = storage._files
    storage._files = Interrupting(files)
    with pytest.raises(KeyboardInterrupt):
        storage.write_bytes("f/a", b"whole")
    storage._files = files
    assert storage.read_bytes("f/a") == b"whole"


def test_a_run_on_ray_rides_out_what_passes_and_ends_on_what_stays(faults: Faults, tmp_path: Path) -> None:
    write_personas(tmp_path, 6)
    os.utime(tmp_path / "personas.jsonl", (1e9, 1e9))  # one that has just been written is not kept as parsed
    place = {"corpus": f"s3://corpora/{tmp_path.name}", "run": {"rows_per_shard": 2}}
    job = scripted_job(tmp_path, **place)
    kinds: tuple[Kind, ...] = ("slow", "slowdown", "reset", "cut", "lost")
    places = [place for place in PLACES if "_dead_letters" not in place[1]]
    faults.order(*(Order(kinds[number % len(kinds)], *place) for number, place in enumerate(places)))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    try:
        result = run(job)
        left = faults.left()
        faults.order()
        before = rows_of(job)
        assert settled(job)
        faults.order(Order("denied", "POST", "/shards/", times=None))
        with pytest.raises(RunError) as caught:
            run(scripted_job(tmp_path, makers={"converse": {"turns": 6}}, **place))
    finally:
        ray.shutdown()
    assert (result.committed, result.failed, result.remaining, left) == (6, 0, 0, [])
    said(caught.value, f"{job.corpus}/shards/")
    faults.order()
    assert rows_of(job) == before
