"""NLI pairs: labels follow from the rules, and held-out forms stay out of training."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from factory.training.grammar import attributes, held_values
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
def test_training_pairs_hold_no_held_value_of_their_premise(seed: int) -> None:
    words = draw_pair(random.Random(seed)).premise
    assert not any(f" {value}." in words for value in held_values())


def test_template_families_do_not_overlap() -> None:
    for attribute in attributes().values():
        for forms in (attribute.fact, attribute.say, attribute.denial):
            if len(forms) > 2:
                assert not set(_forms(forms, True)) & set(_forms(forms, False))
                assert set(_forms(forms, True)) | set(_forms(forms, False)) == set(forms)
