"""Dumps of comments become seeds: exactly what was planted, and the same bytes whoever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from backports import zstd

from factory.running import threads
from factory.running.cluster import joined
from factory.running.threads import Rebuilt, Wish, rebuild
from factory.seeds.archives import find_files
from factory.seeds.comments import Choice
from factory.seeds.files import SourceError
from factory.store.records import Seed
from factory.store.storage import Storage, StorageError
from tests.killing import FOLDER, RUNTIME, order
from tests.planted_threads import Dump, lines, planted
from tests.reading import read

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def deaths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ray, whose workers obey the orders in this folder."""
    folder = tmp_path_factory.mktemp("deaths")
    environment = {FOLDER: str(folder), "PYTHONPATH": str(ROOT)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", partial(ray.init, runtime_env=RUNTIME | {"env_vars": environment}))
        with joined(None, None):
            yield folder


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Many parts and buckets for a small dump."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_PART", 1)
        patch.setattr(threads, "_BUCKET", 1 << 20)
        yield


@pytest.fixture(scope="module")
def dump() -> Dump:
    return planted(2000)


@pytest.fixture(scope="module")
def dumps(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the dump: the months of the threads are in three files, each of another kind."""
    folder = tmp_path_factory.mktemp("dumps")
    third = len(dump.comments) // 3
    told = list(lines(dump.comments))
    (folder / "RC_2019-01.zst").write_bytes(zstd.compress(b"".join(told[:third])))
    (folder / "RC_2019-02.jsonl").write_bytes(b"".join(told[third : 2 * third]))
    names = ("id", "parent_id", "link_id", "author", "body", "created_utc")
    rows = [{name: one[name] for name in names} for one in dump.comments[2 * third :]]
    pq.write_table(pa.Table.from_pylist(rows), folder / "RC_2019-03.parquet", row_group_size=700)
    return folder


@pytest.fixture(scope="module")
def whole(dumps: Path, deaths: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rebuilt]:
    """What comes of it when nothing dies."""
    to = tmp_path_factory.mktemp("whole") / "seeds"
    return to, rebuild([str(dumps)], str(to))


def files_of(to: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in to.glob("*.parquet")}


def test_what_is_rebuilt_is_what_was_planted(dump: Dump, whole: tuple[Path, Rebuilt]) -> None:
    to, done = whole
    rows = [row for file in sorted(to.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    found = {
        row["id"]: (tuple(one["id"] for one in row["speakers"]), tuple(turn["text"] for turn in row["turns"]))
        for row in rows
    }
    assert found == dump.dialogues
    assert len(rows) == len(found) == done.seeds
    assert done.files == len(files_of(to)) > 3
    kept = {name: done.counts[name] for name in dump.dropped}
    assert kept == dump.dropped
    assert sum(kept.values()) + done.counts["used"] + done.counts["alone"] == len(dump.comments)
    assert Storage(str(to)).list("_threads") == ["_threads/done.json", "_threads/plan.json"]


def test_the_files_are_seeds_as_they_are(dump: Dump, whole: tuple[Path, Rebuilt]) -> None:
    seeds = read(whole[0].parent, "seeds")
    assert all(isinstance(seed, Seed) for seed in seeds)
    found = {
        seed.id: (tuple(one.id for one in seed.speakers), tuple(text for _, text in seed.turns))
        for seed in seeds
        if isinstance(seed, Seed)
    }
    assert found == dump.dialogues


def test_the_same_again_does_nothing(dumps: Path, whole: tuple[Path, Rebuilt], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "joined", None)
    assert rebuild([str(dumps)], str(whole[0])) == whole[1]


def test_other_options_or_files_are_refused(dumps: Path, whole: tuple[Path, Rebuilt]) -> None:
    to = str(whole[0])
    with pytest.raises(StorageError, match="with other options: give the same again, or name a new folder"):
        rebuild([str(dumps)], to, Wish(depth=3))
    with pytest.raises(StorageError, match="with other files"):
        rebuild([str(dumps / "*.zst")], to)


def test_workers_die_and_the_bytes_are_the_same(
    dumps: Path, deaths: Path, whole: tuple[Path, Rebuilt], tmp_path: Path
) -> None:
    order(deaths, "part", 1)
    order(deaths, "seeds")
    done = rebuild([str(dumps)], str(tmp_path / "seeds"))
    assert list(deaths.iterdir()) == []  # both orders were taken
    assert files_of(tmp_path / "seeds") == files_of(whole[0])
    assert (done.counts, done.seeds, done.bytes) == (whole[1].counts, whole[1].seeds, whole[1].bytes)


@pytest.mark.parametrize("event", ["bytes read", "seeds written"])
def test_the_driver_dies_and_the_command_goes_on_to_the_same_bytes(
    event: str, dumps: Path, whole: tuple[Path, Rebuilt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(tmp_path / "orders", event, 1)
    to = tmp_path / "seeds"
    script = "from factory.running import threads as t; t._PART, t._BUCKET = 1, 1 << 20; import tests.killing as k; "
    script += "k.in_driver(); import sys; sys.argv[0] = 'factory'; k.main()"
    command = [sys.executable, "-c", script, "threads", str(dumps), "--to", str(to)]
    killed = subprocess.run(
        command, cwd=ROOT, env=os.environ | {FOLDER: str(tmp_path / "orders"), "PYTHONPATH": str(ROOT)}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    asked: Counter[str] = Counter()
    each = threads._each

    def counted(do: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        asked[do.__name__] = len(calls)
        return each(do, calls)

    monkeypatch.setattr(threads, "_each", counted)
    done = rebuild([str(dumps)], str(to))
    buckets = json.loads((to / "_threads" / "plan.json").read_text())["buckets"]
    assert asked["_read_file"] <= (1 if event == "bytes read" else 0)
    assert asked["_write_bucket"] <= (buckets if event == "bytes read" else buckets - 2)
    assert files_of(to) == files_of(whole[0])
    assert (done.counts, done.seeds, done.bytes) == (whole[1].counts, whole[1].seeds, whole[1].bytes)


def test_a_file_goes_on_behind_its_last_note(dumps: Path, tmp_path: Path) -> None:
    (file,) = find_files("RC_2019-03.parquet", "auto", dumps)
    to, wish = str(tmp_path / "seeds"), Wish()
    _, notes = threads._read_file(to, 0, threads._Done(0, 0), file, 3, wish, 1)
    parts = {path: path.read_bytes() for path in (tmp_path / "seeds").rglob("*.part")}
    assert len(parts) == len(notes) - 1 > 3  # the last one only says that it is
    for path in sorted(parts)[2:]:
        path.unlink()
    _, more = threads._read_file(to, 0, threads._Done(2, notes[1]["end"]), file, 3, wish, 1)
    assert [(one["part"], one["end"], one["counts"]) for one in notes[2:]] == [
        (one["part"], one["end"], one["counts"]) for one in more
    ]
    assert {path: path.read_bytes() for path in parts} == parts


@pytest.mark.usefixtures("deaths")
def test_personas_by_author(dump: Dump, dumps: Path, tmp_path: Path) -> None:
    done = rebuild([str(dumps)], str(tmp_path / "seeds"), Wish(Choice("author", 9, 1000)))
    seeds = {seed.id: seed for seed in read(tmp_path, "seeds") if isinstance(seed, Seed)}
    kept = [one for one in dump.comments if len(one["body"]) > 9 and one["body"] not in ("[deleted]", "[removed]")]
    assert seeds.keys() == {one["author"] for one in kept}
    assert done.seeds == len(seeds)
    author = kept[0]["author"]
    assert seeds[author].personas == (tuple(" ".join(one["body"].split()) for one in kept if one["author"] == author),)


@pytest.mark.usefixtures("deaths")
def test_damage_is_told_and_costs_what_is_behind_it(dumps: Path, tmp_path: Path) -> None:
    data = (dumps / "RC_2019-01.zst").read_bytes()
    (tmp_path / "broken.zst").write_bytes(data[: len(data) // 2])
    done = rebuild([str(tmp_path / "broken.zst")], str(tmp_path / "seeds"))
    (damage,) = done.damaged
    assert "broken.zst: compression: the compressed data breaks off" in damage
    assert done.seeds > 10


@pytest.mark.usefixtures("deaths")
def test_what_holds_no_comments_is_refused(tmp_path: Path) -> None:
    (tmp_path / "personas.jsonl").write_text('{"persona": "I ski."}\n')
    with pytest.raises(
        SourceError, match=r"no comment that could be kept \(1 missing_field\); a comment has link_id, id"
    ):
        rebuild([str(tmp_path / "personas.jsonl")], str(tmp_path / "seeds"))


def test_places_that_cannot_be_used_are_refused(dumps: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("d.jsonl", "{}")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(SourceError, match="not read out of an archive: unpack it"):
        rebuild([str(tmp_path / "d.zip")], str(tmp_path / "seeds"))
    with pytest.raises(SourceError, match="download it, and name the file"):
        rebuild(["https://localhost/d.jsonl"], str(tmp_path / "seeds"))
    with pytest.raises(StorageError, match="the folder for the seeds is not empty"):
        rebuild([str(dumps)], str(tmp_path / "full"))


def test_personal_data_is_replaced_or_dropped() -> None:
    dump = planted(5)
    batch = pa.RecordBatch.from_pylist(
        [{"body": "Write to ann@example.org, please."}, {"body": dump.comments[0]["body"]}]
    )
    for how, bodies, counts in (
        ("keep", batch["body"].to_pylist(), {}),
        ("replace", ["Write to [EMAIL], please.", dump.comments[0]["body"]], {"replaced": 1}),
        ("drop", [dump.comments[0]["body"]], {"personal_data": 1}),
    ):
        dropped = Counter[str]()
        assert threads._screened(batch, how, dropped)["body"].to_pylist() == bodies  # type: ignore[arg-type]
        assert dropped == counts
