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
