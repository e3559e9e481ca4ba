"""Character cards, as JSON and in pictures."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from pathlib import Path

import pytest

from factory.seeds.archives import find_files
from factory.seeds.cards import PICTURE
from factory.seeds.fields import SeedFields
from factory.seeds.source import BadSeed, read_file
from factory.store.records import Seed
from tests.reading import read, read_bytes

CARD: dict[str, object] = {
    "name": "Mira",
    "description": "{{char}} pilots a ferry. {{Char}} likes {{user}}.\r\n\r\nAge: 34",
    "personality": "Calm and dry.",
    "scenario": "On the river.",
    "first_mes": "*waves* Hi, {{user}}!",
    "mes_example": "<START>\n{{user}}: Hi.",
}
FACTS = (("Mira pilots a ferry.", "Mira likes you.", "Age: 34", "Calm and dry."),)
OLD: dict[str, object] = {"char_name": "Mira", "char_persona": "<BOT> pilots a ferry.", "char_greeting": "Hi."}


def second(card: dict[str, object]) -> dict[str, object]:
    more = {"creator_notes": "", "tags": ["river"], "extensions": {}}
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": card | more}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def text(keyword: bytes, card: object) -> bytes:
    return chunk(b"tEXt", keyword + b"\0" + b64encode(json.dumps(card).encode()))


HEADER = PICTURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
PIXEL = chunk(b"IDAT", zlib.compress(b"\0\0"))
END = chunk(b"IEND", b"")


@pytest.mark.parametrize("card", [CARD, second(CARD), CARD | second(CARD)], ids=["V1", "V2", "both"])
@pytest.mark.parametrize("indent", [None, 4])
def test_cards(tmp_path: Path, card: dict[str, object], indent: int | None) -> None:
    (seed,) = read_bytes(tmp_path, "mira.json", json.dumps(card, indent=indent).encode())
    assert isinstance(seed, Seed), seed
    assert (seed.personas, seed.turns) == (FACTS, ())
    assert [(speaker.name, speaker.attributes) for speaker in seed.speakers] == [("Mira", {})]


def test_the_oldest_cards(tmp_path: Path) -> None:
    (seed,) = read_bytes(tmp_path, "mira.json", json.dumps(OLD).encode())
    assert (seed.personas, seed.speakers[0].name) == ((("Mira pilots a ferry.",),), "Mira")


def test_what_of_a_card_is_not_kept_is_told_unless_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "mira.json").write_text(json.dumps({"id": "m", **second(CARD)}))
    (file,) = find_files("mira.json", "auto", tmp_path)
    told: list[str] = []
    (seed,) = read_file(file, SeedFields(), told)
    assert isinstance(seed, Seed)
    assert seed.id == "m"
    names = "'scenario', 'first_mes', 'mes_example', 'tags'"
    assert told == [f"mira.json: not kept: {names} (of a character card, the name, the description and the "
                    "personality are kept)"]  # fmt: skip
    (seed,) = read(tmp_path, "mira.json", attributes=["tags"], facts="bio", name="called")
    assert (seed.speakers[0].name, seed.speakers[0].attributes) == ("Mira", {"tags": '["river"]'})


@pytest.mark.parametrize(
    ("card", "reason", "detail"),
    [
        ({**CARD, "description": "", "personality": None}, "empty", "a character card without a description"),
        ({**CARD, "description": ["I ski."]}, "wrong_type", "a card's description should be a string, not list"),
        ({**CARD, "description": "x" * 1001}, "too_long", "1,001 characters"),
    ],
)
def test_cards_that_say_nothing(tmp_path: Path, card: dict[str, object], reason: str, detail: str) -> None:
    (item,) = read_bytes(tmp_path, "mira.json", json.dumps(card).encode())
    assert isinstance(item, BadSeed)
    assert item.reason == reason
    assert detail in item.detail


@pytest.mark.parametrize(
    "data",
    [
        HEADER + text(b"chara", CARD) + PIXEL + END,
        HEADER + PIXEL + text(b"Title", "none") + text(b"ccv3", second(CARD)) + text(b"chara", OLD) + END,
        HEADER + text(b"chara", CARD) + PIXEL[:-6],
    ],
    ids=["V1", "V3 before V1", "cut off after the card"],
)
def test_cards_in_pictures(tmp_path: Path, data: bytes) -> None:
    (seed,) = read_bytes(tmp_path, "mira.png", data)
    assert isinstance(seed, Seed), seed
    assert (seed.personas, seed.speakers[0].name, seed.line) == (FACTS, "Mira", 1)


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (HEADER + PIXEL + END, "foreign", "a picture without a character card"),
        (PICTURE, "foreign", "a picture without a character card"),
        (HEADER + b"\xff\xff\xff\xffIDAT", "foreign", "a picture that is damaged"),
        (HEADER + b"\x7f\xff\xff\xfftEXtchara\0", "too_long", "a text of 2,147,483,647 bytes"),
        (HEADER + chunk(b"tEXt", b"chara\0e30ab"), "foreign", "whose character card is damaged"),
        (HEADER + text(b"chara", CARD)[:-41], "foreign", "whose character card is damaged"),
        (HEADER + chunk(b"tEXt", b"chara\0" + b64encode(b'{"name": "Mi')), "json", "EOF"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "foreign", "of pictures, only character cards are read, from PNG files"),
    ],
)
def test_pictures_without_a_card(tmp_path: Path, data: bytes, reason: str, detail: str) -> None:
    (item,) = read_bytes(tmp_path, "mira.png", data)
    assert isinstance(item, BadSeed), item
    assert item.reason == reason
    assert detail in item.detail


def test_pictures_of_a_folder_are_read_if_it_has_nothing_else(tmp_path: Path) -> None:
    for name in ("cards/mira.png", "cards/joao.PNG", "mixed/mira.png", "mixed/p.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in find_files("cards", "auto", tmp_path)] == ["cards/joao.PNG", "cards/mira.png"]
    assert [file.name for file in find_files("mixed", "auto", tmp_path)] == ["mixed/p.jsonl"]
