"""Preference pairs: of several replies to one prompt a chosen and a rejected one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Literal, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from factory.engines import Message
from factory.methods import ModelKind
from factory.methods.exports import MESSAGES, NOT_ALTERNATING, ExportFormat, Record, Source
from factory.methods.exports.preference.choosing import Scored, best_and_worst, diversity, most_and_least_diverse
from factory.methods.exports.preference.scoring import by_apc, by_nli, with_candidates
from factory.methods.makers.converse import alternates
from factory.methods.scores.consistency import Consistency
from factory.store.records import Row

By = Literal["nli", "apc", "divpo"]
Of = Literal["turn", "slot"]


class PreferenceParams(BaseModel):
    """Options of `preference`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: By = Field(
        "nli",
        description="What makes a reply the better one. nli: P(entailment) - P(contradiction), as SimOAP (ACL 2023) "
        "scores candidates; apc: the expected number of satisfied facts (APC, NeurIPS 2024), for which the NLI and the "
        "embedding model are asked again on turns; divpo: by nli, but the most diverse of the good against the least "
        "diverse of the bad (DivPO, arXiv 2501.18101).",
    )
    of: Of = Field("turn", description="Replies are candidates of a turn, or dialogues of a slot.")


class Preference(ExportFormat):
    """Preference pairs: of several replies to one prompt a chosen and a rejected one, and by how much.

    Read by TRL's DPOTrainer, as conversational preferences with an explicit prompt. Replies to one prompt are either
    the candidates of a turn, or the dialogues of a slot: rows of the same two seeds, roles, topic and opening, which
    differ by their sample. What a reply is worth:

    `nli`
        A candidate: P(entailment) - P(contradiction), the highest of either over the speaker's facts, as SimOAP (ACL
        2023) stored them when it chose; candidates that coherence set aside have neither, and are no part of a pair. A
        dialogue: its share of entailed pairs less that of contradicted ones.
    `apc`
        The expected number of satisfied constraints, Σ (1 - P_rel)(1 - P_contradict) + P_rel P_entail over the facts
        (APC, NeurIPS 2024, which pairs two replies to one query so), as `consistency` computes it. A dialogue: its
        APC, divided by the facts of its profile, since two samples may have expanded it differently. A candidate:
        computed here, since a sum over facts cannot be had from the highest of them; the NLI and the embedding model
        that chose the candidate are opened again. No fact is relevant to the opening turn, which answers nothing.
    `divpo`
        Scored as by `nli`; chosen is the most diverse of the good, rejected the least diverse of the bad.

    Limitations: of one prompt, one pair. Of two dialogues the pair begins where they part, from the side of who speaks
    there, and holds the facts that both samples have; what follows is several messages, and a trainer that has no mask
    within a completion (TRL's DPO) counts the partner's, too.

    >>> from factory.methods.example import dialogue, records
    >>> (pair,) = records(Preference, [dialogue()], by="nli")
    >>> pair["chosen"][0]["content"], pair["rejected"][0]["content"], round(pair["margin"], 2)
    ('Nice, I ski a lot.', 'I never ski.', 1.7)
    """

    name = "preference"
    Params = PreferenceParams
    params: PreferenceParams

    @property
    def by_slot(self) -> bool:
        """Dialogues are compared with those of their slot."""
        return self.params.of == "slot"

    @property
    def columns(self) -> tuple[str, ...]:
        """The scores of what is compared."""
        return (Consistency.name,) if self.by_slot else ("turns.list.element.candidates",)

    @property
    def needs(self) -> frozenset[ModelKind]:
        """APC of candidates is computed here."""
        return frozenset({"nli", "embedding"}) if (self.params.by, self.params.of) == ("apc", "turn") else frozenset()

    @property
    def schema(self) -> pa.Schema:
        """DivPO's pairs have the diversities besides."""
        double = pa.float64()
        diversities = [(f"{one}_diversity", double) for one in ("chosen", "rejected") if self.params.by == "divpo"]
        return pa.schema(
            [
                ("prompt", MESSAGES),
                ("chosen", MESSAGES),
                ("rejected", MESSAGES),
                ("chosen_score", double),
                ("rejected_score", double),
                ("margin", double),
                *diversities,
                ("chosen_row_id", pa.string()),
                ("rejected_row_id", pa.string()),
                ("turn", pa.int64()),
            ]
        )

    def unfit(self, row: Row) -> str | None:
        """A pair takes two replies with scores, and a prompt speakers that alternate."""
        if not alternates(row):
            return NOT_ALTERNATING
        if self.by_slot:
            scored = row.scores.get(Consistency.name, {}).get("profile_length")
            return None if scored else f"rows without scores of `{Consistency.name}`"
        return None if with_candidates(row) else "rows without candidates"

    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """A record for each turn whose candidates, or for each slot whose dialogues, can be told apart."""
        if self.by_slot:
            yield from _of_slot(rows, source, self.params.by)
            return
        scored = by_apc(rows, source) if self.params.by == "apc" else map(by_nli, rows)
        for row, turns in zip(rows, scored, strict=True):
            for number, scores in turns:
                yield from _of_turn(row, number, scores, source, self.params.by)


def _of_turn(row: Row, number: int, scores: Sequence[float | None], source: Source, by: By) -> Iterator[Record]:
    texts = [candidate.text for candidate in row.turns[number].candidates]
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    replies = [Scored(place, text, score) for text, place in first.items() if (score := scores[place]) is not None]
    pair = _pair(replies, by)
    if pair is None:
        source.leave_out("turns whose candidates all score alike")
        return
    chosen, rejected, columns = pair
    facts = source.facts_of(row, row.turns[number].speaker)
    yield {
        "prompt": list(source.prompt(row, number, facts)),
        "chosen": [Message(role="assistant", content=texts[chosen])],
        "rejected": [Message(role="assistant", content=texts[rejected])],
        "chosen_row_id": row.row_id,
        "rejected_row_id": row.row_id,
        "turn": number,
        **columns,
    }


def _of_slot(rows: Sequence[Row], source: Source, by: By) -> Iterator[Record]:
    replies = [Scored(place, _text(row), _worth(row, by)) for place, row in enumerate(rows)]
    pair = _pair(replies, by)
    if pair is None:
        source.leave_out("slots whose dialogues all score alike")
        return
    best, worst, columns = rows[pair[0]], rows[pair[1]], pair[2]
    same = takewhile(lambda both: both[0].text == both[1].text, zip(best.turns, worst.turns, strict=False))
    number = len(list(same))
    if number >= min(len(best.turns), len(worst.turns)):
        source.leave_out("slots of which one dialogue begins as the other goes on")
        return
    theirs = set(source.facts_of(worst, number % 2))
    facts = [fact for fact in source.facts_of(best, number % 2) if fact in theirs]
    yield {
        "prompt": list(source.prompt(best, number, facts)),
        "chosen": _rest(best, number),
        "rejected": _rest(worst, number),
        "chosen_row_id": best.row_id,
        "rejected_row_id": worst.row_id,
        "turn": number,
        **columns,
    }


def _pair(replies: Sequence[Scored], by: By) -> tuple[int, int, Record] | None:
    """Places of the chosen and the rejected reply, and the columns that say by how much."""
    if len(replies) < 2:
        return None
    found = most_and_least_diverse(replies) if by == "divpo" else best_and_worst(replies)
    if found is None:
        return None
    chosen, rejected = replies[found[0]], replies[found[1]]
    scores = {
        "chosen_score": chosen.score,
        "rejected_score": rejected.score,
        "margin": chosen.score - rejected.score,
    }
    if by == "divpo":
        told = diversity([one.text for one in replies])
        scores |= {"chosen_diversity": told[found[0]], "rejected_diversity": told[found[1]]}
    return chosen.place, rejected.place, scores


def _worth(row: Row, by: By) -> float:
    """The score of a dialogue, which those that are fit have."""
    scores = cast(dict[str, float], row.scores[Consistency.name])
    if by == "apc":
        return scores["apc"] / scores["profile_length"]
    return scores["entailed_share"] - scores["contradicted_share"]


def _text(row: Row) -> str:
    return "\n".join(turn.text for turn in row.turns)


def _rest(row: Row, number: int) -> list[Message]:
    """The turns from one on, up to the last of who says it."""
    last = len(row.turns) - (len(row.turns) - number + 1) % 2
    return [
        Message(role="assistant" if turn.speaker == number % 2 else "user", content=turn.text)
        for turn in row.turns[number:last]
    ]
