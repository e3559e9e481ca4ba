"""Digests of what seeds say, a part each: they tell whether a seed has changed, wherever it stands.

Limitations: most seeds are personas of which only facts are told, so only the digest of facts is made for many at once.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from factory.base.arrays import mapped
from factory.base.fingerprint import VERSION, fingerprint
from factory.store.records import PARTS, SeedSpeaker

_FACTS, _TURNS, _TOLD = PARTS
_PERSON = f"factory/{VERSION}/{_FACTS}".encode()
"""What sets these hashes apart from all others."""

DIGITS = 32
"""Of a digest."""
NO_TURNS, NOTHING_TOLD = fingerprint(_TURNS, []), fingerprint(_TOLD, [])
"""Digests that most seeds share."""


def digests_of(
    personas: tuple[tuple[str, ...], ...],
    turns: tuple[tuple[int, str], ...] = (),
    speakers: tuple[SeedSpeaker, ...] = (),
    candidates: tuple[tuple[str, ...], ...] = (),
) -> tuple[str, str, str]:
    """Digests of the PARTS of a seed."""
    said = [turns, candidates] if candidates else turns
    about = [[one.id, one.name, one.attributes] for one in speakers]
    return (
        _facts_digest(personas),
        fingerprint(_TURNS, said) if turns else NO_TURNS,
        fingerprint(_TOLD, about) if about else NOTHING_TOLD,
    )


def _facts_digest(personas: tuple[tuple[str, ...], ...]) -> str:
    """Over the numbers of personas, of facts in each and of bytes in each fact, and all bytes: two seeds that differ
    never give the same input."""
    facts = [fact.encode() for persona in personas for fact in persona]
    numbers = [len(personas), *map(len, personas), *map(len, facts)]
    return _hashed(struct.pack(f"<{len(numbers)}i", *numbers) + b"".join(facts)).hex()


def facts_digests(personas: pa.ListArray) -> str:
    """The digests of seeds of one persona each, given as lists of facts, one after the other (DIGITS each)."""
    texts, offsets = personas.values, mapped(personas.offsets)
    begins = mapped(pa.Array.from_buffers(pa.int32(), len(texts) + 1, [None, texts.buffers()[1]], offset=texts.offset))
    data = memoryview(texts.buffers()[2])
    # Before the lengths of each seed's facts, two numbers: of personas, one, and of facts.
    count = len(personas)
    numbers = np.ones(2 * count + offsets[-1] - offsets[0], "<i4")
    heads = 2 * np.arange(count + 1) + offsets - offsets[0]
    numbers[heads[:-1] + 1] = np.diff(offsets)
    is_length = np.ones(len(numbers), np.bool_)
    is_length[heads[:-1]] = is_length[heads[:-1] + 1] = False
    numbers[is_length] = np.diff(begins[offsets[0] : offsets[-1] + 1])
    said, told = (4 * heads).tolist(), numbers.tobytes()
    ends = begins[offsets].tolist()
    parts = (told[said[seed] : said[seed + 1]] + data[ends[seed] : ends[seed + 1]] for seed in range(count))
    return b"".join(map(_hashed, parts)).hex()


def _hashed(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGITS // 2, person=_PERSON).digest()
