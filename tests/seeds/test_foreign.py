"""Files and rows that are no seeds are named by what they are."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.seeds.foreign import foreign_row
from factory.seeds.source import BadSeed
from tests.reading import read_bytes


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "I ski.")
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("p.jsonl"))
    return content.getvalue()


def parquet() -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table({"persona": ["I ski."]}), content)
    return content.getvalue()


def arrow() -> bytes:
    content = io.BytesIO()
    table = pa.table({"persona": ["I ski."]})
    with pa.ipc.new_stream(content, table.schema) as writer:
        writer.write_table(table)
    return content.getvalue()


PAGE = b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>\n"
DENIED = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>No.</Message></Error>'
FILES: dict[str, tuple[bytes, str]] = {
    "zip": (zipped("p.jsonl"), "a zip archive: name it .zip"),
    "Excel": (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel .* file: save the sheet as CSV"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "an Excel .* file: save the sheet as CSV"),
    "tar": (tarred(), "a tar archive: name it .tar"),
    "tar.gz": (gzip.compress(tarred()), "a tar archive: name it .tar"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document: copy its text"),
    "RTF": (rb"{\rtf1\ansi I ski.}", "text processor.*save it as plain text"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture"),
    "Arrow": (arrow(), "an Arrow stream.*`to_parquet`"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "a Git LFS pointer.*git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s9--00.jsonl\n", "a git-annex pointer.*git annex get"),
    "page": (PAGE, r"a web page \(HTML\)"),
    "page with a mark": (b"\xef\xbb\xbf" + PAGE, r"a web page \(HTML\)"),
    "XML": (DENIED, "an XML document.*AccessDenied"),
    "empty": (b"", "the file is empty: write or fetch it again"),
}


@pytest.mark.parametrize("name", ["p.jsonl", "p.json.gz", "p.csv", "p.parquet", "p.txt"])
@pytest.mark.parametrize(("data", "message"), FILES.values(), ids=list(FILES))
def test_files_are_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (item,) = read_bytes(tmp_path, name, data)
    assert isinstance(item, BadSeed)
    assert item.ends
    assert re.search(message, item.detail)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (parquet(), "a Parquet file: name it .parquet"),
        (bytes(range(256)), "the file is binary, or UTF-16"),
        ("I ski.".encode("utf-16-le"), "the file is binary, or UTF-16"),
    ],
)
def test_text_is_expected(tmp_path: Path, data: bytes, message: str) -> None:
    (item,) = read_bytes(tmp_path, "p.jsonl", data)
    assert isinstance(item, BadSeed)
    assert item.ends
    assert message in item.detail


COMMENT = {"id": "c", "link_id": "t3_a", "parent_id": "t3_a", "author": "ann", "body": "I ski.", "score": 1}
ROWS: list[tuple[dict[str, object], str]] = [
    (COMMENT, "a comment of a thread: make dialogues of such files with `factory threads FILE... --to FOLDER`"),
    ({"instruction": "Say hi.", "input": "", "output": "Hi."}, "an instruction with its answer"),
    ({"conversation": "A: Hi.\nB: Hello."}, "a dialogue in 'conversation', but not as a list: write it as 'turns'"),
    ({"prompt": "Hi.", "chosen": "Hello.", "rejected": "What?"}, "a preference pair"),
    ({"version": 1, "rows": [{"persona": "I ski."}]}, "the rows are in the list 'rows' of one object.*jq '.rows'"),
    ({"name": "Mira", "bio": "I ski."}, "no 'facts' or 'persona'.*there is 'name', 'bio': set `fields.facts`"),
    ({}, "there is nothing"),
]


@pytest.mark.parametrize(("row", "message"), ROWS)
@pytest.mark.parametrize("indent", [None, 2])
def test_rows_are_named(tmp_path: Path, row: dict[str, object], message: str, indent: int | None) -> None:
    (item,) = read_bytes(tmp_path, "p.json", json.dumps(row, indent=indent).encode())
    assert isinstance(item, BadSeed)
    assert item.reason == "missing_field"
    assert re.search(message, item.detail)


@given(st.dictionaries(st.text(), st.none() | st.text() | st.lists(st.dictionaries(st.text(), st.text()), max_size=2)))
def test_any_row_is_named(row: dict[str, object]) -> None:
    assert foreign_row(row, ("facts",))
