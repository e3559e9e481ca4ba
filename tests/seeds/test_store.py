from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from factory.base.arrays import texts
from factory.seeds import store as seed_store
from factory.seeds.columns import digest_keys, fact_keys, said_keys, seed_keys
from factory.seeds.source import SeedFields, SeedSource
from factory.seeds.store import (
    SEEDS,
    Seeds,
    Sorted,
    TooManyBadSeeds,
)
from factory.store.records import PARTS
from factory.store.storage import Storage
from tests.rehearsal import some_personas, write_seeds


def aged(path: Path) -> Path:
    """The file, as if it had been written a minute ago."""
    then = time.time() - 60
    os.utime(path, (then, then))
    return path


def opened(folder: Path, *, max_bad: int = 10, **options: object) -> Seeds:
    source = SeedSource.model_validate({"path": "seeds/*.jsonl", **options})
    return Seeds([source], folder, Storage(str(folder / "corpus")), max_bad)


def unread(*_: object) -> object:
    raise AssertionError("a seed file was read")


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_seeds(tmp_path, some_personas(5) | {"bad": []})
    aged(tmp_path / "seeds" / "a.jsonl")
    first = opened(tmp_path)
    monkeypatch.setattr(seed_store, "read_blocks", unread)
    again = opened(tmp_path)
    assert again.take(np.arange(5)) == first.take(np.arange(5))
    assert (len(again), again.bad) == (5, first.bad)
    assert set(Storage(str(tmp_path / "corpus")).list(SEEDS)) == again.kept
    for name in Sorted.__slots__:
        assert (getattr(again.sorted, name) == getattr(first.sorted, name)).all()


def test_seeds_are_taken_in_the_order_asked_for_from_any_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_store, "_BATCH", 3)
    personas = list(some_personas(11))
    write_seeds(tmp_path, {name: [f"I am {name}."] for name in personas[:7]}, file="a.jsonl")
    write_seeds(tmp_path, {name: [f"I am {name}."] for name in personas[7:]}, file="b.jsonl")
    seeds, asked = opened(tmp_path), [10, 0, 6, 3, 3, 2, 7]
    taken = seeds.take(np.array(asked))
    assert [(seed.id, seed.personas) for seed in taken] == [
        (personas[index], ((f"I am {personas[index]}.",),)) for index in asked
    ]


def test_a_changed_file_or_reading_of_it_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "seeds" / "a.jsonl"
    write_seeds(tmp_path, some_personas(5))
    aged(path)
    first = opened(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"p3", b"q3"))
    os.utime(path, (time.time() - 30, time.time() - 30))
    changed = opened(tmp_path)
    assert sorted(first.sorted.key) != sorted(changed.sorted.key)
    assert not first.kept & changed.kept
    assert {seed.source for seed in changed.take(np.arange(5))} == {"seeds/a.jsonl"}
    assert len(opened(tmp_path, fields=SeedFields(id="none"))) == 0


def test_a_file_that_changed_just_now_is_not_kept(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(5))
    assert opened(tmp_path).kept == set()
    assert Storage(str(tmp_path / "corpus")).list(SEEDS) == []


def test_too_many_unreadable_seeds_end_the_reading_and_leave_nothing(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2) | {"bad": [], "worse": []})
    aged(tmp_path / "seeds" / "a.jsonl")
    assert len(opened(tmp_path, max_bad=2).bad) == 2
    with pytest.raises(TooManyBadSeeds) as caught:
        opened(tmp_path, max_bad=1)
    assert [seed.reason for seed in caught.value.bad] == ["empty", "empty"]


def test_what_repeats_another_is_one_seed_and_no_bad_one(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    rows = ['{"persona": "I ski."}', '{"id": "a", "persona": "I sew."}', '{"id": "a", "persona": "I cook."}']
    (tmp_path / "seeds" / "a.jsonl").write_text("\n".join([*rows[:2], *rows, rows[0]]))
    (tmp_path / "seeds" / "b.jsonl").write_text(f"{rows[0]}\n" + '{"persona": "I row."}')
    for path in ("a.jsonl", "b.jsonl"):
        aged(tmp_path / "seeds" / path)
    for _ in ("sorted", "kept"):
        seeds = opened(tmp_path, max_bad=1)
        assert (seeds.repeated, [(bad.line, bad.reason) for bad in seeds.bad]) == (4, [(5, "duplicate_id")])
        assert [(seed.source, seed.line) for seed in seeds.take(np.arange(len(seeds)))] == [
            ("seeds/a.jsonl", 1),
            ("seeds/a.jsonl", 2),
            ("seeds/b.jsonl", 2),
        ]
    with pytest.raises(TooManyBadSeeds):
        opened(tmp_path, max_bad=0)


def test_keys_of_facts_stand_by_their_seeds(tmp_path: Path) -> None:
    write_seeds(tmp_path, {"a": ["one", "two"], "b": ["three"]}, file="a.jsonl")
    write_seeds(tmp_path, {"c": ["two", "four", "five"]}, file="b.jsonl")
    ordered = opened(tmp_path).sorted
    said = {
        seed: ordered.facts[start:stop].tolist()
        for seed, start, stop in zip(ordered.seed.tolist(), ordered.starts, ordered.starts[1:], strict=False)
    }
    facts = [("a", ["one", "two"]), ("b", ["three"]), ("c", ["two", "four", "five"])]
    for number, (seed, those) in enumerate(facts):
        assert said[number] == said_keys(seed_keys(texts([seed])), fact_keys(texts(those))).tolist()


def test_each_part_of_a_seed_has_its_digest(tmp_path: Path) -> None:
    dialogue = {"turns": [{"speaker": "Ann", "text": "Hi."}, {"speaker": "Bob", "text": "Hello."}]}
    rows = [
        {"id": "a", "persona": "I ski."},
        {"id": "b", "persona": "I ski.", "age": 3},
        {"id": "c", "persona": "I sew."},
        {"id": "d", **dialogue},
        {"id": "e", **dialogue, "personas": {"Ann": ["I ski."]}},
        {"id": "f", **dialogue, "speakers": {"Ann": {"age": 3}}},
    ]
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    seeds = opened(tmp_path)
    assert seeds.sorted.digests.shape == (len(PARTS), len(rows))
    taken = seeds.take(np.arange(len(rows)))
    assert [[seed.digests[0] for seed in taken].index(seed.digests[0]) for seed in taken] == [0, 0, 2, 3, 4, 3]
    assert [[seed.digests[1] for seed in taken].index(seed.digests[1]) for seed in taken] == [0, 0, 0, 3, 3, 3]
    assert [[seed.digests[2] for seed in taken].index(seed.digests[2]) for seed in taken] == [0, 1, 0, 3, 3, 5]
    for place, number in enumerate(seeds.sorted.seed.tolist()):
        assert (seeds.sorted.digests[:, place] == digest_keys(texts(taken[number].digests))).all()


def test_what_no_seed_can_hold_is_told_file_by_file_also_of_files_that_are_kept(tmp_path: Path) -> None:
    dialogue = {"turns": [{"speaker": "Ann", "text": "Hi.", "mood": "glad"}, {"speaker": "Bob", "text": "Hello."}]}
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "a.jsonl").write_text(json.dumps({**dialogue, "place": "Lyon", "year": 2001}))
    (tmp_path / "seeds" / "b.jsonl").write_text('{"persona": "I ski.", "bio": "' + "x" * 5001 + '", "age": 3}')
    (tmp_path / "seeds" / "c.jsonl").write_text('{"persona": "I sew."}')
    for name in "abc":
        aged(tmp_path / "seeds" / f"{name}.jsonl")
    for _ in ("parsed", "kept"):
        first, second = opened(tmp_path).unkept
        assert first.startswith("seeds/a.jsonl: not kept: 'turns[].mood' (")
        assert "'place', 'year' (they tell nothing of one speaker" in first
        assert second == "seeds/b.jsonl: not kept: 'bio' (where longer than 5,000 characters)"
