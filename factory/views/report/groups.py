"""Groups of personas that resemble each other, and how each fared, so that a filter that removes a group is seen.

Personas are embedded by the bundled sentence model, clustered by k-means, and named by the words that set a group
apart. Limitations: of a large corpus a sample of personas, with all their rows; a row counts for the groups of both its
speakers; groups are as good as the sentence model.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.base.distinct import distinct
from factory.base.fingerprint import blake
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.store.corpus import Corpus
from factory.views.audit import accepted_of, against
from factory.views.measures import Measure
from factory.views.pairs import of_pairs
from factory.views.report.frames import CODES, DECISION, TEXTS, given, read_off, sides

Vectors = NDArray[np.float32]

PERSONAS = 1500
"""Personas that are grouped."""
LEAST = 8
"""Fewer are not."""
MOST = 12
"""Groups at most, so that they can be told apart; else sqrt(personas / 2), a rule of thumb (Mardia et al., 1979)."""
WORDS = 2000
"""Words that a group's distinct-2 is taken of; none for a group that has fewer."""

_COMMON = frozenset(
    ["also", "enjoy", "favorite", "favourite", "have", "like", "live", "love", "named", "really", "want", "work"]
)
"""What personas of every kind say, besides scikit-learn's stop words."""

_NAMING = r"(?u)\b[^\W\d_]{3,}\b"


def groups(
    corpus: Corpus, rows: pl.LazyFrame, measures: Sequence[Measure], contradiction: Mapping[str, float]
) -> dict[str, Any]:
    """`map`: a point each persona (`x`, `y`, number of its `group`, its id as `persona`, its first `fact`); `groups`:
    name, typical facts, how many personas and rows, decisions as shares, whether `below` the acceptance of all, `means`
    of the scores; `all`: what is told of a group, of all rows. `left_out` says why there are none. Of the scores that
    `contradiction` names, a row is `contradicted` by a pair of a turn and an own fact from that probability on. Raises
    ScorerStartError."""
    facts = _personas(rows)
    if len(facts) < LEAST:
        few = f"{len(facts)} personas with facts are too few to group; at least {LEAST} are needed."
        return {"left_out": few, "groups": []}
    texts = [" ".join(own) for own in facts.values()]
    model = EmbeddingModel()
    vectors = _embedded(texts, model)
    places, labels, centres = _clustered(vectors)
    names = _names(texts, labels)
    told = _rows_of(rows, list(facts), labels, measures, contradiction)
    failed = _failed(corpus, dict(zip(facts, labels, strict=True)))
    every = told.unique("row_id")
    accepted, decided = accepted_of(Counter(every["decision"]))
    found = []
    for number in Counter(labels.tolist()):
        own = told.filter(pl.col("group") == number)
        near = np.argsort(-(vectors @ centres[number]))
        typical = [list(facts.values())[place][0] for place in near if labels[place] == number]
        found.append(
            {
                "name": names[number],
                "typical": list(dict.fromkeys(typical))[:3],
                "personas": int((labels == number).sum()),
                "failed": failed[number],
                **_fared(own, measures, contradiction),
                **_against(own, accepted / decided if decided else None, len(names)),
            }
            | {"number": number}
        )
    found.sort(key=lambda one: -one["personas"])
    numbered = {one.pop("number"): place for place, one in enumerate(found, 1)}
    found = [{"group": place} | one for place, one in enumerate(found, 1)]
    return {
        "model": model.name,
        "personas": len(facts),
        "rows": len(every),
        "accepted": accepted / decided if decided else None,
        "interval": 1 - 0.05 / len(names),
        "contradiction": dict(contradiction),
        "words": WORDS,
        "all": _fared(every, measures, contradiction),
        "groups": found,
        "map": [
            {"x": round(float(x), 3), "y": round(float(y), 3), "group": numbered[int(label)]}
            | {"persona": persona, "fact": own[0]}
            for (x, y), label, (persona, own) in zip(places, labels, facts.items(), strict=True)
        ],
    }


def _personas(rows: pl.LazyFrame) -> dict[str, list[str]]:
    """Facts by persona, of those whose ids' hashes are smallest: given facts, or for want of them those read off its
    turns."""
    ids = sides(rows, "kind").select(pl.col("persona").unique()).collect(engine="streaming")["persona"].to_list()
    chosen = sorted(ids, key=lambda persona: blake("report", persona))[:PERSONAS]
    found = (
        sides(rows, "kind")
        .filter(pl.col("persona").is_in(chosen))
        .select("persona", given=given("text"), read_off=read_off("text"))
        .group_by("persona")
        .agg(pl.col("given").first(), pl.col("read_off").explode().unique().sort())
        .sort("persona")
        .collect(engine="streaming")
    )
    facts = {persona: own or others for persona, own, others in found.iter_rows()}
    return {persona: [one for one in own if one] for persona, own in facts.items() if any(own)}


def _embedded(texts: Sequence[str], model: EmbeddingModel) -> Vectors:
    embeddings = Embeddings(model)
    try:
        return asyncio.run(embeddings.encode(texts))
    finally:
        embeddings.close()


def _clustered(vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.int64], Vectors]:
    """Places in the plane, the group of each, and the groups' centres."""
    from sklearn.cluster import KMeans
    from sklearn.manifold import TSNE

    count = int(np.clip(np.sqrt(len(vectors) / 2), 2, MOST))
    means = KMeans(count, n_init=4, random_state=0).fit(vectors)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(vectors)
    return places, means.labels_.astype(np.int64), means.cluster_centers_


def _names(texts: Sequence[str], labels: NDArray[np.int64]) -> dict[int, str]:
    """A group's name: the three words that most set it apart, by TF-IDF over groups."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

    stop = sorted(ENGLISH_STOP_WORDS | _COMMON)
    joined = {int(n): " ".join(text for text, own in zip(texts, labels, strict=True) if own == n) for n in set(labels)}
    vectorizer = TfidfVectorizer(stop_words=stop, sublinear_tf=True, token_pattern=_NAMING)
    try:
        weights = vectorizer.fit_transform(joined.values()).toarray()
    except ValueError:  # no text has a word that counts
        return {number: f"group {number}" for number in joined}
    vocabulary = vectorizer.get_feature_names_out()
    return {
        number: ", ".join(_different([vocabulary[place] for place in np.argsort(-row, kind="stable") if row[place]]))
        for number, row in zip(joined, weights, strict=True)
    }


def _different(ordered: Sequence[str]) -> list[str]:
    """The first three words of which none is another's beginning ("dog", "dogs")."""
    chosen: list[str] = []
    for word in ordered:
        if not any(word.startswith(other[:4]) for other in chosen):
            chosen.append(word)
        if len(chosen) == 3:
            break
    return chosen


def _rows_of(
    rows: pl.LazyFrame,
    personas: Sequence[str],
    labels: NDArray[np.int64],
    measures: Sequence[Measure],
    contradiction: Mapping[str, float],
) -> pl.DataFrame:
    """The rows of the personas, once for each group they belong to."""
    grouped = pl.LazyFrame({"persona": personas, "group": labels}, schema={"persona": pl.String, "group": pl.Int64})
    told = sides(
        rows, "kind", "row_id", DECISION.alias("decision"), CODES.alias("codes"), TEXTS.alias("texts"),
        *(one.value.alias(one.name) for one in measures),
        *((of_pairs(score, "contradiction").list.max() >= least).alias(_contradicted(score))
          for score, least in contradiction.items()),
    )  # fmt: skip
    return (
        told.join(grouped, on="persona")
        .drop("persona", "place", "speaker", "kind")
        .unique(["row_id", "group"], keep="first")
        .sort("row_id", "group")
        .collect(engine="streaming")
    )


def _contradicted(score: str) -> str:
    return f"contradicted by {score}"


def _fared(own: pl.DataFrame, measures: Sequence[Measure], contradiction: Mapping[str, float]) -> dict[str, Any]:
    """What became of rows, as shares of them, and the means of their scores."""
    decisions = Counter(own["decision"])
    codes = Counter(code for codes in own["codes"] for code in codes)
    said = distinct((text for texts in own["texts"] for text in texts), WORDS)
    return {
        "rows": len(own),
        "turns": own["texts"].list.len().mean(),
        "decisions": {name: decisions[name] / len(own) for name in sorted(decisions)} if len(own) else {},
        "reasons": [{"reason": code, "rows": count} for code, count in codes.most_common(3)],
        "contradicted": {score: own[_contradicted(score)].mean() for score in contradiction},
        "means": {one.name: own[one.name].mean() for one in measures},
        "distinct_2": said["distinct_2"] if said["words"] >= WORDS else None,
    }


def _against(own: pl.DataFrame, acceptance: float | None, groups: int) -> dict[str, Any]:
    """The interval of a group's accepted share, and whether all of it lies below the acceptance of all rows."""
    told = against(*accepted_of(Counter(own["decision"])), acceptance, groups)
    return {name: told[name] for name in ("accepted_least", "accepted_most", "below")}


def _failed(corpus: Corpus, group_of: dict[str, int]) -> Counter[int]:
    """Rows that became dead letters, by group; the personas of an imported dialogue are its seed's sides."""
    found: Counter[int] = Counter()
    for seeds in corpus.scan_dead_letters(of="rows").select("seed_ids").collect(engine="streaming")["seed_ids"]:
        personas = (name for seed in seeds for name in (seed, f"{seed}/A", f"{seed}/B"))
        found.update({int(group_of[persona]) for persona in personas if persona in group_of})
    return found
