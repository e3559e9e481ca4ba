"""Reading YAML files into plain data, with the line of each field: `extends` and `${VARIABLE}`.

A file may name one that it extends: mappings are merged, field by field, and anything else in the file takes the place
of what it extends. `${NAME}` stands for an environment variable, `${NAME:-default}` for one that may be missing, and
`$${` for `${` itself. PyYAML composes a node tree with marks beside the plain data, which tell the lines. Limitations:
anchors are followed, but an error inside one is reported at the line that uses it, and no file sees the anchors of one
that it extends. A variable whose name says that it holds a secret is refused: what a job file says is stored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from factory.base.redact import names_a_secret

Location = tuple[int | str, ...]
Lines = dict[Location, str]
EXTENDS = "extends"

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}|\$\{(?P<wrong>[^}]*)\}?")


class YamlError(Exception):
    """A file that cannot be used: one line per mistake, each with file, line, field and what would be right."""


class Loader(yaml.SafeLoader):
    """Safe YAML with dates as text, as in YAML 1.2: no field is a date, but a topic or a path may look like one."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- an attribute of PyYAML, which declares it of the instance
        first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def dotted(location: Location) -> str:
    """A field's name as people write it: makers.converse.turns."""
    return ".".join(str(part) for part in location)


def read(path: Path, fields: Sequence[str], above: tuple[Path, ...] = ()) -> tuple[dict[str, Any], Lines]:
    """The data of a file and of those that it extends, and the line of each field: "line 3", or "line 3 of base.yaml".
    `fields` are those of the whole file, for messages; `above` are the files that led here. Raises YamlError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise YamlError(f"{path}: {error.strerror or error}; name an existing YAML file") from error
    except UnicodeDecodeError as error:
        raise YamlError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
    data, lines = _parse(path, text, fields)
    if EXTENDS not in data:
        return data, lines
    where = f"{path}, {lines.pop((EXTENDS,))}: {EXTENDS}"
    given = data.pop(EXTENDS)
    if not isinstance(given, str):
        raise YamlError(f"{where}: the path of one other file is wanted, from the folder of this one")
    base = path.parent / given
    if base.resolve() in (one.resolve() for one in (*above, path)):
        raise YamlError(f"{where}: {given} extends this file in turn; leave one of the two out")
    if not base.is_file():
        raise YamlError(f"{where}: there is no file {base}; the path starts at the folder of {path.name}")
    merged, known = read(base, fields, (*above, path))
    known = {location: line if " of " in line else f"{line} of {base}" for location, line in known.items()}
    _merge(merged, data, known, lines, ())
    return merged, known


def _merge(below: dict[str, Any], data: dict[str, Any], known: Lines, lines: Lines, at: Location) -> None:
    """Lay `data` over what is below, in place, and its lines over the known ones."""
    for key, value in data.items():
        here = (*at, key)
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            known |= {here: lines[here]} if here in lines else {}  # one of a merge key has no line of its own
            below[key] = dict(below[key])  # an alias may lead to the same mapping from elsewhere
            _merge(below[key], value, known, lines, here)
            continue
        below[key] = value
        for old in [one for one in known if one[: len(here)] == here]:
            del known[old]
        known |= {one: line for one, line in lines.items() if one[: len(here)] == here}


def _parse(path: Path, text: str, fields: Sequence[str]) -> tuple[dict[str, Any], Lines]:
    lines: Lines = {}
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is not None:  # before its merge keys are put in the place of what they stand for
            _mark(path, node, (), lines, set())
            _fill(path, loader, node, set())
        data = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise YamlError(f"{path}{where}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(data, dict) or node is None:
        raise YamlError(f"{path}: the file is a mapping with the fields {', '.join(fields)}")
    return data, lines


def _mark(path: Path, node: yaml.Node, location: Location, lines: Lines, seen: set[int]) -> None:
    lines.setdefault(location, f"line {node.start_mark.line + 1}")
    if id(node) in seen:  # an alias: walked once, or a few nested ones would be walked billions of times
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):  # no field has such a name, and a dict no such key
                continue
            here = (*location, key.value)
            if here in lines:
                raise YamlError(
                    f"{path}, line {key.start_mark.line + 1}: {dotted(here)} is given twice ({lines[here]})"
                )
            lines[here] = f"line {key.start_mark.line + 1}"
            _mark(path, value, here, lines, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _mark(path, value, (*location, index), lines, seen)


def _fill(path: Path, loader: Loader, node: yaml.Node, seen: set[int]) -> None:
    """Put the values of variables in their place."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode) and "${" in node.value:
        where = f"{path}, line {node.start_mark.line + 1}"
        node.value = _VARIABLE.sub(lambda found: _value(found, where), node.value)
        if node.style is None:  # without quotes, it may now be a number
            node.tag = _tag(loader, node.value)
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            _fill(path, loader, value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _fill(path, loader, value, seen)


def _tag(loader: Loader, value: str) -> str:
    """The tag of a value without quotes; the signs of YAML's own, `<<` and `=`, are text."""
    tag = str(loader.resolve(yaml.ScalarNode, value, (True, False)))  # type: ignore[no-untyped-call]
    return "tag:yaml.org,2002:str" if tag.endswith((":merge", ":value")) else tag


def _value(found: re.Match[str], where: str) -> str:
    if found[0] == "$${":
        return "${"
    name = found["name"]
    if name is None:
        raise YamlError(f"{where}: {found[0]}: write ${{NAME}}, ${{NAME:-default}}, or $${{ for these characters")
    if names_a_secret(name):
        raise YamlError(
            f"{where}: {name} is a secret by its name, and what a job file says is stored; name the variable "
            "where a key is asked for, such as api_key_env"
        )
    value = os.environ.get(name, found["default"])
    if value is None:
        raise YamlError(f"{where}: the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
    return value
