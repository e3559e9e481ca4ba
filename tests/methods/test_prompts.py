from __future__ import annotations

import pytest

from factory.methods.prompts import PromptError, bundled, check, is_bundled, render

BOTH = "{% block system %}About you: {{ facts[0] }}{% endblock %}{% block user %}%s{% endblock %}"


def test_a_bundled_template_is_told_from_others() -> None:
    assert is_bundled(bundled("converse"))
    assert not is_bundled(BOTH)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{% block system %}hi{% endblock %}", "no {% block user %}"),
        ("{% block system %}hi", "line 1"),
        (BOTH.replace("%s", "{{ fact }}"), r"{{ fact }} is unknown; did you mean facts\? Known: attributes, facts"),
        (BOTH.replace("%s", "{{ facts | nosuch }}"), "nosuch"),
    ],
)
def test_a_template_that_cannot_work_is_refused_when_it_is_read(text: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        check(text, {"attributes", "facts", "role", "topic"})


def test_rendering_fills_both_blocks() -> None:
    system, user = render(BOTH.replace("%s", "{{ topic }}"), facts=["I have a dog.", "I sing."], topic="pets")
    assert system == {"role": "system", "content": "About you: I have a dog."}
    assert user == {"role": "user", "content": "pets"}


@pytest.mark.parametrize("attack", ["{{ facts.__class__.__mro__ }}", "{{ facts.append('x') }}", "{{ missing.name }}"])
def test_templates_are_sandboxed_and_strict(attack: str) -> None:
    with pytest.raises(PromptError):
        render(BOTH.replace("%s", attack), facts=["I have a dog."])


EXAMPLES = """{% block system %}S{% endblock %}{% block examples %}
A {{ x }}
second line
=> {"a": 1}
B
=> b
{% endblock %}{% block user %}U{% endblock %}"""


def test_examples_are_messages_before_the_question() -> None:
    said = [(message["role"], message["content"]) for message in render(EXAMPLES, x="1")]
    assert said == [
        ("system", "S"),
        ("user", "A 1\nsecond line"),
        ("assistant", '{"a": 1}'),
        ("user", "B"),
        ("assistant", "b"),
        ("user", "U"),
    ]


def test_an_example_without_an_answer_is_refused() -> None:
    with pytest.raises(PromptError, match="block examples ends with a question"):
        render(EXAMPLES.replace("=> b\n", ""), x="1")
