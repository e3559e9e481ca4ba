"""Files and rows that are no seeds, named by what they are, each with what to do about it.

A file is told by its first bytes, a row by the names of its columns. Limitations: the tables know what people most
often have by mistake; anything else is described by its columns or by the first error in it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from typing import Any

HEAD = 4096
"""First bytes of a file that are enough to tell it."""

_COMPRESSIONS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\x1f\x8b"), "gzip"),
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"), "bz2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), "zstd"),
)
_UNPACK = "unpack it and name the files in it"
_OFFICE = "an Excel or other Office file: save the sheet as CSV UTF-8"
_XML = "an XML document, such as a store sends for an error: download the file again"
_PARQUET = "a Parquet file: name it .parquet, or set `format: parquet`"
_TEXT = rb"(?:\xef\xbb\xbf)?\s*"
_FILES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(first, re.DOTALL | re.IGNORECASE), what)
    for first, what in (
        (rb"PK\x03\x04.*(?:\[Content_Types\]\.xml|xl/)", _OFFICE),
        (rb"PK\x03\x04", "a zip archive: name it .zip"),
        (rb"7z\xbc\xaf", f"a 7z archive: {_UNPACK}"),
        (rb"Rar!\x1a", f"a RAR archive: {_UNPACK}"),
        (rb".{257}ustar", "a tar archive: name it .tar, or .tar.gz where it is compressed"),
        (rb"\x04\x22\x4d\x18", "compressed with lz4: unpack it, or use gzip, bz2, xz or zstd"),
        (rb"\xd0\xcf\x11\xe0", _OFFICE),
        (rb"%PDF-", "a PDF document: copy its text into a .txt file, one persona a line"),
        (rb"\{\\rtf", "a text processor's file (RTF): save it as plain text in UTF-8"),
        (rb"\x89PNG|\xff\xd8\xff", "a picture: of pictures, only character cards are read, from PNG files named .png"),
        (rb"PAR1", _PARQUET),
        (rb"ARROW1", "an Arrow file: save it as Parquet"),
        (rb"\xff{4}", "an Arrow stream, as the datasets library keeps: save it with `to_parquet`"),
        (rb"SQLite format 3\0", "an SQLite database: export the table as CSV"),
        (rb"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
        (rb"/annex/objects/", "a git-annex pointer, not the file itself: run `git annex get` on it"),
        (
            _TEXT + rb"<(?:!doctype\s+html|html|head|body|script)\b",
            "a web page (HTML), perhaps one to log in: download the file itself",
        ),
        (_TEXT + rb"<(?:\?xml\b|Error>)", _XML),
    )
)
_CODE = re.compile(rb"<Code>(\w+)</Code>")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before the one of UTF-16 that it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

DIALOGUES = ("conversations", "conversation", "messages", "dialog", "dialogue", "utterances")
"""Columns where others keep a dialogue. A list in one is read (`factory.seeds.shapes`); anything else is told."""

_TURNS = "write it as 'turns', each with 'speaker' and 'text'"
_ROWS: tuple[tuple[frozenset[str], str], ...] = (
    *((frozenset({name}), f"a dialogue in {name!r}, but not as a list: {_TURNS}") for name in DIALOGUES),
    (frozenset({"chosen", "rejected"}), "a preference pair: it is neither a persona nor a dialogue"),
    (
        frozenset({"parent_id", "link_id", "body"}),
        "a comment of a thread: make dialogues of such files with `factory threads FILE... --to FOLDER`, and name that "
        "folder as the seeds",
    ),
    (frozenset({"instruction", "output"}), "an instruction with its answer (Alpaca): no persona and no dialogue"),
)
_NAMES_SHOWN = 8


def compression(head: bytes) -> str | None:
    """How a file that begins like this is compressed: gzip, bz2, xz, zstd, or not."""
    return next((name for pattern, name in _COMPRESSIONS if pattern.match(head)), None)


def encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark tells; none for UTF-8, with its mark or without."""
    return next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), None)


def foreign_file(head: bytes, parquet: bool) -> str | None:
    """What a file that begins like this is, if it holds no rows, and what to do about it."""
    if packed := compression(head):
        return f"compressed twice: unpack the {packed} file inside"
    found = next((what for first, what in _FILES if first.match(head)), None)
    if found is _XML and (code := _CODE.search(head)):
        return f"{found}; it says {code[1].decode()}"
    return None if parquet and found is _PARQUET else found


def is_binary(head: bytes) -> bool:
    """Whether the first bytes are of no text in UTF-8: NUL bytes where UTF-16 has them, or many."""
    return encoding(head) is None and (b"\0" in head[:2] or head.count(0) * 10 > len(head))


def foreign_row(row: Mapping[str, Any], sought: Iterable[str]) -> str:
    """What a row without any of the sought columns is, and what to do about it."""
    if known := next((what for names, what in _ROWS if names <= row.keys()), None):
        return known
    lists = [name for name, value in row.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) == 1:
        return f"the rows are in the list {lists[0]!r} of one object: save the list alone, as with `jq '.{lists[0]}'`"
    names = ", ".join(repr(name[:40]) for name in list(row)[:_NAMES_SHOWN])
    return f"no {' or '.join(map(repr, sought))}, and no 'turns'; there is {names or 'nothing'}: set `fields.facts`"
