"""Select: accept, flag or reject, by thresholds over the stored scores; no model is asked.

Three bands, because NLI on persona talk is unsure: a clear contradiction rejects, a likely one flags the row for a
second look, the rest passes. A rejected row keeps its scores, so a moved threshold decides anew from what is stored.
All values are ours: the papers score, or filter candidates, but none publishes a band for whole dialogues.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from factory.methods import Kit, Role
from factory.store.records import Check, Decision, Row


class SelectParams(BaseModel):
    """Parameters of `select`. A contradiction threshold is a P(contradiction), and applies to each scored pair."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reject_contradiction: float = Field(
        0.9, ge=0, le=1, description="Reject if a turn contradicts an own fact so probably (ours)."
    )
    flag_contradiction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Flag if a turn contradicts an own fact so probably. In context, 65 % of pairs above 0.8 are none "
        "(CAFFEINE, EACL 2024), hence a second look.",
    )
    reject_self_contradiction: float = Field(
        0.95, ge=0, le=1, description="Reject if a turn contradicts an earlier one of its speaker so probably (ours)."
    )
    flag_self_contradiction: float = Field(
        0.8, ge=0, le=1, description="Flag if a turn contradicts an earlier one of its speaker so probably (ours)."
    )
    flag_extracted_contradiction: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Flag if an extracted fact contradicts an own fact so probably; not looked at without (ours).",
    )
    max_contradicted_share: float = Field(
        1,
        ge=0,
        le=1,
        description="Reject if a larger share of the turns' scored pairs is labelled contradiction (ours).",
    )
    min_coverage: float = Field(
        0, ge=0, le=1, description="Reject if a smaller share of the facts is expressed (ours)."
    )
    min_turns: int = Field(2, ge=1, description="Reject shorter dialogues (ours).")

    @model_validator(mode="after")
    def _bands(self) -> Self:
        for check in ("contradiction", "self_contradiction"):
            flag, reject = getattr(self, f"flag_{check}"), getattr(self, f"reject_{check}")
            if flag > reject:
                raise ValueError(
                    f"flag_{check} ({flag}) is above reject_{check} ({reject}); what lies between them is flagged"
                )
        return self


class Select:
    """Fills `decision` and `reasons`."""

    name = "select"
    version = 1

    def __init__(self, params: SelectParams) -> None:
        self.params = params

    @property
    def needs(self) -> frozenset[Role]:
        """No model."""
        return frozenset()

    @staticmethod
    def clear(row: Row) -> None:
        """Take the decision off the row."""
        row.decision, row.reasons = None, []

    async def run(self, row: Row, kit: Kit) -> None:  # noqa: ARG002
        """Decide."""
        self.decide(row)

    def decide(self, row: Row) -> None:
        """Decide, with the reasons of that decision: those that reject, or those that flag, or none."""
        rejecting, flagging = self._rejecting(row), self._flagging(row)
        decision: Decision = "reject" if rejecting else "flag" if flagging else "accept"
        row.decision, row.reasons = decision, rejecting or flagging

    def _rejecting(self, row: Row) -> list[str]:
        """Codes, with the number of pairs where there is one. A row that was not verified has no scores to fail by."""
        params = self.params
        reasons = [
            *_contradictions(row, "turn_persona", params.reject_contradiction),
            *_contradictions(row, "turn_turn", params.reject_self_contradiction),
        ]
        if row.consistency is not None and row.consistency.contradicted_share > params.max_contradicted_share:
            reasons.append("contradicted_share")
        if row.consistency is not None and row.consistency.coverage < params.min_coverage:
            reasons.append("low_coverage")
        if len(row.turns) < params.min_turns:
            reasons.append("short")
        return reasons

    def _flagging(self, row: Row) -> list[str]:
        return [
            *_contradictions(row, "turn_persona", self.params.flag_contradiction),
            *_contradictions(row, "turn_turn", self.params.flag_self_contradiction),
            *_contradictions(row, "extracted_persona", self.params.flag_extracted_contradiction),
        ]


_CODES: dict[Check, str] = {
    "turn_persona": "persona_contradiction",
    "turn_turn": "self_contradiction",
    "extracted_persona": "extracted_contradiction",
}


def _contradictions(row: Row, check: Check, threshold: float | None) -> list[str]:
    """The check's code and how many of its pairs reach the threshold, such as `persona_contradiction:2`."""
    if threshold is None:
        return []
    count = sum(score.check == check and score.contradiction >= threshold for score in row.scores)
    return [f"{_CODES[check]}:{count}"] if count else []
