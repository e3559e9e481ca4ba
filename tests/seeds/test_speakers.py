"""Speakers of seeds: ids, names and attributes, and what of a row no speaker can hold."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.seeds.archives import find_files
from factory.seeds.fields import SeedFields
from factory.seeds.source import BadSeed, read_file
from factory.store.records import Seed, SeedSpeaker
from tests.reading import read, read_bytes

TALK = [{"speaker": "alice_42", "text": "Hi."}, {"speaker": "bob", "text": "Hello."}]


def seed_of(folder: Path, row: dict[str, Any], **fields: Any) -> Seed:
    (seed,) = read_bytes(folder, "s.jsonl", json.dumps(row).encode(), **fields)
    assert isinstance(seed, Seed), seed
    return seed


def speakers_of(folder: Path, row: dict[str, Any], **fields: Any) -> list[tuple[str | None, str | None]]:
    return [(one.id, one.name) for one in seed_of(folder, row, **fields).speakers]


def unkept(folder: Path, name: str, data: bytes, **fields: Any) -> list[str]:
    told: list[str] = []
    (folder / name).write_bytes(data)
    for file in find_files(name, "auto", folder):
        list(read_file(file, SeedFields(**fields), told))
    return told


def test_other_columns_of_a_persona_are_its_attributes_as_json_writes_them(tmp_path: Path) -> None:
    row = {
        "id": 1, "name": "Ann", "age": 34, "height": 1.7, "job": " a\n nurse ", "left": True, "pets": ["cat", {"n": 2}],
        "none": None, "blank": " ", "persona": "I ski.",
    }  # fmt: skip
    (told,) = seed_of(tmp_path, row).speakers
    assert (told.id, told.name) == (None, "Ann")
    assert told.attributes == {
        "age": "34", "height": "1.7", "job": "a nurse", "left": "true", "pets": '["cat",{"n":2}]'
    }  # fmt: skip


@given(st.dictionaries(st.text("abc", min_size=1), st.integers() | st.floats(allow_nan=False) | st.booleans()))
def test_numbers_come_back_from_their_text(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    folder = tmp_path_factory.getbasetemp()
    speakers = seed_of(folder, {"persona": "I ski.", **values}).speakers
    found = speakers[0].attributes if speakers else {}
    assert {name: json.loads(text) for name, text in found.items()} == values


def test_a_row_that_tells_nothing_else_has_no_speakers(tmp_path: Path) -> None:
    assert seed_of(tmp_path, {"id": "a", "facts": ["I ski."], "extra": None}).speakers == ()
    assert seed_of(tmp_path, {"turns": ["Hi.", "Hello."]}).speakers == ()


def test_only_the_attributes_that_are_named_are_kept(tmp_path: Path) -> None:
    row = {"persona": "I ski.", "age": 3, "job": "nurse", "score": 0.1}
    assert seed_of(tmp_path, row, attributes=["job", "age"]).speakers[0].attributes == {"job": "nurse", "age": "3"}
    assert seed_of(tmp_path, row, attributes=[]).speakers == ()
    data = json.dumps(row).encode()
    (told,) = unkept(tmp_path, "s.jsonl", data, attributes=["job", "jbo"])
    assert told == "s.jsonl: not kept: 'jbo' (in no row: check `fields.attributes`)"


def test_an_attribute_is_part_of_what_a_seed_without_an_id_is(tmp_path: Path) -> None:
    young, old = (seed_of(tmp_path, {"persona": "I ski.", "age": age}) for age in (20, 60))
    assert young.id != old.id
    assert seed_of(tmp_path, {"persona": "I ski.", "age": 20, "x": 1}, attributes=["age"]).id == young.id


def test_attributes_of_a_csv_file(tmp_path: Path) -> None:
    data = b",persona,age,job,age\n0,I ski.,34,NA,3\n1,I sew.,nan,[nurse],\n"
    first, second = read_bytes(tmp_path, "p.csv", data)
    assert first.speakers == (SeedSpeaker(attributes={"age": "34", "age.1": "3"}),), "no row number, nothing missing"
    assert second.speakers == (SeedSpeaker(attributes={"job": "[nurse]"}),)


def test_attributes_of_a_parquet_file(tmp_path: Path) -> None:
    table = pa.table(
        {
            "persona": ["I ski.", "I sew."],
            "age": [34, None],
            "born": [datetime.date(1990, 5, 1)] * 2,
            "traits": pa.array([[("open", 0.5)], []], pa.map_(pa.string(), pa.float64())),
            "bytes": pa.array([b"caf\xe9", b"x"]).view(pa.string()),
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")
    first, second = read(tmp_path, "p.parquet")
    assert first.speakers[0].attributes == {"age": "34", "born": "1990-05-01", "traits": '[["open",0.5]]'}
    assert second.speakers[0].attributes == {"born": "1990-05-01", "traits": "[]"}
    (told,) = unkept(tmp_path, "p.parquet", (tmp_path / "p.parquet").read_bytes())
    assert told.startswith("p.parquet: not kept: 'bytes' (cannot be read: ")
    (named, _) = read(tmp_path, "p.parquet", attributes=["age"])
    assert named.speakers[0].attributes == {"age": "34"}


def test_speakers_of_a_dialogue_keep_their_ids_and_names(tmp_path: Path) -> None:
    assert speakers_of(tmp_path, {"turns": TALK}) == [("alice_42", "alice_42"), ("bob", "bob")]
    numbers = [{"speaker": 4711, "text": "Hi.", "name": "Ann"}, {"speaker": 12, "text": "Hello."}]
    assert speakers_of(tmp_path, {"turns": numbers}) == [("12", None), ("4711", "Ann")]
    by_author = [{"author": "t2_x", "speaker": "A", "text": "Hi."}, {"author": "2", "text": "Hello."}]
    assert speakers_of(tmp_path, {"turns": by_author}, speaker="author") == [("t2_x", None), ("2", None)]
    assert speakers_of(tmp_path, {"turns": TALK}, speaker=False) == [(None, "alice_42"), (None, "bob")]


@pytest.mark.parametrize(
    "labels",
    [("A", "B"), (0, 1), (1, 2), ("User 1", "User 2"), ("speaker_1", "speaker_2"), ("user", "assistant"),
     ("human", "gpt"), ("Doctor", "Patient"), ("1", "2")],
)  # fmt: skip
def test_labels_that_tell_sides_apart_are_no_ids(tmp_path: Path, labels: tuple[Any, Any]) -> None:
    turns = [{"speaker": label, "text": "Hi."} for label in labels]
    names = [label if isinstance(label, str) else None for label in labels]
    assert (speakers_of(tmp_path, {"turns": turns}) or [(None, None)] * 2) == [(None, name) for name in names]


@pytest.mark.parametrize("listed", [False, True])
def test_what_a_dialogue_gives_by_speaker(tmp_path: Path, listed: bool) -> None:
    about = {"bob": {"id": 7, "name": "Bob B.", "age": 50}, "alice_42": {"age": 34}}
    row = {"turns": TALK, "speakers": [about["alice_42"], about["bob"]] if listed else about}
    assert seed_of(tmp_path, row).speakers == (
        SeedSpeaker("alice_42", "alice_42", {"age": "34"}),
        SeedSpeaker("7", "Bob B.", {"age": "50"}),
    )


def test_names_of_speakers_that_turns_number(tmp_path: Path) -> None:
    row = {"turns": ["Hi.", "Hello."], "speakers": ["Ann", "Bob"]}
    assert speakers_of(tmp_path, row) == [(None, "Ann"), (None, "Bob")]


@pytest.mark.parametrize("given", [2, "Ann and Bob", ["Ann"], {"Eve": {"age": 3}}, [1, 2]])
def test_speakers_in_another_form_cost_themselves_only(tmp_path: Path, given: object) -> None:
    row = {"turns": TALK, "speakers": given}
    assert speakers_of(tmp_path, row) == [("alice_42", "alice_42"), ("bob", "bob")]
    assert "'speakers' (they tell nothing of one speaker" in unkept(tmp_path, "s.jsonl", json.dumps(row).encode())[0]


def test_the_speaker_of_personas_is_told_by_a_column(tmp_path: Path) -> None:
    row = {"id": "p1", "persona": "I ski.", "who": 17, "called": "Ann"}
    assert speakers_of(tmp_path, row, speaker="who", name="called") == [("17", "Ann")]
    (bad,) = read_bytes(tmp_path, "s.jsonl", b'{"persona": "I ski."}', speaker="who")
    assert isinstance(bad, BadSeed)
    assert (bad.reason, bad.detail) == ("missing_field", "no 'who'")


def test_candidates_of_convai2_are_kept(tmp_path: Path) -> None:
    data = b"1 your persona: i ski.\n2 hi\thello\t\tno|yes |no|hello\n3 so ?\tyes\t\ta|b\n"
    assert unkept(tmp_path, "d.txt", data) == []
    (seed,) = read_bytes(tmp_path, "d.txt", data)
    assert isinstance(seed, Seed)
    assert [text for _, text in seed.turns] == ["hi", "hello", "so ?", "yes"]
    assert seed.candidates == ((), ("no", "yes"), (), ("a", "b"))
    (other,) = read_bytes(tmp_path, "d.txt", data.replace(b"no|yes", b"no|maybe"))
    (without,) = read_bytes(tmp_path, "d.txt", b"1 your persona: i ski.\n2 hi\thello\n3 so ?\tyes\n")
    assert isinstance(other, Seed)
    assert isinstance(without, Seed)
    assert len({seed.digests[1], other.digests[1], without.digests[1]}) == 3


@pytest.mark.parametrize("given", ["yes", [1, 2], [["a"]], {"a": 1}])
def test_candidates_that_are_no_texts_are_told_of(tmp_path: Path, given: object) -> None:
    row = {"turns": [{"speaker": 0, "text": "Hi."}, {"speaker": 1, "text": "Hello.", "candidates": given}]}
    (told,) = unkept(tmp_path, "d.jsonl", json.dumps(row).encode())
    assert told == "d.jsonl: not kept: 'turns[].candidates' (of a turn, the speaker and the text are kept)"
