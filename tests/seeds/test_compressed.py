"""Compressed files, told by their first bytes, and what breaks off or is damaged."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.seeds.source import BadSeed
from tests.reading import outcome, personas, read_bytes

GOOD, LAST = b'{"persona": "I ski."}\n', b'{"persona": "I cook."}\n'


def members(data: bytes) -> bytes:
    """Gzip of several members, an empty one among them."""
    return b"".join(map(gzip.compress, (data[:9], b"", data[9:])))


def frames(data: bytes) -> bytes:
    """Zstandard in several frames, behind one to be skipped, as pzstd writes it."""
    return b"\x50\x2a\x4d\x18\x04\0\0\0size" + zstd.compress(data[:9]) + zstd.compress(data[9:])


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip members": members,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
    "zstd frames": frames,
}


@settings(deadline=None)
@given(
    texts=st.lists(st.from_regex(r"[^\W\d_]{1,9}", fullmatch=True), min_size=1, max_size=5),
    packing=st.sampled_from(sorted(PACKINGS)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    suffix=st.sampled_from(["", ".gz", ".bz2", ".xz", ".zst", ".GZ"]),
)
def test_the_same_rows_whatever_the_packing_the_name_and_the_encoding(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], packing: str, encoding: str, suffix: str
) -> None:
    base, text = tmp_path_factory.getbasetemp(), "".join(f"I like {text}.\n" for text in texts)
    items = read_bytes(base, f"p.v2.txt{suffix}", PACKINGS[packing](text.encode(encoding)))
    assert personas(items) == [((f"I like {text}.",),) for text in dict.fromkeys(texts)]


def test_zstd_with_a_large_window(tmp_path: Path) -> None:
    options = {zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=options)
    items = read_bytes(tmp_path, "p.jsonl", packer.compress(GOOD) + packer.compress(LAST) + packer.flush())
    assert outcome(items) == [(1, ""), (2, "")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_what_breaks_off_at_once_is_damage(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    assert outcome(read_bytes(tmp_path, "p.jsonl", pack(GOOD)[:-9]))[-1][1] == "compression"


@pytest.mark.parametrize("name", ["RC_2019-01.zst", "personas.gz"])
def test_a_name_that_tells_the_packing_only_is_of_json_lines(tmp_path: Path, name: str) -> None:
    assert outcome(read_bytes(tmp_path, name, zstd.compress(GOOD + LAST))) == [(1, ""), (2, "")]
    (bad,) = read_bytes(tmp_path, name, zstd.compress(b"Ann skis.\n"))
    assert isinstance(bad, BadSeed)
    assert "a row is an object on one line" in bad.detail
    assert "set `format`" in bad.detail


def test_a_frame_of_the_widest_window(tmp_path: Path) -> None:
    """The window of Reddit's dumps, 2^31 bytes, which zstd refuses unless it is told to take it."""
    packer = zstd.ZstdCompressor()
    frame = bytearray(packer.compress(GOOD) + packer.flush())
    assert not frame[4] & 0x20  # else the frame says its size instead
    frame[5] = (31 - 10) << 3
    assert outcome(read_bytes(tmp_path, "RC_2019-01.zst", bytes(frame))) == [(1, "")]
