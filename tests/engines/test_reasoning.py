from __future__ import annotations

import pytest

from factory.engines.reasoning import opens_thought, split


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("Do you sail?", "Do you sail?", None),
        (" Do you sail? ", " Do you sail? ", None),
        ("<think>\nShe sails.\n</think>\n\nDo you sail?", "Do you sail?", "She sails."),
        ("<THINKING>She sails.</THINKING>Do you sail?", "Do you sail?", "She sails."),
        ("[THINK]She sails.[/THINK]Do you sail?", "Do you sail?", "She sails."),
        ("She sails.\n</think>\nDo you sail?", "Do you sail?", "She sails."),
        ("<think></think>Do you sail?", "Do you sail?", ""),
        ("<think>She sails, so", "", "She sails, so"),
        ("Hi! <think>She sails.</think> Do you sail?", "Hi!  Do you sail?", "She sails."),
        ("<think>One.</think>Do <think>Two.</think>you sail?", "Do you sail?", "One.\nTwo."),
        (
            "<|channel|>analysis<|message|>She sails.<|end|><|start|>assistant<|channel|>final<|message|>Do you sail?",
            "Do you sail?",
            "She sails.",
        ),
        ("<|channel|>analysis<|message|>She sails, so", "", "She sails, so"),
        ("<|channel|>final<|message|>Do you sail?<|return|>", "Do you sail?", None),
    ],
)
def test_what_is_thought_and_what_is_said(text: str, said: str, thought: str | None) -> None:
    assert split(text) == (said, thought)


def test_a_thought_that_the_prompt_opened() -> None:
    assert split("She sails.</think>Do you sail?", opened=True) == ("Do you sail?", "She sails.")
    assert split("She sails, so", opened=True) == ("", "She sails, so")


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("<|im_start|>assistant\n", False),
        ("Never write <think> here.<|im_start|>assistant\n", False),
    ],
)
def test_a_prompt_that_ends_within_a_thought(prompt: str, opens: bool) -> None:
    assert opens_thought(prompt) == opens
