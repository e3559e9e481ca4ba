"""Character cards, as chat frontends share them: JSON of three versions, alone or in the text of a PNG picture.

Of a card, the name and the sentences of its description and personality are kept. Limitations: of the texts in a
picture only uncompressed ones are read (`tEXt`), as frontends write them, and no checksum is checked; a description
that is code (W++, Ali:Chat) is split into sentences like any other.
"""

from __future__ import annotations

import binascii
import re
import struct
from base64 import b64decode
from collections.abc import Mapping
from typing import IO, Any

from factory.base.sentences import split_sentences
from factory.seeds.fields import SeedFields
from factory.seeds.files import BadRow
from factory.seeds.lines import MAX_LINE, FileRow

PICTURE = b"\x89PNG\r\n\x1a\n"
"""How a PNG file begins."""
KEPT = ("name", "char_name", "description", "personality", "char_persona")
"""What of a card a persona keeps, under the names of its versions."""
COLUMNS = (*KEPT, "first_mes", "spec", "data")
"""Those, and the columns by which a card is told."""

_KEYWORDS = (b"ccv3", b"chara")
"""Of the texts of a picture that hold a card, the newer version first."""
_MAX_CHUNK = (1 << 31) - 1
"""Bytes, as PNG has it."""
_SKIPPED_AT_ONCE = 1 << 20
_CHARACTER = re.compile(r"\{\{char\}\}|<BOT>", re.IGNORECASE)
_USER = re.compile(r"\{\{user\}\}|<USER>", re.IGNORECASE)


def card_in(row: FileRow) -> Mapping[str, Any] | None:
    """What the card in a row says, without its envelope; none if there is no card."""
    data = row.get("data")
    if isinstance(data, dict) and (
        str(row.get("spec")).startswith("chara_card") or {"name", "first_mes"} <= data.keys()
    ):
        return data
    return row if {"name", "first_mes"} <= row.keys() or "char_persona" in row else None


def persona_of(card: Mapping[str, Any], row: FileRow, fields: SeedFields) -> FileRow:
    """The row of a persona that a card is; of its other columns, and of the row's around it, the id and those that
    `fields` name. Raises BadRow if the card tells nothing of the character."""
    name = card.get("name") or card.get("char_name")
    texts = [card.get(key) for key in ("description", "personality", "char_persona")]
    if wrong := [text for text in texts if text is not None and not isinstance(text, str)]:
        raise BadRow("wrong_type", f"a card's description should be a string, not {type(wrong[0]).__name__}")
    lines = [line for text in texts if text for line in text.splitlines()]
    facts = [_filled(sentence, name) for line in lines for sentence in split_sentences(line)]
    if not facts:
        raise BadRow("empty", "a character card without a description or a personality")
    known = {**row, **card}
    named = (fields.id or "id", fields.speaker, fields.partner, *(fields.attributes or ()))
    return {key: known[key] for key in named if key in known} | {fields.facts_columns[0]: facts, fields.name: name}


def _filled(text: str, name: object) -> str:
    called = name if isinstance(name, str) else "the character"
    return _USER.sub("you", _CHARACTER.sub(lambda _: called, text))


def card_of_picture(stream: IO[bytes]) -> bytes:
    """The JSON of the card in a PNG picture. Raises BadRow if there is none, or it is damaged."""
    found: dict[bytes, bytes] = {}
    stream.read(len(PICTURE))
    while len(head := stream.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if size > _MAX_CHUNK:
            raise BadRow("foreign", "the file is a picture that is damaged: export the card again")
        if kind == b"tEXt":
            if size > MAX_LINE:
                raise BadRow("too_long", f"a text of {size:,} bytes in the picture; {MAX_LINE:,} are allowed")
            keyword, _, text = stream.read(size).partition(b"\0")
            found[keyword] = text
            size = 0
        _skip(stream, size + 4)  # the checksum
    card = next((found[keyword] for keyword in _KEYWORDS if keyword in found), None)
    if card is None:
        raise BadRow("foreign", "the file is a picture without a character card in it: export the card as PNG or JSON")
    try:
        return b64decode(card)
    except binascii.Error as error:
        raise BadRow("foreign", f"the file is a picture whose character card is damaged: {error}") from error


def _skip(stream: IO[bytes], size: int) -> None:
    while size and (skipped := stream.read(min(size, _SKIPPED_AT_ONCE))):
        size -= len(skipped)
