"""Balance: how evenly the two speakers share a dialogue.

Limitations: words are counted, not what they say; a listener who asks well counts as one who says little.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from factory.methods import Calls, Column, Kit, ModelKind, Params, Scored
from factory.store.records import Row


class BalanceParams(Params):
    """Parameters of `balance`."""

    method: Literal["balance"] = Field("balance", description="The method.")
    unit: Literal["words", "turns"] = Field("words", description="What of a speaker is counted (ours).")


class Balance:
    """Compares how much each of the two speakers says."""

    name = "balance"
    version = 1
    Params = BalanceParams
    reads = frozenset({"turns"})
    columns = (Column("least", "double", "Share of the speaker who says less; 0.5 is an even talk.", 0, 0.5, "higher"),)
    details: ClassVar[dict[str, tuple[str, ...]]] = {}
    needs: frozenset[ModelKind] = frozenset()

    def __init__(self, params: BalanceParams) -> None:
        self.params = params

    def calls(self, turns: NDArray[np.integer]) -> Calls:
        """None: it asks no model."""
        return np.zeros_like(turns), np.zeros_like(turns)

    async def score(self, row: Row, kit: Kit) -> Scored:
        """Count for each speaker. A row whose turns have no word has no value."""
        said = [0, 0]
        for turn in row.turns:
            said[turn.speaker] += len(re.findall(r"\w+", turn.text)) if self.params.unit == "words" else 1
        return Scored({"least": min(said) / sum(said)}) if sum(said) else Scored(missing="input_missing")
