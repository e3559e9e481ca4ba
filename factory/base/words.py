"""The content words of a sentence of talk: what is left without the words that every persona shares."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_SHARED = (
    "i me my m s t ve d ll re a an the and or but so to of in on at from for with about as am is are was be been "
    "do does did don have has had not can could will would it its that this you your he she they them him her his our "
    "we us like love enjoy favorite really very much lot too also just get any some more all what how who when where "
)


SHARED = frozenset(_SHARED.split())


def content(text: str) -> set[str]:
    """The lower-cased words of a text that are not shared by all talk."""
    return {word for word in _WORD.findall(text.lower()) if word not in SHARED}
