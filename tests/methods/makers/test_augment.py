from __future__ import annotations

from copy import deepcopy

from factory.methods.makers.augment import Augment, AugmentParams
from factory.store.records import Fact
from tests.methods.parts import a_row, run

BASE = {"probability": 1.0, "count": 2, "max_similarity": 0.75, "contradiction": 0.5}
MOVES = [{}, {"probability": 0.5}, {"count": 5}, {"max_similarity": 0.25}, {"contradiction": 0.25}]

ALWAYS = AugmentParams(probability=1)


def with_donors(row, *texts):
    row.donors = [[Fact(text, "seed", f"donor{n}") for n, text in enumerate(texts)], []]
    return row


def test_distractors_carry_their_origin_and_their_donor(kit_of):
    row = run(Augment(ALWAYS), with_donors(a_row(["I have a dog."]), "I play the violin.", "I like tea."), kit_of())
    distractors = row.speakers[0].facts[1:]
    assert distractors[0] == Fact("I play the violin.", "augment", "donor0")
    assert row.speakers[1].facts == []


def test_what_is_held_or_contradicts_is_no_distractor(kit_of):
    row = a_row(["I have a dog.", "I live in Texas."])
    row.speakers[0].facts.append(Fact("I love spicy food.", "extract", "s0", 2))
    donors = ["I have a dog", "I live in Norway.", "I do not like spicy food.", "I play the violin."]
    run(Augment(ALWAYS), with_donors(row, *donors), kit_of())
    assert row.speakers[0].facts_of("augment") == ["I play the violin."]


def test_the_draw_gives_the_share_and_the_counts_asked_for(kit_of):
    donors = ["I play the violin.", "I collect stamps.", "I read comics."]
    kit = kit_of()
    stage = Augment(AugmentParams(probability=0.25, count=2))
    counts = [
        len(run(stage, with_donors(a_row(row_id=str(number)), *donors), kit).speakers[0].facts) for number in range(200)
    ]
    assert 30 <= sum(count > 0 for count in counts) <= 70
    assert set(counts) == {0, 1, 2}


def test_a_row_is_always_drawn_alike_and_running_again_is_running_once(kit_of):
    kit, stage = kit_of(), Augment(AugmentParams(probability=0.5))
    for number in range(10):
        row = with_donors(a_row(["I have a dog."], row_id=str(number)), "I play the violin.", "I collect stamps.")
        once = run(stage, deepcopy(row), kit)
        assert run(stage, deepcopy(row), kit) == once
        assert run(stage, deepcopy(once), kit) == once
