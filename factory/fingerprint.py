"""Identity: canonical, versioned hashes of inputs.

Model output never repeats, so nothing is identified by what came out; only by what went in. A hash covers canonical
JSON (sorted keys, no spaces, UTF-8) behind a version and a kind, so that equal values of different kinds never meet.
Gives up: floats are hashed as Python prints them, so 0.7 and 0.70 agree, but 0.1 + 0.2 and 0.3 do not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

VERSION = 1
"""Raised when the meaning of a fingerprint changes: every row of every corpus is then out of date."""

_DIGEST_BYTES = 16
_DIGEST_MODULUS = 1 << (8 * _DIGEST_BYTES)


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


def add_digests(digests: Iterable[str]) -> str:
    """Digest of a multiset: the sum of its members' digests, whatever their order.

    A sum, not an exclusive or, so that a member that occurs twice does not cancel itself.
    """
    return f"{sum(int(digest, 16) for digest in digests) % _DIGEST_MODULUS:0{2 * _DIGEST_BYTES}x}"
