"""Prompts: Jinja templates, each with a `system` and a `user` block; those of the factory's own methods lie here.

A block `examples`, where there is one, shows how others were answered: what was asked and, behind `=> `, the answer in
one line. Each is a message of the user's and one of the model's before the real one, which even small models follow.

Which names a template may use, its method says. Templates run in Jinja's sandbox, since a job may bring its own; an
undefined name is an error, never an empty string.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from factory.engines import Message

_ANSWERED = re.compile(r"(.+?)^=> ([^\n]*)$", re.DOTALL | re.MULTILINE)
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


class PromptError(Exception):
    """A template that cannot be parsed or rendered: says which and why."""


def bundled(name: str) -> str:
    """The text of one of the factory's own templates."""
    return Path(__file__).with_name(f"{name}.j2").read_text(encoding="utf-8")


def is_bundled(text: str) -> bool:
    """Whether a text is that of one of them."""
    return any(path.read_text(encoding="utf-8") == text for path in Path(__file__).parent.glob("*.j2"))


@cache
def _parsed(text: str) -> Template:
    try:
        return _ENVIRONMENT.from_string(text)
    except TemplateError as error:
        raise PromptError(f"prompt template, line {getattr(error, 'lineno', '?')}: {error}") from error


@cache
def _template(text: str) -> Template:
    template = _parsed(text)
    missing = {"system", "user"} - template.blocks.keys()
    if missing:
        raise PromptError(f"prompt template has no {{% block {sorted(missing)[0]} %}}; it needs `system` and `user`")
    return template


def check(text: str, variables: Collection[str]) -> None:
    """Raise PromptError unless the text is a template with both blocks that uses only these names."""
    _template(text)
    _refuse_others(text, variables)


def check_text(text: str, variables: Collection[str]) -> None:
    """The same of a template without blocks, which is a part of a message."""
    _parsed(text)
    _refuse_others(text, variables)


def _refuse_others(text: str, variables: Collection[str]) -> None:
    unknown = sorted(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)) - set(variables))
    if unknown:
        near = difflib.get_close_matches(unknown[0], variables, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PromptError(f"{{{{ {unknown[0]} }}}} is unknown; {hint}Known: {', '.join(sorted(variables))}")


def names_in(text: str) -> frozenset[str]:
    """The names that a template uses, attributes and keys too: `attributes` of a speaker counts as itself."""
    tree = _ENVIRONMENT.parse(text)
    used = {node.attr for node in tree.find_all(nodes.Getattr)} | {node.name for node in tree.find_all(nodes.Name)}
    return frozenset(used | {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)})


def render(text: str, **values: object) -> tuple[Message, ...]:
    """The messages of a template: the system's, those of its examples, and the user's. Raises PromptError, naming what
    the template lacks."""
    template = _template(text)
    names = [name for name in ("system", "examples", "user") if name in template.blocks]
    try:
        context = template.new_context(dict(values))
        parts = {name: "".join(template.blocks[name](context)).strip() for name in names}
    except TemplateError as error:
        raise PromptError(f"prompt template: {error}") from error
    system, user = Message(role="system", content=parts["system"]), Message(role="user", content=parts["user"])
    return system, *_examples(parts.get("examples", "")), user


def render_text(text: str, **values: object) -> str:
    """The text of a template without blocks. Raises PromptError, naming what the template lacks."""
    try:
        return _parsed(text).render(values).strip()
    except TemplateError as error:
        raise PromptError(f"prompt template: {error}") from error


def _examples(text: str) -> Iterator[Message]:
    end = 0
    for found in _ANSWERED.finditer(text):
        yield Message(role="user", content=found[1].strip())
        yield Message(role="assistant", content=found[2].strip())
        end = found.end()
    if text[end:].strip():
        raise PromptError("prompt template: the block examples ends with a question, without `=> ` and its answer")
