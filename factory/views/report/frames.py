"""Rows as the report counts them: by dialogue, by side, and as a sample that is the same each time."""

from __future__ import annotations

import polars as pl

_element = pl.element().struct

CODES = pl.col("reasons").list.eval(pl.element().str.split(":").list.first())
"""The reasons of a row without their counts."""
DECISION = pl.col("decision").fill_null("undecided")
FACTS = pl.col("speaker").struct.field("facts").list
"""The facts of a side, in a frame that `sides` gives."""
TEXTS = pl.col("turns").list.eval(_element.field("text"))
"""The texts of a row's turns, a list."""


def given(field: str) -> pl.Expr:
    """A field of the facts that a side's seed gives, a list."""
    return FACTS.eval(_element.field(field).filter(_element.field("origin") == "seed"))


def read_off(field: str) -> pl.Expr:
    """A field of the facts that were read off a side's turns, a list."""
    return FACTS.eval(_element.field(field).filter(_element.field("turn").is_not_null()))


def sides(rows: pl.LazyFrame, *columns: str | pl.Expr) -> pl.LazyFrame:
    """Both sides of each row: `persona` (the seed's id, and the place too where the seed is a dialogue), `place`,
    `speaker`, and columns of their rows."""
    speakers = pl.col("speakers").list
    both = []
    for place in (0, 1):
        speaker = speakers.get(place, null_on_oob=True)
        seed = speaker.struct.field("seed_id")
        persona = pl.when(pl.col("kind") == "imported").then(seed + f"/{'AB'[place]}").otherwise(seed)
        side = rows.select(*columns, persona=persona, place=pl.lit(place), speaker=speaker)
        both.append(side.filter(pl.col("persona").is_not_null()))
    return pl.concat(both)


def sampled(rows: pl.LazyFrame, total: int, count: int) -> pl.LazyFrame:
    """About `count` of `total` rows, the same each time: their ids are hashes, and those below a bound are taken."""
    if total <= count:
        return rows
    return rows.filter(pl.col("row_id") < f"{(count << 128) // total:032x}")
