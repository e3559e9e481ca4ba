"""Text as sentences: where one ends, whether the last one is whole, and long texts in parts.

Rules of our own rather than those of pysbd 0.3.4, which was tried on persona talk: it takes 20 to 30 times as long,
loses characters that it uses as its own marks ("∯"), does not split before a small letter, as people write in a chat,
and has had no release since 2021.
Limitations: English abbreviations only; full stops without a space behind them are no end.
"""

from __future__ import annotations

import re

_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*(?=\s)|[。！？]++[”’」』）]*")
_NEXT = re.compile(r"\s*(\S?)")
_LOOK_BACK = 32
"""Characters: above any abbreviation."""
_NEVER_LAST = re.compile(
    r"(?:^|[\s(\"'“])(?:Mr|Mrs|Ms|Dr|Prof|Rev|Sr|Jr|St|Mt|Lt|Col|Gen|Sgt|Capt|Ph\.D|(?:[A-Z]\.)+[A-Z]|[A-HJ-Z])\.$"
)
_RARELY_LAST = re.compile(r"""(?:[\s(](?:etc|e\.g|i\.e|vs|approx|No|Inc|Ltd|Co|a\.m|p\.m)\.|\.\.|…|["'”’])$""")
_OVER = re.compile(r"[.!?…。！？][\"'”’)*\s]*$")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space between them; none is empty."""
    sentences, start = [], 0
    for match in _END.finditer(text):
        end = match.end()
        before, after = text[max(start, end - _LOOK_BACK) : end], _NEXT.match(text, end)
        if _NEVER_LAST.search(before) or (_RARELY_LAST.search(before) and not (after and after[1].isupper())):
            continue
        sentences.append(text[start:end].strip())
        start = end
    return [sentence for sentence in (*sentences, text[start:].strip()) if sentence]


def ends_sentence(text: str) -> bool:
    """Whether the text ends with a whole sentence, as far as its last character tells."""
    return bool(_OVER.search(text))


def parts_of(text: str, words: int) -> list[str]:
    """The text in parts of at most so many words, of whole sentences where they fit; in one if it is no longer."""
    if len(text.split()) <= words:
        return [text]
    parts: list[list[str]] = [[]]
    for sentence in split_sentences(text):
        said = sentence.split()
        if len(parts[-1]) + len(said) > words and parts[-1]:
            parts.append([])
        while len(said) > words:
            parts[-1:] = [said[:words], []]
            said = said[words:]
        parts[-1] += said
    return [" ".join(part) for part in parts if part]
