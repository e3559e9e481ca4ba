"""Digests of what seeds say, a part each: they tell whether a seed has changed, wherever it stands.

Limitations: only those of facts, of plain turns and of speakers' ids are made for many at once.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.base.arrays import lists, mapped, texts
from factory.base.fingerprint import VERSION, fingerprint
from factory.store.records import PARTS, SeedSpeaker

_FACTS, _TURNS, _TOLD = PARTS
_PERSON = f"factory/{VERSION}/{_FACTS}".encode()
"""What sets these hashes apart from all others."""

DIGITS = 32
"""Of a digest."""
NO_TURNS, NOTHING_TOLD = fingerprint(_TURNS, []), fingerprint(_TOLD, [])
"""Digests that most seeds share."""


def no_facts_digest() -> str:
    """The digest of two speakers without facts."""
    return _facts_digest(((), ()))


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


def turns_digests(turns: pa.ListArray) -> str:
    """The digests of the turns of dialogues, one after the other (DIGITS each). Texts hold no control characters."""
    said = turns.values.slice(turns.offsets[0].as_py(), turns.offsets[-1].as_py() - turns.offsets[0].as_py())
    opened = texts(['[0,"', '[1,"']).take(said.field("speaker"))
    entries = pc.binary_join_element_wise(opened, _quoted(said.field("text")), '"]', "")
    return _fingerprints(_TURNS, pc.binary_join(lists(_from_zero(turns), entries), ","))


def speakers_digests(speakers: pa.ListArray) -> str:
    """The same, of what is told of speakers who have ids only."""
    told = speakers.values.slice(
        speakers.offsets[0].as_py(), speakers.offsets[-1].as_py() - speakers.offsets[0].as_py()
    )
    entries = pc.binary_join_element_wise('["', _quoted(told.field("id")), '",null,{}]', "")
    return _fingerprints(_TOLD, pc.binary_join(lists(_from_zero(speakers), entries), ","))


def _from_zero(array: pa.ListArray) -> NDArray[np.int32]:
    offsets = mapped(array.offsets)
    return np.asarray(offsets - offsets[0])


def _quoted(strings: pa.StringArray) -> pa.StringArray:
    """Strings as JSON has them between quotes."""
    return pc.replace_substring(pc.replace_substring(strings, "\\", "\\\\"), '"', '\\"')


def _fingerprints(kind: str, listed: pa.StringArray) -> str:
    """`fingerprint` of each list, given as JSON without its brackets."""
    begun = blake2b(digest_size=DIGITS // 2)
    name = f"factory/{VERSION}/{kind}".encode()
    begun.update(len(name).to_bytes(8, "little") + name)
    offsets, data = listed.buffers()[1:]
    ends = np.frombuffer(offsets, np.int32)[listed.offset : listed.offset + len(listed) + 1].tolist()
    whole, found = memoryview(data), []
    for start, end in pairwise(ends):
        state = begun.copy()
        state.update((end - start + 2).to_bytes(8, "little") + b"[" + whole[start:end] + b"]")
        found.append(state.digest())
    return b"".join(found).hex()


def _hashed(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGITS // 2, person=_PERSON).digest()
