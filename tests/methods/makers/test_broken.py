from __future__ import annotations

import pytest

from factory.engines import Completion
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
        ("I love to play [insert video game name].", "turn_marker"),
        ("Hi [Your Name], I am a cook.", "turn_marker"),
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
    assert read(Completion(text, 9, "stop"), EARLIER).fault == fault


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
        "That is funny [laughs].",
    ],
)
def test_what_people_say_is_not_broken(text):
    assert read(Completion(text, 9, "stop"), EARLIER).fault is None


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
    assert read(Completion(text, 9, "length"), []).fault == fault
    assert read(Completion(text, 9, "stop"), []).fault is None


def test_nothing_behind_the_end_is_said():
    said = read(Completion("Bye! [end] User: hello", 9, "stop"), [])
    assert (said.text, said.ended, said.fault) == ("Bye!", True, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Customer: Hi there!", "Hi there!"),
        ("**Customer:** Hi there!", "Hi there!"),
        ("[customer]: Hi there!", "Hi there!"),
        ("(Customer) Hi there!", "Hi there!"),
        ("Response: Hi there!", "Hi there!"),
        ("Hi there!\nShop assistant: Hello!\nCustomer: I want tea.", "Hi there!"),
        ("Customer: Hi there!\n\n**Shop Assistant**: Hello!", "Hi there!"),
        ("Hi there!\nCustomer: I want tea.", "Hi there!"),
        ("I am a customer: I pay.", "I am a customer: I pay."),
        ("Customers: they pay.", "Customers: they pay."),
    ],
)
def test_labels_of_the_own_roles_are_taken_off_and_the_other_s_turn_cut_off(text: str, said: str) -> None:
    read_as = read(Completion(text, 9, "stop"), [], ("customer",), ("shop assistant",))
    assert (read_as.text, read_as.fault) == (said, None)


def test_a_turn_that_is_the_other_s_is_broken() -> None:
    assert read(Completion("Shop assistant: Hello!", 9, "stop"), [], ("customer",), ("shop assistant",)).fault == (
        "turn_marker"
    )


def test_what_was_cut_off_at_a_label_is_whole() -> None:
    said = read(
        Completion("I pay ten\nShop assistant: Thank you and", 9, "length"), [], ("customer",), ("shop assistant",)
    )
    assert (said.text, said.fault) == ("I pay ten", None)


def test_a_thought_without_a_turn_is_broken_and_named_so() -> None:
    assert read(Completion("", 9, "length", reasoning="She sails."), []).fault == "turn_thought"
    assert read(Completion("Do you sail?", 9, "stop", reasoning="She sails."), []).fault is None


@pytest.mark.parametrize("text", ["Bye! [END]", "Bye! **[END]**", "Bye!\n`[end]`"])
def test_the_end_takes_its_marks_with_it(text: str) -> None:
    said = read(Completion(text, 9, "stop"), [])
    assert (said.text, said.ended, said.fault) == ("Bye!", True, None)
