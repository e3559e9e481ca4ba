"""Language-model examples are the messages that the stages send."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.methods.makers.triples import RELATIONS
from factory.methods.prompts import bundled, render
from factory.training import examples
from factory.training.examples import (
    NOTHING,
    converse,
    draw_converse,
    draw_example,
    draw_expand,
    draw_extract,
    read_talk,
    read_wild,
)
from factory.training.grammar import held_values

seeds = st.integers(0, 2**32)


@pytest.fixture
def own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts in the bundled wording alone."""
    monkeypatch.setattr(examples, "REWORDED", 0.0)


def test_the_opener_sees_the_prompt_to_begin_and_the_other_does_not() -> None:
    facts, turns = ["I am a nurse."], ["Hi!", "Hello!", "I am a nurse.", "Bye! [END]"]
    system, begin = render(bundled("converse"), role=None, partner_role=None, facts=facts, topic=None)
    opener, other = converse(facts, turns, 0).messages, converse(facts, turns, 1).messages
    assert opener[:2] == (system, begin)
    assert [m["role"] for m in opener] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert other[0] == system
    assert [m["role"] for m in other] == ["system", "user", "assistant", "user", "assistant"]
    assert [m["content"] for m in other[1:]] == turns


def _lines(text: str) -> list[str]:
    return [line[2:] for line in text.splitlines() if line.startswith("- ")]


@pytest.mark.usefixtures("own_words")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds)
def test_a_drawn_dialogue_has_the_stage_prompt(seed: int) -> None:
    messages = draw_converse(random.Random(seed), "train", read_talk(None)).messages
    facts = _lines(messages[0]["content"])
    lines = dict(line.split(": ", 1) for line in messages[0]["content"].splitlines() if ": " in line and line[0] != "-")
    roles = {"role": lines.get("Your role"), "partner_role": lines.get("You are talking to")}
    assert messages[0] == render(bundled("converse"), **roles, facts=facts, topic=lines.get("Talk about"))[0]
    assert all(a["role"] != b["role"] for a, b in zip(messages[1:], messages[2:], strict=False))


@pytest.mark.usefixtures("own_words")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds)
def test_a_drawn_expansion_has_the_stage_prompt_and_answers_what_it_asks(seed: int) -> None:
    *prompt, answer = draw_expand(random.Random(seed), "train", read_talk(None)).messages
    given_facts, new = _lines(prompt[1]["content"]), _lines(answer["content"])
    assert tuple(prompt) == render(bundled("expand"), facts=given_facts, count=len(new))
    assert len(new) == len(answer["content"].splitlines())
    assert not set(new) & set(given_facts)


@pytest.mark.usefixtures("own_words")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds)
def test_a_drawn_extraction_has_the_stage_prompt_and_a_readable_answer(seed: int) -> None:
    *prompt, answer = draw_extract(random.Random(seed), "train", read_talk(None)).messages
    utterance = prompt[1]["content"].removeprefix("Message: ")
    form = "triple" if " | relation | " in prompt[0]["content"] else "sentence"
    assert tuple(prompt) == render(bundled("extract"), form=form, relations=list(RELATIONS), utterance=utterance)
    lines = answer["content"].splitlines()
    if form == "triple" and lines != [NOTHING]:
        assert all(line.split(" | ")[0] == "I" and line.split(" | ")[1] in RELATIONS for line in lines)
    else:
        assert lines == [NOTHING] or all(line.startswith("- ") for line in lines)


def _prompt(task: str) -> str:
    """Everything that the bundled prompt of a task can say of its own."""
    rendered = {
        "converse": [{"role": "R", "partner_role": "P", "facts": ["F"], "topic": "T", "attributes": {}}],
        "expand": [{"facts": ["F"], "count": 3}],
        "extract": [{"form": form, "relations": ["like"], "utterance": "U"} for form in ("triple", "sentence")],
    }[task]
    return "\n".join(message["content"] for values in rendered for message in render(bundled(task), **values))


@pytest.mark.parametrize("task", examples.instructions())
def test_all_that_is_reworded_stands_in_the_prompt(task: str) -> None:
    assert all(phrase in _prompt(task) for phrase in examples.instructions()[task])


@given(seeds)
def test_rewording_changes_the_prompt_and_nothing_else(seed: int) -> None:
    facts, turns = (
        ["I am a nurse.", "About you: nothing."],
        ["Talk about: jobs", "Start the conversation.", "Bye! [END]"],
    )
    for speaker, prompts in ((0, 2), (1, 1)):
        plain = converse(facts, turns, speaker, "work", ("a friend", "a guest"))
        other = examples.reworded(plain, "converse", random.Random(seed))
        assert other.messages[prompts:] == plain.messages[prompts:]
        system = other.messages[0]["content"]
        assert _lines(system) == facts
        assert all(word in system for word in ("[END]", "a friend", "a guest", "work"))


def test_rewording_happens_in_every_task() -> None:
    texts = {task: set[str]() for task in examples.instructions()}
    for seed in range(40):
        rng = random.Random(seed)
        for task, draw in (("converse", draw_converse), ("expand", draw_expand), ("extract", draw_extract)):
            texts[task].add(draw(rng, "train", read_talk(None)).messages[0]["content"].split(".")[0])
    assert all(len(wordings) > 5 for wordings in texts.values())


def test_wild_values_are_words_and_activities_of_captions_but_no_held_ones(tmp_path: Path) -> None:
    path = tmp_path / "snli.csv"
    rows = [
        ("Two men are riding a canoe.", "A man is holding sharks."),
        ("A man is riding a canoe near a shark.", "A canoe."),
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["premise", "hypothesis"])
        writer.writerows(rows)
    wild = read_wild(path)
    assert "sharks" in held_values()
    assert wild.words == ("canoe", "man", "riding")
    assert wild.activities == ("riding a canoe",)
    assert read_wild(None).words == ()


@given(seeds, st.floats(0, 1))
def test_drawing_is_a_function_of_the_seed(seed: int, progress: float) -> None:
    assert draw_example(random.Random(seed), progress) == draw_example(random.Random(seed), progress)


def test_a_published_corpus_loses_its_placeholders(tmp_path: Path) -> None:
    good = "\n".join(f"User {1 + i % 2}: This is turn {i}." for i in range(6))
    rows = [
        ("I like tea.\nMy name is [name].", "i am a nurse.", good),
        ("I like tea.", "I ski.", good.replace("turn 3", "[user 1's name]")),
    ]
    path = tmp_path / "corpus.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user 1 personas", "user 2 personas", "Best Generated Conversation"])
        writer.writerows(rows)
    corpus = read_talk(path, skip=0)
    assert corpus.facts == ("I like tea.", "I am a nurse.", "I ski.")
    assert len(corpus.dialogues) == 1
    assert corpus.dialogues[0][1][-1] == "This is turn 5. [END]"
