"""Splits: a persona on one side, and nothing moves as a corpus grows."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from factory.export import ExportError, export
from factory.export.splits import Splits, connected
from factory.store.records import Fact, Row
from factory.training.chats import is_held
from tests.methods.parts import a_row
from tests.training.corpora import dialogue, write_corpus

IDS = st.lists(st.text(min_size=1, max_size=3), min_size=2, max_size=12, unique=True)


def pairs(ids: list[str]) -> list[Row]:
    """A row of each two of these seeds."""
    rows = []
    for one in ids:
        for other in ids:
            if one != other:
                row = a_row(["x"], ["y"], turns=["Hi.", "Hello."], row_id=f"{one} {other}")
                for seed, speaker, own in zip(row.seeds, row.speakers, (one, other), strict=True):
                    seed.id = speaker.id = speaker.seed_id = speaker.facts[0].source_id = own
                rows.append(row)
    return rows


@settings(deadline=None, max_examples=60)
@given(IDS, IDS, st.floats(0.01, 0.5), st.floats(0.01, 0.49))
def test_a_persona_is_on_one_side_and_a_grown_corpus_moves_nothing(
    ids: list[str], more: list[str], test: float, validation: float
) -> None:
    splits = Splits.of({"test": test, "validation": validation})
    before = {row.row_id: splits.of_row(row) for row in pairs(ids)}
    after = {row.row_id: splits.of_row(row) for row in pairs(list({*ids, *more}))}
    assert before.items() <= after.items()
    sides: dict[str, set[str]] = {}
    for row in pairs(ids):
        if (side := before[row.row_id]) is not None:
            for seed in row.seeds:
                sides.setdefault(seed.id, set()).add(side)
    assert all(len(found) == 1 for found in sides.values())
    wider = Splits.of({"test": min(test * 1.5, 0.5), "validation": validation})
    assert all(wider.side(one) == splits.side(one) for one in ids if splits.side(one) != "train")


def test_the_shares_are_of_the_seeds() -> None:
    splits = Splits.of({"test": 0.1, "validation": 0.2})
    sides = [splits.side(str(number)) for number in range(5000)]
    assert sides.count("test") / 5000 == pytest.approx(0.1, abs=0.02)
    assert sides.count("validation") / 5000 == pytest.approx(0.2, abs=0.02)


def test_the_test_split_holds_what_training_with_the_same_share_holds_out() -> None:
    splits = Splits.of({"test": 0.3})
    for row in map(dialogue, range(100)):
        assert is_held(row, 0.3) == (splits.of_row(row) != "train")


def test_rows_on_both_sides_are_left_out_and_said(tmp_path: Path) -> None:
    rows = pairs([f"p{number}" for number in range(12)])
    for row in rows:
        row.decision = "accept"
    write_corpus(tmp_path / "corpus", rows)
    told = export(str(tmp_path / "corpus"), "plain", str(tmp_path / "out"), splits={"test": 0.4})
    assert told.left_out == {
        "rows whose speakers are on different sides of the split": len(rows) - sum(told.rows.values())
    }
    loaded = datasets.load_dataset("parquet", data_dir=told.to, cache_dir=str(tmp_path / "cache"))
    seeds = {split: {seed for own in part["seeds"] for seed in own} for split, part in loaded.items()}
    assert not seeds["train"] & seeds["test"]
    assert len(seeds["train"] | seeds["test"]) == 12


def dialogues(pairs: list[tuple[str, str]]) -> list[Row]:
    """Imported dialogues between these speakers."""
    rows = []
    for number, ids in enumerate(pairs):
        row = a_row(turns=["Hi.", "Hello."], row_id=f"d{number}")
        row.kind, row.seeds, row.decision = "imported", row.seeds[:1], "accept"
        row.seeds[0].id = f"d{number}"
        for speaker, own in zip(row.speakers, ids, strict=True):
            speaker.id, speaker.seed_id = own, f"d{number}"
        rows.append(row)
    return rows


PEOPLE = st.sampled_from([f"u{number}" for number in range(30)])


@settings(deadline=None, max_examples=1000)
@given(st.lists(st.tuples(PEOPLE, PEOPLE), max_size=30), st.floats(0.01, 0.5), st.floats(0.01, 0.49))
def test_no_speaker_is_on_two_sides_and_no_dialogue_is_lost_for_it(
    pairs: list[tuple[str, str]], test: float, validation: float
) -> None:
    rows = dialogues(pairs)
    groups = connected((speaker.id, speaker.seed_id) for row in rows for speaker in row.speakers)
    splits = Splits.of({"test": test, "validation": validation}, groups)
    sides: dict[str, set[str | None]] = {}
    for row in rows:
        for speaker in row.speakers:
            sides.setdefault(speaker.id, set()).add(splits.of_row(row))
    assert all(len(found) == 1 and None not in found for found in sides.values())


EDGES = st.lists(st.tuples(st.integers(0, 40).map(str), st.integers(0, 40).map(str)), max_size=60)


@given(EDGES)
def test_components_are_those_of_scipy(edges: list[tuple[str, str]]) -> None:
    found = connected(edges)
    assert found.keys() == {node for edge in edges for node in edge}
    matrix = coo_array(([1] * len(edges), ([int(a) for a, _ in edges], [int(b) for _, b in edges])), shape=(41, 41))
    _, labels = connected_components(matrix, directed=False)
    for one in found:
        alike = [other for other in found if labels[int(other)] == labels[int(one)]]
        assert found[one] == min(alike)


def test_imported_speakers_are_on_one_side_of_an_export(tmp_path: Path) -> None:
    rows = dialogues([(f"u{n // 3}", f"v{n // 6}") for n in range(150)])
    write_corpus(tmp_path / "corpus", rows)
    told = export(str(tmp_path / "corpus"), "chat", str(tmp_path / "out"), splits={"test": 0.4})
    assert told.left_out == {}
    loaded = datasets.load_dataset("parquet", data_dir=told.to, cache_dir=str(tmp_path / "cache"))
    speakers = {split: {*part["speaker_id"], *part["addressee_id"]} for split, part in loaded.items()}
    assert speakers.keys() == {"train", "test"}
    assert not speakers["train"] & speakers["test"]
    assert set.union(*speakers.values()) == {speaker.id for row in rows for speaker in row.speakers}


def test_labels_that_connect_all_dialogues_are_told_of(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", dialogues([("buyer", "seller")] * 12))
    shares = {"test": 0.4, "validation": 0.4}
    told = export(str(tmp_path / "corpus"), "plain", str(tmp_path / "out"), splits=shares)
    assert len(told.rows) == 1
    missed = sorted({"train", *shares} - told.rows.keys())
    assert [note.split(";")[0] for note in sorted(told.notes)] == [f"there is no row for {name}" for name in missed]
    assert all("`fields.speaker: false`" in note for note in told.notes)


def test_a_distractor_of_another_side_stays_there(tmp_path: Path) -> None:
    splits, rows = Splits.of({"test": 0.4}), [dialogue(number) for number in range(30)]
    donors = [f"d{number}" for number in range(10)]
    for row in rows:
        row.speakers[0].facts += [Fact(f"I am {donor}.", "augment", donor) for donor in donors]
    write_corpus(tmp_path / "corpus", rows)
    told = export(str(tmp_path / "corpus"), "plain", str(tmp_path / "out"), splits={"test": 0.4})
    loaded = datasets.load_dataset("parquet", data_dir=told.to, cache_dir=str(tmp_path / "cache"))
    kept = 0
    for split, part in loaded.items():
        own = [f"I am {donor}." for donor in donors if splits.side(donor) == split]
        assert 0 < len(own) < len(donors)
        assert part["distractors_a"] == [own] * len(part)
        kept += len(own) * len(part)
    left_out = told.left_out["distractors from another side of the split"]
    assert kept + left_out == len(donors) * sum(told.rows.values())


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"held": 0.1}, "use test or validation"),
        ({"train": 0.1}, "use test or validation"),
        ({"test": 1.5}, "between 0 and 1"),
        ({"test": 0.0}, "between 0 and 1"),
        ({"test": float("nan")}, "between 0 and 1"),
        ({"test": 0.5, "validation": 0.5}, "leave no seed to train on"),
    ],
)
def test_wrong_shares_are_named(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        Splits.of(shares)
