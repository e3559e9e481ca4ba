"""What a run may take: tokens, hours and money, and what tokens cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

_MILLION = 1_000_000
Used = dict[str, Counter[str]]
"""Tokens by the model's name in the job, and there `prompt_tokens` (all), `cached_tokens` (those that a cache held) and
`completion_tokens`."""


class Price(BaseModel):
    """What a million tokens of a model cost, in whatever currency the budget is in."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    prompt: float = Field(0, ge=0, description="A million prompt tokens.")
    cached: float | None = Field(
        None, ge=0, description="A million prompt tokens that the server's cache held; like others without it."
    )
    completion: float = Field(0, ge=0, description="A million completion tokens.")


class Budget(BaseModel):
    """What one run may take; without a limit it may take anything."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    tokens: int | None = Field(
        None, ge=1, description="Prompt tokens that no cache held, and completion tokens, of all models."
    )
    hours: float | None = Field(None, gt=0, description="Hours since the run started.")
    money: float | None = Field(None, gt=0, description="What the tokens cost by `prices`.")
    prices: dict[str, Price] = Field(
        {}, description="Prices by the name of the language model in `models`; one that is not named costs nothing."
    )

    def beyond(self, used: Used, seconds: float | None) -> list[str]:
        """The limits that are reached, each as what was taken of it; time does not count where it is not known."""
        tokens = sum(_computed(one) for one in used.values())
        money = sum(_cost(one, self.prices.get(name, Price())) for name, one in used.items())
        found = []
        if self.tokens is not None and tokens >= self.tokens:
            found.append(f"{tokens:,} of {self.tokens:,} tokens (run.budget.tokens)")
        if self.hours is not None and seconds is not None and seconds >= 3600 * self.hours:
            found.append(f"{seconds / 3600:.2f} of {self.hours:g} hours (run.budget.hours)")
        if self.money is not None and money >= self.money:
            found.append(f"{round(money, 4):g} of {self.money:g} in money (run.budget.money)")
        return found


def added(parts: Iterable[Used]) -> Used:
    """What all of them used."""
    total: Used = {}
    for part in parts:
        for name, tokens in part.items():
            total.setdefault(name, Counter()).update(tokens)
    return total


def _computed(tokens: Mapping[str, int]) -> int:
    return tokens["prompt_tokens"] - tokens["cached_tokens"] + tokens["completion_tokens"]


def _cost(tokens: Mapping[str, int], price: Price) -> float:
    cached = price.prompt if price.cached is None else price.cached
    prompt = (tokens["prompt_tokens"] - tokens["cached_tokens"]) * price.prompt + tokens["cached_tokens"] * cached
    return (prompt + tokens["completion_tokens"] * price.completion) / _MILLION
