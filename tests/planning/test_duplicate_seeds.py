"""Personas that nearly repeat an earlier one, in the order of the sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from factory.methods.passes.near_duplicates import NearDuplicatesParams
from factory.planning import duplicate_seeds as module
from factory.planning.duplicate_seeds import FILE, DuplicateSeeds, duplicate_seeds
from factory.seeds.source import SeedSource
from factory.seeds.store import Seeds
from factory.store.storage import Storage
from tests.rehearsal import write_seeds

WORDS = [f"word{number}" for number in range(30)]
SAILOR, COOK = " ".join(WORDS), " ".join(reversed([word.replace("word", "dish") for word in WORDS]))


def found(folder: Path, similarity: float = 0.9) -> tuple[DuplicateSeeds, dict[str, str]]:
    """What is found, and that by id."""
    storage = Storage(str(folder / "corpus"))
    seeds = Seeds([SeedSource(path="seeds/*.jsonl")], folder, storage, 10)
    told = duplicate_seeds(seeds, storage, NearDuplicatesParams(similarity=similarity))
    ids = [seed.id for seed in seeds.take(np.arange(len(seeds)))]
    return told, {ids[seed]: ids[told.leader[seed]] for seed in np.flatnonzero(told.repeats)}


def test_a_persona_repeats_the_earliest_that_it_is_alike(tmp_path: Path) -> None:
    write_seeds(tmp_path, {"z": [SAILOR], "y": [COOK], "x": [*WORDS[:15], *WORDS[15:], "too"]}, file="a.jsonl")
    write_seeds(tmp_path, {"a": [SAILOR], "b": ["I am another."]}, file="b.jsonl")
    told, by_id = found(tmp_path)
    assert by_id == {"x": "z", "a": "z"}
    assert told.similarity.tolist() == [1, 1, pytest.approx(30 / 31, abs=0.06), 1, 1]
    assert told.similarity[2] >= 0.9


def test_seeds_that_are_added_are_all_that_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_seeds(tmp_path, {"z": [SAILOR], "y": [COOK]}, file="a.jsonl")
    found(tmp_path)
    write_seeds(tmp_path, {"x": [f"{SAILOR} too"]}, file="b.jsonl")
    signed: list[str] = []
    real = module.signatures
    monkeypatch.setattr(module, "signatures", lambda texts: (signed.extend(texts), real(texts))[1])
    told, by_id = found(tmp_path)
    assert (signed, by_id) == ([f"{SAILOR} too"], {"x": "z"})
    again, _ = found(tmp_path)
    assert (len(signed), again.leader.tolist()) == (1, told.leader.tolist())
    write_seeds(tmp_path, {"w": [f"{COOK} too"]}, file="0.jsonl")
    assert (found(tmp_path)[1], signed[1:]) == ({"x": "z", "y": "w"}, [f"{COOK} too"])


def test_a_lost_or_damaged_file_or_another_threshold_is_seen(tmp_path: Path) -> None:
    write_seeds(tmp_path, {"z": [SAILOR], "y": [" ".join(WORDS[:26])]})
    assert found(tmp_path)[1] == {}
    assert found(tmp_path, similarity=0.8)[1] == {"y": "z"}
    (tmp_path / "corpus" / FILE).write_bytes(b"damaged")
    assert found(tmp_path, similarity=0.8)[1] == {"y": "z"}
    (tmp_path / "corpus" / FILE).unlink()
    assert found(tmp_path)[1] == {}


def test_seeds_that_are_dialogues_repeat_none(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    turns = '"turns": [{"speaker": "A", "text": "Hello there."}, {"speaker": "B", "text": "Hi, you."}]'
    (tmp_path / "seeds" / "a.jsonl").write_text("\n".join(f'{{"id": "d{number}", {turns}}}' for number in range(2)))
    assert found(tmp_path)[1] == {}
