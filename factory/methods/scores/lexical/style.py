"""Language style matching: how alike two speakers use function words, whatever they talk of.

Gonzales, Hancock and Pennebaker (2010) and Ireland and Pennebaker (2010) measure by it how far people who talk adjust
to each other. Limitations: English; the words of the nine categories are a short list of our own, since the
dictionary of the papers (LIWC) is sold; shares of few words lie far apart by chance, so that short talk matches less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

_CATEGORIES = (
    "i me my mine myself you your yours yourself he him his she her hers we us our ours they them their theirs",
    "it its this that these those what which who something anything nothing everything someone anyone everyone",
    "a an the",
    "and but or so because if when while although though unless until than whether",
    "of to in on at for with from by about into over after before around through between under during without near up",
    "am is are was were be been being have has had do does did can could will would should may might must 'aux",
    "really very just so too also still then now here there again ever always often sometimes usually never",
    "no not never nobody nothing none neither nor without",
    "all some any many much more most few little lot lots several both each every enough less",
)
"""Personal and impersonal pronouns, articles, conjunctions, prepositions, auxiliary verbs, adverbs, negations and
quantifiers, as in the papers."""
_OF_WORD: dict[str, list[int]] = {}
for _number, _words in enumerate(_CATEGORIES):
    for _word in _words.split():
        _OF_WORD.setdefault(_word, []).append(_number)
_AUXILIARIES = frozenset({"m", "re", "ve", "ll", "d", "s"})
"""What stands behind an apostrophe; of "s" some are genitives."""
_ALMOST_NOTHING = 0.0001
"""As in the papers: so that nothing is divided by zero."""


def style_matching(one: Sequence[str], other: Sequence[str]) -> float | None:
    """The mean over categories of 1 - |p - q| / (p + q), with p and q the shares of the speakers' words, in lower case,
    that are in it; none if one of them uses no function word at all."""
    shares = [_shares(one), _shares(other)]
    if not all(shares):
        return None
    used = shares[0].keys() | shares[1].keys()
    both = [(shares[0].get(number, 0.0), shares[1].get(number, 0.0)) for number in sorted(used)]
    return sum(1 - abs(p - q) / (p + q + _ALMOST_NOTHING) for p, q in both) / len(both)


def _shares(words: Sequence[str]) -> dict[int, float]:
    """By category that is used: the share of the words that are in it."""
    counted = Counter(number for word in words for part in _parts(word) for number in _OF_WORD.get(part, ()))
    return {number: count / len(words) for number, count in counted.items()}


def _parts(word: str) -> Iterator[str]:
    """A contraction as the words that it stands for."""
    if word.endswith("n't"):
        yield from ("'aux", "not")
        return
    head, _, tail = word.partition("'")
    yield head
    if tail in _AUXILIARIES:
        yield "'aux"
