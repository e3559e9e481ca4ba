"""What the rows of a plan will cost, by what the newest rows of the corpus cost.

At most 32 shards, those committed last, are read, and no more once they hold 8,192 rows; none if there is nothing to
ask a model. An entry costs what it cost rows of the same recipe; without any, the job's parameters say how many calls,
and a call costs what it cost rows of other recipes; without those, tokens are counted from characters. Time is at the
pace of the rows that were read, for the longest of the phases, since they run side by side. Limitations: starting Ray
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

from factory.engines import Sampling
from factory.methods import Calls
from factory.planning.compare import ToMake
from factory.planning.cost import records, under_way
from factory.planning.wanted import Wanted
from factory.spec.budget import Used
from factory.spec.identity import Recipe, entries
from factory.spec.job import SELECT
from factory.spec.phases import Making
from factory.store.corpus import Corpus
from factory.store.records import COUNTS

_SHARDS, _ROWS = 32, 8192
_SPEAKERS = 2
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")


@dataclass(slots=True)
class Estimate:
    """Requests to models by entry (`calls`, and the least and the most, without attempts that fail), tokens, in all
    and by model, seconds (none where no row tells), and by entry what its figures are from."""

    calls: Counter[str] = field(default_factory=Counter)
    least_calls: Counter[str] = field(default_factory=Counter)
    most_calls: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    used: Used = field(default_factory=dict)
    seconds: float | None = None
    basis: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spent:
    """What an entry took for rows that passed it: sums over them, `seconds` of many rows at once."""

    rows: int
    calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float


class History:
    """How the newest rows of a corpus were made."""

    def __init__(self, corpus: Corpus, making: Making) -> None:
        self._making = making
        shards, self._since = corpus.table.newest(_SHARDS, _ROWS)
        tables = [cast(pl.DataFrame, pl.from_arrow(corpus.table.read(shard, ("kind", "stages")))) for shard in shards]
        self._records = records(pl.concat(tables).lazy(), "kind").collect() if tables else None

    def spent(self, kind: str, recipe: Recipe) -> tuple[Spent | None, bool]:
        """What rows of a kind took in an entry, and whether it was by this very recipe; none if none passed it."""
        if self._records is None:
            return None, False
        rows = self._records.filter(pl.col("kind") == kind, pl.col("stage") == recipe.stage)
        same = rows.filter(pl.col("recipe") == recipe.id)
        sums = (rows if same.is_empty() else same).select(pl.len().alias("rows"), pl.col(*COUNTS, "seconds").sum())
        found = Spent(**sums.row(0, named=True))
        return (found if found.rows else None), not same.is_empty()

    @cached_property
    def at_once(self) -> list[float]:
        """Rows that were in each phase at once, while any was; 0 where no row tells.

        Whatever was made since the newest shard that was not read stands in those that were: older moments do not
        count, since not all rows of theirs are known.
        """
        phases = self._making.phases
        if self._records is None:
            return [0.0] * len(phases)
        phase = {stage: number for number, one in enumerate(phases) for stage in one.stages}
        spans = self._records.select(
            pl.col("start").clip(lower_bound=self._since),
            "end",
            phase=pl.col("stage").replace_strict(phase, default=None, return_dtype=pl.Int64),
        ).filter(pl.col("end") > pl.col("start"), pl.col("phase").is_not_null())
        seconds = under_way(spans, "phase")
        worked = dict(spans.group_by("phase").agg((pl.col("end") - pl.col("start")).sum()).iter_rows())
        return [worked[number] / seconds[number] if number in seconds else 0.0 for number in range(len(phases))]


class Estimator:
    """Adds up an estimate, some rows after others."""

    def __init__(self, wanted: Wanted, corpus: Corpus) -> None:
        self._wanted = wanted
        self._corpus = corpus
        self._making = wanted.making
        self._entries = entries(wanted.job)
        self._methods = {name: entry.method for name, entry in self._entries.items()}
        self._phases = np.zeros(len(self._making.phases))

    @cached_property
    def _history(self) -> History:
        return History(self._corpus, self._making)

    def add(self, rows: ToMake, kind: str, left: list[Recipe], to: Estimate) -> None:
        """Add what rows of a kind take in the entries that are left for them."""
        few, many = self._turns(rows, kind)
        share = _SPEAKERS if self._wanted.alone and kind == "generated" else 1  # what has one speaker takes half
        for recipe in left:
            if recipe.stage == SELECT or not recipe.models:
                continue
            method = self._methods[recipe.stage]
            least, calls, most = (part // share for part in (method.calls(few)[0], *method.calls(many)))
            spent, same = self._history.spent(kind, recipe)
            count = int(calls.sum())
            if spent and same and "language" in recipe.models and kind == "generated":
                count = round(len(rows) * spent.calls / spent.rows)
            to.calls[recipe.stage] += count
            to.least_calls[recipe.stage] += int(least.sum())
            to.most_calls[recipe.stage] += int(most.sum())
            times = 0.0
            if spent:
                times = count / spent.calls if spent.calls else len(rows) / spent.rows
            self._add_time(recipe, spent, times, to)
            if "language" not in recipe.models:
                continue
            tokens = self._by_characters(rows, recipe, calls)
            if spent:
                tokens = Counter({name: round(times * getattr(spent, name)) for name in _TOKENS})
            to.used.setdefault(self._entries[recipe.stage].models["language"], Counter()).update(tokens)
            for name, count in tokens.items():
                setattr(to, name, getattr(to, name) + count)
            name = recipe.stage if kind == "generated" else f"{recipe.stage} of {kind} dialogues"
            to.basis[name] = _basis(spent, same)

    def _turns(self, rows: ToMake, kind: str) -> Calls:
        """Turns of each row, the least and the most: of generated dialogues, as the job allows."""
        if kind == "imported":
            turns = self._wanted.seeds.sorted.turns[rows.first]
            return turns, turns
        own = [one.params for one in self._methods.values()]
        many = max((getattr(params, "turns", 0) for params in own), default=0)
        few = min((getattr(params, "min_turns", many) for params in own), default=many)
        return np.full(len(rows), few), np.full(len(rows), many)

    def _by_characters(self, rows: ToMake, recipe: Recipe, calls: NDArray[np.integer]) -> Counter[str]:
        """Tokens at four characters each, and half of the longest completion."""
        params, characters = self._methods[recipe.stage].params, self._wanted.seeds.sorted.characters
        both = characters[rows.first] + np.where(rows.first != rows.second, characters[rows.second], 0)
        answer = getattr(params, "sampling", Sampling()).max_tokens // 2
        said = int(calls.max(initial=1)) // 2 if getattr(params, "turns", 0) == calls.max(initial=0) else 0
        history = answer * said  # a prompt of a turn holds what was said, on average half of the dialogue
        prompt = int((calls * (len(recipe.prompt or "") // 4 + both // (4 * _SPEAKERS) + history)).sum())
        completion = int(calls.sum()) * answer * getattr(params, "candidates", 1)
        return Counter(prompt_tokens=prompt, completion_tokens=completion)

    def _add_time(self, recipe: Recipe, spent: Spent | None, times: float, to: Estimate) -> None:
        phase = self._making.phase_of(recipe.stage)
        at_once = self._history.at_once[phase]
        # Without history a phase's time is not known, and stays so.
        self._phases[phase] += times * spent.seconds / at_once if spent and at_once else np.nan
        longest = float(self._phases.max())
        to.seconds = None if np.isnan(longest) else longest


def _basis(spent: Spent | None, same: bool) -> str:
    if spent is None:
        return "four characters a token and half of the longest completion, since there is no history"
    return f"{spent.rows:,} rows of this corpus{'' if same else ' made by another recipe'}"
