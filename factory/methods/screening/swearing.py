"""Swearing and slurs, by the word list of profanex (MIT; the list, after LDNOOBW's, CC BY 4.0) and slurs that it lacks.

Letters that stand for others ("b1tch") and letters that are repeated or set apart are seen through. Limitations: words,
not meaning: insults without such a word pass, and people who speak of themselves are hit. What is common in clean talk,
or mostly means something else ("crap", "Maine coon", "redskins"), counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

SWEARING = ("slur", "sexual", "other_swearing")
"""Kinds of what is found."""

_COMMON = ("bloody", "bob", "bobs", "boob", "boobs", "bimbos", "busty", "crap", "dink", "dinks", "dommes",
           "maine coon", "maine coons",
           "piss", "pissed", "redskins", "squaw valley", "doggin", "barenaked", "babeland", "swastika")  # fmt: skip
"""What the list has and clean talk too."""
_SLURS = (
    "boong", "camel jockey", "chinaman", "chinamen", "chink", "dago", "darky", "dyke", "fag", "faggot", "golliwog",
    "gook", "greaseball", "gypo", "half breed", "heeb", "hymie", "jigaboo", "kaffir", "kike", "lesbo", "mongoloid",
    "muzzie", "nig nog", "nigga", "nigger", "paki", "pickaninny", "pikey", "polack", "poofter", "porch monkey",
    "raghead", "sand nigger", "redskin", "shemale", "slant eye", "slanteye", "spastic", "spaz", "spic", "squaw",
    "towelhead", "tranny", "trannies", "wetback", "wog", "wop", "yid", "zipperhead", "retarded", "retard", "libtard",
)  # fmt: skip
"""Slurs common in English that hardly mean anything else, chosen by us."""
_KINDS = {"slurs": "slur", "sexual": "sexual"}


def swearing(text: str) -> Iterator[tuple[str, int, int]]:
    """Kind and place of each swear word or slur of a text."""
    for found in _filter().find(text):
        kinds = {_KINDS.get(category.value, "other_swearing") for category in found.categories}
        yield min(kinds, key=SWEARING.index), found.start, found.end


@cache
def _filter() -> Any:
    from profanex import Filter, FilterConfig

    plural = [slur + "s" for slur in _SLURS]
    return Filter(
        FilterConfig(
            extra_banned={"slurs": {*_SLURS, *plural, *(slur.replace(" ", "-") for slur in (*_SLURS, *plural))}},
            extra_allowlist=_COMMON,
            normalize_repeated_chars=True,
            normalize_separated_runs=True,
        )
    )
