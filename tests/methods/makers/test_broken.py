from __future__ import annotations

import pytest

from factory.methods.makers.broken import read

EARLIER = ["I walk my dog in the park every day.", "Thanks!"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "turn_empty"),
        ("  \n", "turn_empty"),
        ("...", "turn_empty"),
        ("[END]", "turn_empty"),
        ("<|im_start|>assistant", "turn_marker"),
        ("Hi there!\nUser: hello", "turn_marker"),
        ("Speaker 1: Hi there!", "turn_marker"),
        ("**Person B:** Hi there!", "turn_marker"),
        ("Assistant: Hi there!", "turn_marker"),
        ("Hi there! </s>", "turn_marker"),
        ("As an AI language model, I have no dog.", "turn_refusal"),
        ("Well, I'm an AI, so I don't eat.", "turn_refusal"),
        ("I am a large language model trained to chat.", "turn_refusal"),
        ("I can’t assist with that request.", "turn_refusal"),
        ("I'm sorry, but I can't continue this.", "turn_refusal"),
        ("My programming doesn't let me eat.", "turn_refusal"),
        ("I walk my dog in the park every day.", "turn_repeat"),
        ("i walk my DOG in the park, every day", "turn_repeat"),
        ("Thanks", "turn_repeat"),
        ("I like superhero superhero Superhero superhero.", "turn_loop"),
        ("I went to the park, to the park, to the park, to the park", "turn_loop"),
    ],
)
def test_a_broken_turn_is_named(text, fault):
    assert read(text, "stop", EARLIER).fault == fault


@pytest.mark.parametrize(
    "text",
    [
        "I work as an AI engineer.",
        "I am an AI researcher, and I train language models.",
        "I can't help laughing at my dog.",
        "I'm sorry to hear that.",
        "I am sorry, but I can't eat peanuts, I'm allergic.",
        "I do my programming homework at night.",
        "My programming is getting better.",
        "I think it's simple: walk more.",
        "My user name is Rex, what is yours?",
        "I walk my cat in the park every day of the week.",
        "Thanks a lot!",
        "Ha ha ha ha ha, that is very, very, very funny.",
        "I like tea, I like coffee, I like milk, I like juice.",
        "日本が好きです。",
    ],
)
def test_what_people_say_is_not_broken(text):
    assert read(text, "stop", EARLIER).fault is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("I have a dog and a", "turn_truncated"),
        ("I have a dog.", None),
        ('He said "come in!"', None),
        ("I have a dog [END]", None),
    ],
)
def test_at_the_token_limit_a_sentence_must_be_over(text, fault):
    assert read(text, "length", []).fault == fault
    assert read(text, "stop", []).fault is None


def test_nothing_behind_the_end_is_said():
    said = read("Bye! [end] User: hello", "stop", [])
    assert (said.text, said.ended, said.fault) == ("Bye!", True, None)
