from __future__ import annotations

import asyncio
import random
import statistics

import numpy as np
import pytest

from factory.methods.example import scored
from factory.methods.scores.portrayal import Portrayal, PortrayalParams, identifiability
from factory.store.records import Fact, Row
from tests.methods.parts import a_row

BASE: dict[str, object] = {"relevance": 0.1}
MOVES: list[dict[str, object]] = [{}, {"relevance": 0.5}]

DOGS, NURSE, SKI = "I have two dogs.", "I am a nurse.", "I ski every winter."
TALK = [
    "I work as a nurse in a hospital.",
    "Nice. I go skiing each winter.",
    "The weather was bad today.",
    "Really? It was sunny here.",
]


def a_talk(*extracted: tuple[int, str], turns: list[str] | None = None) -> Row:
    row = a_row([DOGS, NURSE], [SKI], turns=turns or TALK)
    for side, text in extracted:
        row.speakers[side].facts.append(Fact(text, "extract", f"s{side}", turn=side))
    return row


def measured(row: Row, kit_of):
    return asyncio.run(Portrayal(PortrayalParams()).score(row, kit_of()))


def test_the_density_is_the_share_of_turns_that_state_an_own_fact(kit_of):
    found = measured(a_talk(), kit_of)
    assert found.values["density"] == 0.5
    assert [one.values[0] for one in found.details if one.kind == "speaker"] == [0.5, 0.5]
    assert [one.values for one in found.details if one.kind == "turn"] == [[1.0], [1.0], [0.0], [0.0]]
    swapped = measured(a_talk(turns=[TALK[1], TALK[0], *TALK[2:]]), kit_of)
    assert swapped.values["density"] == 0


def test_a_fact_in_a_long_turn_is_found(kit_of):
    padding = " ".join(["The weather was bad today, and we stayed inside and read."] * 8)
    found = measured(a_talk(turns=[f"{padding} I work as a nurse in a hospital. {padding}", *TALK[1:]]), kit_of)
    assert found.values["density"] in (0.25, 0.5)  # embeddings may not see it, which the relevance stands for


def test_profiles_match_both_ways(kit_of):
    found = measured(a_talk((0, "I work as a nurse."), (1, "I ski each winter."), (1, "I have a brother.")), kit_of)
    values = found.values
    assert (values["precision"], values["recall"]) == ((1 + 1 / 2) / 2, (1 / 2 + 1) / 2)
    assert values["f1"] == pytest.approx(2 / 3)
    assert [one.values[1:4] for one in found.details if one.kind == "speaker"] == [
        [1, 0.5, pytest.approx(2 / 3)], [0.5, 1, pytest.approx(2 / 3)],
    ]  # fmt: skip


def test_contradicting_profiles_do_not_match(kit_of):
    values = measured(a_talk((0, "I have never had a dog."), (0, "I am not a nurse.")), kit_of).values
    assert (values["precision"], values["recall"], values["f1"]) == (0, 0, 0)


def test_without_facts_nothing_is_told_of_them():
    values = scored(Portrayal, a_row(turns=TALK)).values
    assert [values[name] for name in ("density", "precision", "recall", "f1")] == [None] * 4
    assert scored(Portrayal, a_talk()).values["precision"] is None
    assert scored(Portrayal, a_row()).missing == "input_missing"


def two_voices(count: int, apart: float, chance: random.Random) -> np.ndarray:
    """Embeddings of turns in alternation, whose speakers are so far apart."""
    drawn = np.array([[chance.gauss(0, 1) for _ in range(8)] for _ in range(count)], np.float32)
    drawn[::2, 0] += apart
    drawn[1::2, 1] += apart
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_speakers_who_differ_are_recognised():
    found = identifiability(two_voices(10, 9.0, random.Random(1)), [0, 1] * 5)
    assert min(found) > 0.3
    assert max(found) <= 0.75


@pytest.mark.parametrize("counts", [(10, 10), (3, 15), (2, 2)])
def test_shuffling_speakers_takes_identifiability_to_chance(counts):
    chance, found = random.Random(7), []
    speakers = [0] * counts[0] + [1] * counts[1]
    for _ in range(200):
        vectors = two_voices(sum(counts), 3.0, chance)
        found += identifiability(vectors, chance.sample(speakers, len(speakers)))
    assert abs(statistics.mean(found)) < 4 * statistics.stdev(found) / len(found) ** 0.5
    assert statistics.mean(identifiability(two_voices(20, 3.0, chance), [0, 1] * 10)) > 0.3


def test_a_speaker_of_one_turn_cannot_be_recognised():
    assert identifiability(two_voices(3, 1.0, random.Random(0)), [0, 1, 0]) == [None, None]
    assert identifiability(two_voices(3, 1.0, random.Random(0)), [0, 0, 0]) == [None, None]
