"""The pairs that are labelled: a random sample by strata of P(contradiction), more of it near the thresholds.

Every pair of a check is in one stratum (`factory.views.labelling.strata`). Each drawn pair tells its stratum and how
many pairs that has, by which `factory calibrate` weights it; without the weights, rates of the sample are not those of
the corpus.

Limitations: the same seed draws the same pairs with one version of polars.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import polars as pl
from pydantic_core import to_json

from factory.base.fingerprint import blake
from factory.base.places import in_shell
from factory.models import called
from factory.planning.recipes import models_asked
from factory.spec.job import SELECT
from factory.spec.select import BANDS, Conditions
from factory.store.corpus import Corpus
from factory.store.records import Row, row_schema, rows_from_table, score_columns
from factory.store.table import CorpusError
from factory.views.labelling.strata import Stratum, allotted, edges_near
from factory.views.measures import methods_of
from factory.views.pairs import Check, StoredPair, of_pairs, pair_scores, stored_pairs, worst


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """A pair as it is written to JSON Lines, and the dialogue that it stands in."""

    record: dict[str, Any]
    row: Row
    stored: StoredPair


@dataclass(slots=True)
class Drawn:
    """A sample, named `id` by what is in it; its pairs stand in a random order, so that any first part of them is a
    random sample of each stratum."""

    corpus: str
    score: str
    check: Check
    near: list[float]
    strata: list[Stratum]
    id: str = ""
    pairs: list[DrawnPair] = field(default_factory=list)

    @property
    def command(self) -> str:
        """How labels of these pairs are read, but for their file."""
        models = sorted({str(pair.record["scored_by"]).partition("@")[0] for pair in self.pairs})
        own = models != ["nli-small"]
        return "factory calibrate" + (f" --model {in_shell(models[0])}" if own else "")

    @property
    def drawn(self) -> int:
        """How many pairs are drawn."""
        return len(self.pairs)


def draw(
    corpus: Corpus,
    *,
    near: Sequence[float] = (),
    check: Check = "turn_persona",
    score: str | None = None,
    count: int = 200,
    seed: int = 0,
) -> Drawn:
    """Draw `count` pairs of one check, or all if there are fewer. `near` are thresholds, between 0 and 1; without, they
    are those of the corpus's own conditions. `score` is the entry whose pairs they are, where several stored pairs.
    Raises CorpusError."""
    rows = corpus.scan()
    score = _score(corpus, rows, score)
    near = sorted(set(near)) or _thresholds(corpus, rows, score, check)
    if not all(0 < threshold < 1 for threshold in near):
        raise CorpusError(f"--near {', '.join(map(str, near))}: a threshold lies between 0 and 1")
    edges = edges_near(near)
    pairs = _numbered(rows, score, check, edges, seed)
    counted = dict(pairs.group_by("stratum").len().collect(engine="streaming").iter_rows())
    sizes = [counted.get(number, 0) for number in range(len(edges) - 1)]
    if not sum(sizes):
        raise CorpusError(f"{corpus.root}: {score} stored no pairs of the check {check}")
    shares = allotted(sizes, count)
    strata = [
        Stratum(*edge, *told) for edge, told in zip(pairwise(edges), zip(sizes, shares, strict=True), strict=True)
    ]
    some = [
        pairs.filter(pl.col("stratum") == number).bottom_k(share, by="key").select("row_id", "place", "stratum")
        for number, share in enumerate(shares)
    ]
    chosen = pl.concat(pl.collect_all(some, engine="streaming")).sort("row_id", "place").rows()
    random.Random(seed).shuffle(chosen)
    drawn = Drawn(corpus.root, score, check, near, strata)
    drawn.pairs.extend(_told(corpus, rows, chosen, drawn))
    # Of what the pairs say, too: in the next version the same row may say something else.
    drawn.id = blake("pairs", *(to_json(pair.record).decode() for pair in drawn.pairs))[:12]
    for pair in drawn.pairs:
        pair.record["draw"] = drawn.id
    return drawn


def _score(corpus: Corpus, rows: pl.LazyFrame, asked: str | None) -> str:
    scores = pair_scores(methods_of(corpus, rows))
    if asked in scores or (asked is None and len(scores) == 1):
        return asked or scores[0]
    if not scores:
        raise CorpusError(f"{corpus.root}: no score of its rows stored pairs")
    why = f"there is no {asked}" if asked else "several scores stored pairs"
    raise CorpusError(f"{corpus.root}: {why}; name one with --score: {', '.join(scores)}")


def _thresholds(corpus: Corpus, rows: pl.LazyFrame, score: str, check: Check) -> list[float]:
    """Those of the conditions by which most rows were decided."""
    records = rows.select("stages").explode("stages").drop_nulls().unnest("stages").filter(pl.col("stage") == SELECT)
    counted = records.group_by("recipe").len().sort("len", "recipe", descending=True).collect(engine="streaming")
    content: Any = corpus.recipe(counted["recipe"][0]) if len(counted) else None
    policy = Conditions.model_validate(content["params"]) if content else Conditions()
    column = worst(score, check)
    found = {at for band in BANDS for sign, at in policy.thresholds(band, column) if sign[0] == ">" and 0 < at < 1}
    if not found:
        raise CorpusError(
            f"{corpus.root}: no condition of its select compares {column} with a number; give thresholds: "
            "--near 0.5,0.9"
        )
    return sorted(found)


def _numbered(rows: pl.LazyFrame, score: str, check: Check, edges: Sequence[float], seed: int) -> pl.LazyFrame:
    """All pairs: the row, the place among its pairs of this check, the number of the stratum, and a random key."""
    values = of_pairs(score, "contradiction", check)
    exploded = (
        rows.select("row_id", value=values)
        .with_columns(place=pl.int_ranges(pl.col("value").list.len()))
        .explode("value", "place")
        .drop_nulls("value")
    )
    above = [(pl.col("value") >= edge).cast(pl.Int64) for edge in edges[1:-1]]
    key = pl.concat_str("row_id", pl.col("place").cast(pl.String), separator=" ").hash(seed)
    return exploded.select("row_id", "place", stratum=pl.sum_horizontal(above), key=key)


def _told(corpus: Corpus, rows: pl.LazyFrame, chosen: Sequence[tuple[str, int, int]], drawn: Drawn) -> list[DrawnPair]:
    columns = row_schema(score_columns(corpus.table.layout))
    table = rows.filter(pl.col("row_id").is_in({row_id for row_id, _, _ in chosen})).collect(engine="streaming")
    known = {row.row_id: row for row in rows_from_table(table.to_arrow().select(columns.names).cast(columns))}
    asked, all_pairs = models_asked(corpus), sum(stratum.pairs for stratum in drawn.strata)
    told = []
    for row_id, place, number in chosen:
        row, stratum = known[row_id], drawn.strata[number]
        nli = asked(row, drawn.score).get("nli")
        stored = stored_pairs(row, drawn.score, drawn.check)[place]
        record = {
            "premise": stored.pair.premise,
            "hypothesis": stored.pair.hypothesis,
            "label": None,
            "labelled_by": None,
            "score": drawn.score,
            "check": drawn.check,
            "row_id": row_id,
            "speaker": stored.pair.speaker,
            "turn": stored.pair.turn,
            "entailment": stored.found.entailment,
            "neutral": stored.found.neutral,
            "contradiction": stored.found.contradiction,
            "scored_by": called(nli["name"], nli["revision"]) if nli else None,
            "draw": None,
            "stratum": str(stratum),
            "stratum_pairs": stratum.pairs,
            "all_pairs": all_pairs,
        }
        told.append(DrawnPair(record, row, stored))
    return told
