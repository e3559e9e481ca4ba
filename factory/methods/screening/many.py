"""Personal data and postal addresses in many short texts at once, such as the comments of a dump.

Arrow finds the texts that may hold any, by what every find has in it, and only those are screened one by one.
Limitations: those of the checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.base.arrays import arrow, mapped
from factory.methods.screening import CHECKS, REGIONS, Find

_CHECKS = ("personal_data", "address")
_MAY_HOLD = r"[@\p{Nd}]|:[0-9a-fA-F]{0,4}:|(?i:[^a-z]at[^a-z])"
"""A digit, an @, the colons of an IP address, or the "at" of an e-mail address."""


def personal_data(texts: pa.StringArray, regions: Sequence[str] = REGIONS) -> Iterator[tuple[int, str, list[Find]]]:
    """Place, text and finds of each text that holds any, in order; finds do not overlap."""
    may = np.flatnonzero(mapped(pc.match_substring_regex(texts, _MAY_HOLD).cast(pa.uint8())))
    for place, text in zip(may.tolist(), texts.take(arrow(may)).to_pylist(), strict=True):
        found = [Find(*one) for name in _CHECKS for one in CHECKS[name].find(text, regions)]
        apart: list[Find] = []
        for find in sorted(found, key=lambda one: (one.start, one.end)):
            if not apart or find.start >= apart[-1].end:
                apart.append(find)
        if apart:
            yield place, text, apart


def without(text: str, finds: Sequence[Find]) -> str:
    """The text with the kind of each find in its place: `[EMAIL]`."""
    told, end = "", 0
    for find in finds:
        told += f"{text[end : find.start]}[{find.kind.upper()}]"
        end = find.end
    return told + text[end:]
