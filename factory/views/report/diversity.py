"""How diverse the dialogues are: distinct n-grams, repetition, the most frequent openings and facts, near duplicates.

Texts are read from a sample that is the same each time, openings from all rows. Limitations: a sample has a smaller
share of near duplicates than its corpus, since both dialogues of a pair must be in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from factory.base.distinct import distinct
from factory.base.minhash import SLOTS, settle, signatures, words
from factory.views.report.frames import TEXTS, sampled, sides

DIALOGUES = 20_000
"""How many dialogues are read for their turns and facts."""
REPEATED = 4
"""Words of an n-gram that counts as repeated (Salkar et al., AACL 2022)."""
COMPARED = 100_000
"""Dialogues among which near duplicates are sought."""
THRESHOLD = 0.9
"""Near duplicates: MinHash over sets of words, as Persona Hub (arXiv 2406.20094) does."""
MOST = 10


def diversity(rows: pl.LazyFrame, total: int) -> dict[str, Any]:
    """`distinct` over a fixed number of words, `self_repetition` within dialogues, the most frequent `openings` and
    `facts`, `near_duplicates`; each with the size of what it was computed over."""
    sample = sampled(rows, total, DIALOGUES)
    spoken = sample.filter(pl.col("turns").list.len() > 0).sort("row_id").select(texts=TEXTS).collect()["texts"]
    return {
        "distinct": distinct(text for texts in spoken for text in texts),
        "self_repetition": self_repetition(spoken),
        "openings": _openings(rows),
        "facts": _facts(sample),
        "near_duplicates": near_duplicates(rows, total),
    }


def self_repetition(dialogues: Iterable[Iterable[str]]) -> dict[str, Any]:
    """The share of a dialogue's n-grams that an earlier turn of it had, as the mean over dialogues that have any, and
    the share of dialogues with one."""
    shares = []
    for texts in dialogues:
        seen: set[tuple[str, ...]] = set()
        again = count = 0
        for text in texts:
            said = words(text)
            grams = list(zip(*(said[first:] for first in range(REPEATED)), strict=False))
            again, count = again + sum(gram in seen for gram in grams), count + len(grams)
            seen.update(grams)
        if count:
            shares.append(again / count)
    return {
        "dialogues": len(shares),
        "words": REPEATED,
        "mean": sum(shares) / len(shares) if shares else None,
        "with_any": sum(share > 0 for share in shares) / len(shares) if shares else None,
    }


def _openings(rows: pl.LazyFrame) -> dict[str, Any]:
    """The first words of dialogues, of all rows."""
    first = TEXTS.list.first().str.to_lowercase().str.extract_all(r"[\w'’]+").list.head(REPEATED).list.join(" ")
    counted = rows.select(opening=first).drop_nulls().group_by("opening").len().collect(engine="streaming")
    total = int(counted["len"].sum())
    most = counted.sort("len", "opening", descending=[True, False]).head(MOST)
    return {
        "dialogues": total,
        "different": len(counted),
        "words": REPEATED,
        "most": [{"text": text, "dialogues": count, "share": count / total} for text, count in most.iter_rows()],
    }


def _facts(sample: pl.LazyFrame) -> dict[str, list[dict[str, Any]]]:
    """By origin, the facts that most personas have."""
    facts = sides(sample, "kind").select("persona", fact=pl.col("speaker").struct.field("facts")).explode("fact")
    fact, found = pl.col("fact").struct, {}
    origins = facts.select(fact.field("origin").unique()).drop_nulls().collect(engine="streaming")["origin"]
    for origin in sorted(origins, key=lambda origin: (origin != "seed", origin)):
        own = facts.filter(fact.field("origin") == origin).select("persona", fact.field("text"))
        alike = pl.col("text").str.to_lowercase().str.strip_chars(" .!")
        counted = own.group_by(alike=alike).agg(pl.col("persona").n_unique().alias("personas"), pl.col("text").min())
        of = own.select(pl.col("persona").n_unique()).collect().item()
        most = counted.sort("personas", "alike", descending=[True, False]).head(MOST).collect(engine="streaming")
        if of:
            found[origin] = [
                {"text": text, "personas": count, "share": count / of} for _, count, text in most.iter_rows()
            ]
    return found


def near_duplicates(rows: pl.LazyFrame, total: int) -> dict[str, Any]:
    """How many dialogues a deduplication would drop, each for one before it; those that most are dropped for."""
    read = sampled(rows, total, COMPARED).filter(pl.col("turns").list.len() > 0).sort("row_id")
    texts = read.select("row_id", text=TEXTS.list.join(" ")).collect(engine="streaming")
    signed, leader = signatures(texts["text"].to_list()), np.arange(len(texts))
    settle(lambda some: signed[some], leader.copy(), leader, start=0, similarity=THRESHOLD)
    repeats = leader[leader != np.arange(len(texts))]
    kept = Counter(texts["row_id"].gather(repeats).to_list())
    return {
        "dialogues": len(texts),
        "duplicates": kept.total(),
        "share": kept.total() / len(texts) if len(texts) else None,
        "threshold": THRESHOLD,
        "permutations": SLOTS,
        "most": [{"row_id": row_id, "duplicates": count} for row_id, count in kept.most_common(5)],
    }
