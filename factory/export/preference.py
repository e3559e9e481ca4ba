"""Preference pairs: of several replies to one prompt a chosen and a rejected one.

Replies to one prompt are either the candidates of a turn, or the dialogues of a slot: rows of the same two seeds,
roles, topic and opening, which differ by their sample. What a reply is worth:

`nli`
    A candidate: P(entailment) - P(contradiction), the highest of either over the speaker's facts, as SimOAP (ACL 2023)
    stored them when it chose; candidates that coherence set aside have neither, and are no part of a pair. A dialogue:
    its share of entailed pairs less that of contradicted ones.
`apc`
    The expected number of satisfied constraints, Σ (1 - P_rel)(1 - P_contradict) + P_rel P_entail over the facts (APC,
    NeurIPS 2024, which pairs two replies to one query so), as `verify` computes it. A dialogue: the row's APC, divided
    by the facts of its profile, since two samples may have expanded it differently. A candidate: computed here, since
    a sum over facts cannot be had from the highest of them; the NLI and the embedding model are those that chose the
    candidate, opened anew. No fact is relevant to the opening turn, which answers nothing.
`divpo`
    Scored as by `nli`; chosen is the most diverse of the good, rejected the least diverse of the bad.

Limitations: of one prompt, one pair. Of two dialogues the pair begins where they part, from the side of who speaks
there, and holds the facts that both samples have; what follows is several messages, and a trainer that has no mask
within a completion (TRL's DPO) counts the partner's, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Literal

import pyarrow as pa

from factory.engines import Message
from factory.export.choosing import Scored, best_and_worst, diversity, most_and_least_diverse
from factory.export.formats import MESSAGES
from factory.export.scoring import by_apc, by_nli
from factory.export.slots import slots
from factory.export.source import Source
from factory.export.writing import Example
from factory.store.records import Row

By = Literal["apc", "nli", "divpo"]
Of = Literal["turn", "slot"]


def schema(by: By) -> pa.Schema:
    """The columns of the pairs; DivPO's have the diversities besides."""
    double = pa.float64()
    diversities = [("chosen_diversity", double), ("rejected_diversity", double)] if by == "divpo" else []
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


def of_turns(source: Source, by: By) -> Iterator[tuple[str, Example]]:
    """A pair for each turn whose candidates can be told apart."""
    for split, row, turns in by_apc(source) if by == "apc" else by_nli(source):
        for number, scores in turns:
            texts = [candidate.text for candidate in row.turns[number].candidates]
            first = {text: place for place, text in reversed(list(enumerate(texts)))}
            replies = [
                Scored(place, text, score) for text, place in first.items() if (score := scores[place]) is not None
            ]
            pair = _pair(replies, by)
            if pair is None:
                source.leave_out("turns whose candidates all score alike")
                continue
            chosen, rejected, columns = pair
            facts = source.facts_of(row, row.turns[number].speaker)
            yield (
                split,
                {
                    "prompt": list(source.prompt(row, number, facts)),
                    "chosen": [Message(role="assistant", content=texts[chosen])],
                    "rejected": [Message(role="assistant", content=texts[rejected])],
                    "chosen_row_id": row.row_id,
                    "rejected_row_id": row.row_id,
                    "turn": number,
                    **columns,
                },
            )


def of_slots(source: Source, by: By) -> Iterator[tuple[str, Example]]:
    """A pair for each slot whose dialogues can be told apart."""
    for split, rows in slots(source):
        replies = [Scored(place, _text(row), _worth(row, by)) for place, row in enumerate(rows)]
        pair = _pair(replies, by)
        if pair is None:
            source.leave_out("slots whose dialogues all score alike")
            continue
        best, worst, columns = rows[pair[0]], rows[pair[1]], pair[2]
        same = takewhile(lambda both: both[0].text == both[1].text, zip(best.turns, worst.turns, strict=False))
        number = len(list(same))
        if number >= min(len(best.turns), len(worst.turns)):
            source.leave_out("slots of which one dialogue begins as the other goes on")
            continue
        theirs = set(source.facts_of(worst, number % 2))
        facts = [fact for fact in source.facts_of(best, number % 2) if fact in theirs]
        yield (
            split,
            {
                "prompt": list(source.prompt(best, number, facts)),
                "chosen": _rest(best, number),
                "rejected": _rest(worst, number),
                "chosen_row_id": best.row_id,
                "rejected_row_id": worst.row_id,
                "turn": number,
                **columns,
            },
        )


def _pair(replies: Sequence[Scored], by: By) -> tuple[int, int, Example] | None:
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
    """The score of a dialogue, which `slots` sees to that it has."""
    scores = row.consistency
    assert scores is not None
    if by == "apc":
        return scores.apc / scores.profile_length
    return scores.entailed_share - scores.contradicted_share


def _text(row: Row) -> str:
    return "\n".join(turn.text for turn in row.turns)


def _rest(row: Row, number: int) -> list[Message]:
    """The turns from one on, up to the last of who says it."""
    last = len(row.turns) - (len(row.turns) - number + 1) % 2
    return [
        Message(role="assistant" if turn.speaker == number % 2 else "user", content=turn.text)
        for turn in row.turns[number:last]
    ]
