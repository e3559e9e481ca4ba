"""The tokens of choices as a trie, and the choices' probabilities by those of the tokens at its branches.

A choice is as probable as the product of its tokens, each among those that lead on to a choice from where it stands.
Only a branch, where several do, needs to be asked about: one prompt for all choices that differ in their first token.
Limitations: of the ways to spell a choice in tokens only the tokenizer's own counts, which is how models write.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Path = tuple[int, ...]


class ChoiceTrie:
    """A trie of token ids: a path for each choice, all of them different.

    `stops` are the tokens that end an answer, and so a choice that others begin with. `branches` has, by the ids that
    lead to a branch, the tokens whose log probabilities are wanted there.
    """

    def __init__(self, paths: Sequence[Path], stops: Sequence[int]) -> None:
        self._paths = paths
        self._stops = stops
        self._next: dict[Path, dict[int | None, None]] = {}  # dict as a set that keeps its order
        for path in paths:
            for length, token in enumerate((*path, None)):
                self._next.setdefault(path[:length], {})[token] = None
        self.branches = {
            path: [one for token in following for one in self._written(token)]
            for path, following in self._next.items()
            if len(following) > 1
        }

    def probabilities(self, logprobs: Mapping[Path, Mapping[int, float]]) -> tuple[float, ...]:
        """The choices' probabilities, in their order, from the log probabilities of the tokens at each branch."""
        at = {path: self._shares(path, told) for path, told in logprobs.items()}
        products = [
            math.prod([at[path[:length]][token] for length, token in enumerate((*path, None)) if path[:length] in at])
            for path in self._paths
        ]
        total = sum(products)
        return tuple(product / total for product in products)

    def _shares(self, path: Path, told: Mapping[int, float]) -> dict[int | None, float]:
        top = max(told[token] for token in self.branches[path])
        shares = {token: sum(math.exp(told[one] - top) for one in self._written(token)) for token in self._next[path]}
        total = sum(shares.values())
        return {token: share / total for token, share in shares.items()}

    def _written(self, token: int | None) -> Sequence[int]:
        return self._stops if token is None else (token,)
