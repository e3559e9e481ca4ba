"""Labelled NLI pairs: premise, hypothesis and what a person, or a rule, says of them.

Files are read as seeds are: any URI, JSON Lines, CSV, TSV or Parquet, compressed or not. A row that is no labelled pair
is counted with its reason and left out. Limitations: all pairs are held in memory, some hundred bytes each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from factory.seeds.archives import find_files
from factory.seeds.files import BadRow
from factory.seeds.formats import read_rows

PERSON = "person"
"""Who labelled a pair, in its column `labelled_by`, where no model did."""
LABELS = ("entailment", "neutral", "contradiction")
"""In the order in which SNLI and MultiNLI number them: 0, 1, 2."""

STRATUM = ("draw", "stratum", "stratum_pairs", "all_pairs", "scored_by")
"""The columns of a pair's `Stratum`."""
_BESIDES = ("labelled_by", "score", "check", *STRATUM)
"""Columns that are read where a file has them."""


class Stratum(BaseModel):
    """What a drawn pair stands for: `draw` names the sample, `pairs` is how many pairs the stratum has, `of` how many
    all strata have together. `scored_by` is the model whose P(contradiction) made the strata."""

    model_config = ConfigDict(frozen=True)

    draw: str
    stratum: str
    pairs: PositiveInt = Field(alias="stratum_pairs")
    of: PositiveInt = Field(alias="all_pairs")
    scored_by: str = ""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A labelled pair, and the file or rule that it comes of. `labelled_by` is PERSON, a model as
    `factory.models.called` names it, or none where the file does not tell; `stratum` is of pairs that `factory pairs`
    drew, and `score` and `check` say which of a corpus's pairs those were."""

    premise: str
    hypothesis: str
    label: str
    source: str
    labelled_by: str | None = None
    stratum: Stratum | None = None
    score: str | None = None
    check: str | None = None


class PairFile(BaseModel):
    """Files of labelled pairs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1, description="Path, glob or URI; relative paths start at this file.")
    format: Literal["auto", "jsonl", "csv", "tsv", "parquet"] = Field("auto", description="By the extension if auto.")
    premise: str = Field("premise", description="Column of the premise: a persona fact, or an earlier turn.")
    hypothesis: str = Field("hypothesis", description="Column of the hypothesis: the utterance.")
    label: str = Field(
        "label", description="Column of the label: one of the labels, such as entailment, or its number, from 0."
    )
    skip: int = Field(0, ge=0, description="Pairs at the start to leave out, such as held-out ones.")
    limit: int | None = Field(None, ge=1, description="Pairs to take behind those; all without it.")


@dataclass(slots=True)
class Labelled:
    """Pairs read, and how many rows were left out, by reason."""

    pairs: list[LabelledPair] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_pairs(files: Sequence[PairFile], base: Path = Path(), labels: Sequence[str] = LABELS) -> Labelled:
    """The pairs of all files with one of these labels, in order; relative paths start at `base`. Raises SourceError."""
    found = Labelled()
    for source in files:
        pairs: list[LabelledPair] = []
        for file in find_files(source.path, source.format, base.absolute()):
            for _, row in read_rows(file, (source.premise, source.hypothesis, source.label), _BESIDES):
                try:
                    if isinstance(row, BadRow):
                        raise row
                    pairs.append(_pair(row, source, labels, Path(file.name).stem))
                except BadRow as bad:
                    found.left_out[bad.reason] += 1
        found.pairs += pairs[source.skip :][: source.limit]
    return found


def _pair(row: dict[str, Any], source: PairFile, labels: Sequence[str], name: str) -> LabelledPair:
    for column in (source.premise, source.hypothesis, source.label):
        if column not in row:
            raise BadRow(f"no column {column}", f"the columns are {', '.join(row)}")
    premise, hypothesis = _text(row[source.premise]), _text(row[source.hypothesis])
    if not (premise and hypothesis):
        raise BadRow("empty text", "a premise and a hypothesis are needed")
    given = _text(row[source.label]).lower()
    label = next((label for number, label in enumerate(labels) if given in (label, str(number))), None)
    if label is None:
        raise BadRow("no gold label", f"the label is {given!r}")
    by, score, check = (_text(row.get(column)) or None for column in ("labelled_by", "score", "check"))
    return LabelledPair(premise, hypothesis, label, name, by, _stratum(row), score, check)


def _stratum(row: dict[str, Any]) -> Stratum | None:
    if not _text(row.get("draw")):
        return None
    try:
        return Stratum.model_validate({column: _text(row.get(column)) for column in STRATUM})
    except ValidationError as error:
        raise BadRow("broken stratum", f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from None


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
