"""Dumps in an object store become seeds in one."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from backports import zstd

from factory.running import threads
from factory.running.threads import rebuild
from factory.store.records import Seed
from factory.store.storage import Storage
from tests.planted_threads import lines, planted
from tests.reading import read


def test_from_a_bucket_to_a_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(threads, "_PART", 1)
    monkeypatch.setattr(threads, "_BUCKET", 1 << 18)
    dump, store = planted(200), boto3.client("s3")
    half = len(dump.comments) // 2
    for name, part in (("RC_1.zst", dump.comments[:half]), ("RC_2.zst", dump.comments[half:])):
        packed = zstd.compress(b"".join(lines(part)))
        store.put_object(Bucket="corpora", Key=f"threads/dumps/{name}", Body=packed)
    done = rebuild([f"{bucket}/threads/dumps/*.zst"], f"{bucket}/threads/seeds")
    seeds = read(tmp_path, f"{bucket}/threads/seeds")
    assert {seed.id for seed in seeds if isinstance(seed, Seed)} == dump.dialogues.keys()
    assert done.seeds == len(seeds)
    assert Storage(f"{bucket}/threads/seeds").list("_threads") == ["_threads/done.json", "_threads/plan.json"]
