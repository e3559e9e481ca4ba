"""NLI pairs: labels follow from the rules, and held-out forms stay out of training."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.training import grammar, pairs
from factory.training.grammar import Split, attributes, draw
from factory.training.pairs import LABELS, _forms, draw_pair

seeds = st.integers(0, 2**32)


@given(seeds, st.sampled_from(["train", "held"]), st.booleans())
def test_a_pair_is_two_texts_and_a_label(seed: int, split: str, held_forms: bool) -> None:
    pair = draw_pair(random.Random(seed), split, held_forms)  # type: ignore[arg-type]
    assert pair.label in LABELS
    assert pair.premise.strip()
    assert pair.hypothesis.strip()
    assert not set(pair.premise + pair.hypothesis) & set("{}|")


@given(seeds)
def test_a_contradiction_never_repeats_its_premise(seed: int) -> None:
    pair = draw_pair(random.Random(seed))
    if pair.label == "contradiction":
        assert pair.premise not in pair.hypothesis


@given(seeds)
def test_training_pairs_are_made_of_training_values(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        drawn: list[str] = []

        def recorded(kind: str, rng: random.Random, split: Split) -> str:
            drawn.append(split)
            return draw(kind, rng, split)

        for module in (grammar, pairs):
            patch.setattr(module, "draw", recorded)
        draw_pair(random.Random(seed), "train")
        assert set(drawn) <= {"train"}
        drawn.clear()
        draw_pair(random.Random(seed), "held")
        assert set(drawn) <= {"held"}


def test_template_families_do_not_overlap() -> None:
    for attribute in attributes().values():
        for forms in (attribute.fact, attribute.say, attribute.denial):
            if len(forms) > 2:
                assert not set(_forms(forms, True)) & set(_forms(forms, False))
                assert set(_forms(forms, True)) | set(_forms(forms, False)) == set(forms)
