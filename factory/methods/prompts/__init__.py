"""The prompts: one Jinja template a task, each with a `system` and a `user` block.

Templates run in Jinja's sandbox, since a job may bring its own; an undefined name is an error, never an empty string.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from factory.engines import Message

Task = Literal["expand", "converse", "script", "extract"]

VARIABLES: dict[Task, frozenset[str]] = {
    "expand": frozenset({"facts", "count"}),
    "converse": frozenset({"facts", "attributes", "role", "partner_role", "topic"}),
    "script": frozenset({"speakers", "topic", "opening", "turns"}),
    "extract": frozenset({"utterance", "form", "relations"}),
}
"""What the stages pass to a template."""

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


class PromptError(Exception):
    """A template that cannot be parsed or rendered: says which and why."""


def bundled(task: Task) -> str:
    """The text of the factory's own template for a task."""
    return Path(__file__).with_name(f"{task}.j2").read_text(encoding="utf-8")


@cache
def _template(text: str) -> Template:
    try:
        template = _ENVIRONMENT.from_string(text)
    except TemplateError as error:
        raise PromptError(f"prompt template, line {getattr(error, 'lineno', '?')}: {error}") from error
    missing = {"system", "user"} - template.blocks.keys()
    if missing:
        raise PromptError(f"prompt template has no {{% block {sorted(missing)[0]} %}}; it needs `system` and `user`")
    return template


def check(text: str, task: Task) -> None:
    """Raise PromptError unless the text is a template with both blocks that uses only names its task has."""
    _template(text)
    unknown = sorted(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)) - VARIABLES[task])
    if unknown:
        near = difflib.get_close_matches(unknown[0], VARIABLES[task], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise PromptError(f"{{{{ {unknown[0]} }}}} is unknown; {hint}Known: {', '.join(sorted(VARIABLES[task]))}")


def names_in(text: str) -> frozenset[str]:
    """The names that a template uses, attributes and keys too: `attributes` of a speaker counts as itself."""
    tree = _ENVIRONMENT.parse(text)
    used = {node.attr for node in tree.find_all(nodes.Getattr)} | {node.name for node in tree.find_all(nodes.Name)}
    return frozenset(used | {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)})


def render(text: str, **values: object) -> tuple[Message, Message]:
    """The system and the user message of a template. Raises PromptError, naming what the template lacks."""
    template = _template(text)
    try:
        context = template.new_context(dict(values))
        system, user = ("".join(template.blocks[name](context)).strip() for name in ("system", "user"))
    except TemplateError as error:
        raise PromptError(f"prompt template: {error}") from error
    return Message(role="system", content=system), Message(role="user", content=user)
