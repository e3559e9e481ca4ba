"""Near duplicates: rows that nearly repeat the words of an older one. The oldest stays, the others name it.

Of a dialogue the words of all its turns are compared, of a row without turns (a persona) those of all its facts. In
the pass's column `duplicate_of` is the id of the oldest row that stays and is alike, null where this one stays itself;
`similarity` the estimated share of words that both have, 0 to 1; `order` the row's place among all rows by age, which a
row keeps when its shard is rewritten; `recipe` the parameters it was found by, null where the pass has yet to see it.
Limitations: those of `factory.base.minhash`; what was decided of a row plays no part, so a duplicate of a rejected row
is one too.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from factory.base import minhash
from factory.base.fingerprint import fingerprint

NAME = "near_duplicates"
VERSION = 2
"""Raised when the same rows and parameters would give other duplicates."""

TURNS = ("turns.list.element.text",)
FACTS = (
    "speakers.list.element.seed_id",
    "speakers.list.element.facts.list.element.text",
    "speakers.list.element.facts.list.element.source_id",
)
"""Columns, and of nested ones the fields in them, that are read."""

COLUMN = pa.struct(
    [
        ("duplicate_of", pa.string()),
        ("similarity", pa.float32()),
        ("order", pa.int64()),
        ("recipe", pa.string()),
    ]
)


class NearDuplicatesParams(BaseModel):
    """Parameters of `near_duplicates`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    similarity: float = Field(
        0.9,
        ge=0.8,
        le=1,
        description="Least Jaccard similarity of two sets of words, estimated by MinHash with 128 permutations over "
        "single words, from which one text is a duplicate of the other. All three values are those of Persona Hub "
        "(arXiv 2406.20094), which compares personas so.",
    )

    def recipe(self) -> str:
        """32 hex digits: rows found by another recipe must be found again."""
        made = {"params": self.model_dump(), "version": VERSION, "minhash": minhash.algorithm()}
        return fingerprint("recipe/near_duplicates", made)


def dialogue_texts(rows: pa.Table) -> list[str]:
    """What is said in each row, of a table with TURNS."""
    said = pl.col("turns").list.eval(pl.element().struct.field("text")).list.join(" ")
    return pl.DataFrame(rows.select(["turns"])).select(said.fill_null(""))["turns"].to_list()


def persona_texts(rows: pa.Table) -> list[str]:
    """The facts of each row's speakers but for distractors, which are of others, of a table with FACTS."""
    return [
        " ".join(
            fact["text"] for one in row or () for fact in one["facts"] or () if fact["source_id"] == one["seed_id"]
        )
        for row in rows["speakers"].to_pylist()
    ]
