"""What the rows of a plan will cost, by what the newest rows of the corpus cost.

At most 32 shards, those committed last, are read, and no more once they hold 8,192 rows; none if there is nothing to
ask a model. A stage costs what it cost rows of the same recipe; without any, the job's parameters say how many calls,
and a call costs what it cost rows of other recipes; without those, tokens are counted from characters. Time is at the
pace of the rows that were read, for the longer of the two legs, since they run side by side. Limitations: starting Ray
and opening models is not in the time, nor that there are more or other workers than before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.planning.compare import ToMake
from factory.planning.cost import records, under_way
from factory.planning.wanted import Wanted
from factory.spec.job import LEGS, Job, Recipe
from factory.store.corpus import Corpus
from factory.store.records import COUNTS

_SHARDS, _ROWS = 32, 8192
_SPEAKERS = 2


@dataclass(slots=True)
class Estimate:
    """Requests to models by stage, tokens, seconds (none where no row tells), and by stage what its figures are
    from."""

    calls: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float | None = None
    basis: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a stage took for rows that passed it: sums over them, `seconds` of many rows at once."""

    rows: int
    calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float


class History:
    """How the newest rows of a corpus were made."""

    def __init__(self, corpus: Corpus) -> None:
        shards, self._since = corpus.table.newest(_SHARDS, _ROWS)
        tables = [cast(pl.DataFrame, pl.from_arrow(corpus.table.read(shard, ("kind", "stages")))) for shard in shards]
        self._records = records(pl.concat(tables).lazy(), "kind").collect() if tables else None

    def spent(self, kind: str, recipe: Recipe) -> tuple[Spent | None, bool]:
        """What rows of a kind took in a stage, and whether it was by this very recipe; none if none passed it."""
        if self._records is None:
            return None, False
        rows = self._records.filter(pl.col("kind") == kind, pl.col("stage") == recipe.stage)
        same = rows.filter(pl.col("recipe") == recipe.id)
        sums = (rows if same.is_empty() else same).select(pl.len().alias("rows"), pl.col(*COUNTS, "seconds").sum())
        found = Spent(**sums.row(0, named=True))
        return (found if found.rows else None), not same.is_empty()

    @cached_property
    def at_once(self) -> list[float]:
        """Rows that were in each leg at once, while any was; 0 where no row tells.

        Whatever was made since the newest shard that was not read stands in those that were: older moments do not
        count, since not all rows of theirs are known.
        """
        if self._records is None:
            return [0.0] * len(LEGS)
        leg = {stage: number for number, stages in enumerate(LEGS) for stage in stages}
        spans = self._records.select(
            pl.col("start").clip(lower_bound=self._since), "end", leg=pl.col("stage").replace_strict(leg)
        ).filter(pl.col("end") > pl.col("start"))
        seconds = under_way(spans, "leg")
        worked = dict(spans.group_by("leg").agg((pl.col("end") - pl.col("start")).sum()).iter_rows())
        return [worked[number] / seconds[number] if number in seconds else 0.0 for number in range(len(LEGS))]


class Estimator:
    """Adds up an estimate, some rows after others."""

    def __init__(self, job: Job, wanted: Wanted, corpus: Corpus) -> None:
        self._job = job
        self._wanted = wanted
        self._corpus = corpus
        self._legs = np.zeros(len(LEGS))

    @cached_property
    def _history(self) -> History:
        return History(self._corpus)

    def add(self, rows: ToMake, kind: str, keep: int, to: Estimate) -> None:
        """Add what rows of a kind take from stage `keep` of their chain on."""
        calls = self._calls(rows, kind)
        for recipe in self._wanted.chains[kind][keep:]:
            if recipe.stage not in calls:
                continue
            spent, same = self._history.spent(kind, recipe)
            count = int(calls[recipe.stage].sum())
            if spent and same and recipe.prompt is not None and kind == "generated":
                count = round(len(rows) * spent.calls / spent.rows)
            to.calls[recipe.stage] += count
            times = 0.0
            if spent:
                times = count / spent.calls if spent.calls else len(rows) / spent.rows
            self._add_time(recipe, spent, times, to)
            if recipe.prompt is None:
                continue
            if spent:
                to.prompt_tokens += round(times * spent.prompt_tokens)
                to.cached_tokens += round(times * spent.cached_tokens)
                to.completion_tokens += round(times * spent.completion_tokens)
            else:
                self._add_characters(rows, recipe, calls[recipe.stage], to)
            name = recipe.stage if kind == "generated" else f"{recipe.stage} of {kind} dialogues"
            to.basis[name] = _basis(spent, same)

    def _calls(self, rows: ToMake, kind: str) -> dict[str, NDArray[np.integer]]:
        """Calls of each row, by stage, as the job's parameters have them: of the language model without attempts that
        fail or speakers who end early, and one of the NLI model; stages that ask no model are left out."""
        converse = self._job.stages.converse
        turns = np.full(len(rows), converse.turns if converse else 0)
        if kind == "imported":
            turns = self._wanted.seeds.sorted.turns[rows.first]
        once = np.ones(len(rows), np.int64)
        return {
            "expand": _SPEAKERS * once,
            "converse": once if converse and converse.mode == "script" else turns,
            "extract": turns,
            "augment": once,
            "verify": once,
        }

    def _add_characters(self, rows: ToMake, recipe: Recipe, calls: NDArray[np.integer], to: Estimate) -> None:
        """Tokens at four characters each, and half of the longest completion."""
        params, characters = getattr(self._job.stages, recipe.stage), self._wanted.seeds.sorted.characters
        both = characters[rows.first] + np.where(rows.first != rows.second, characters[rows.second], 0)
        answer = params.sampling.max_tokens // 2
        turn_by_turn = recipe.stage == "converse" and params.mode == "turns"
        history = answer * (params.turns // 2) if turn_by_turn else 0
        to.prompt_tokens += int((calls * (len(recipe.prompt or "") // 4 + both // (4 * _SPEAKERS) + history)).sum())
        to.completion_tokens += int(calls.sum()) * answer * getattr(params, "candidates", 1)

    def _add_time(self, recipe: Recipe, spent: Spent | None, times: float, to: Estimate) -> None:
        (leg,) = (number for number, stages in enumerate(LEGS) if recipe.stage in stages)
        at_once = self._history.at_once[leg]
        # Without history a leg's time is not known, and stays so.
        self._legs[leg] += times * spent.seconds / at_once if spent and at_once else np.nan
        longest = float(self._legs.max())
        to.seconds = None if np.isnan(longest) else longest


def _basis(spent: Spent | None, same: bool) -> str:
    if spent is None:
        return "four characters a token and half of the longest completion, for want of history"
    return f"{spent.rows:,} rows of this corpus{'' if same else ' made by another recipe'}"
