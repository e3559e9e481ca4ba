"""Identity: canonical, versioned hashes of inputs.

Model output never repeats, so nothing is identified by what came out; only by what went in. A hash covers canonical
JSON (sorted keys, no spaces, UTF-8) behind a version and a kind, so that equal values of different kinds never meet.
Limitations: floats are hashed as Python prints them, so 0.7 and 0.70 agree, but 0.1 + 0.2 and 0.3 do not.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Raised when the meaning of a fingerprint changes: every row of every corpus is then out of date."""

_DIGEST_BYTES = 16

Keys = NDArray[np.uint64]
"""64-bit hashes, one a row: what planning compares by the million."""
Indices = NDArray[np.int64]


def fingerprint(kind: str, value: object) -> str:
    """32 hex digits for a JSON value. Raises TypeError or ValueError for what JSON cannot say (NaN, objects)."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return blake(f"factory/{VERSION}/{kind}", text)


def blake(*parts: str) -> str:
    """32 hex digits over strings, each terminated, so that ("ab", "c") and ("a", "bc") differ."""
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        state.update(len(encoded).to_bytes(8, "little"))
        state.update(encoded)
    return state.hexdigest()


def key(*parts: str) -> int:
    """The first 64 bits of `blake`."""
    return int(blake(*parts)[:16], 16)


def fraction(*parts: str) -> float:
    """A number in [0, 1) by hash, in steps of 2**-32: what is below a share of 1 stays there as more is hashed."""
    return int(blake(*parts)[:8], 16) / 2**32


def mix(*parts: Keys | int) -> Keys:
    """One key for each row of arrays of keys, which broadcast; the order of the parts counts.

    The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), chained: keys that differ in one part never meet,
    others do as seldom as random numbers.
    """
    state = np.zeros(np.broadcast_shapes(*(np.shape(part) for part in parts)) or (1,), np.uint64)
    for part in parts:
        state ^= np.asarray(part, np.uint64)
        state += np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(30)
        state *= np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(27)
        state *= np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state


def ring_points(keys: Keys) -> Keys:
    """Where seeds stand on the ring, by the keys of their ids: no two keys at one point."""
    return mix(key("ring"), keys)
