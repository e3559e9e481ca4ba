"""Reading a YAML file into a pydantic model: overrides from the command line, and errors for people, with the line.

Limitations: those of `factory.spec.layers`, which reads the files.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, RootModel, Tag, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from factory.spec.layers import Lines, Loader, Location, YamlError, dotted, read

Model = TypeVar("Model", bound=BaseModel)


def load_yaml(
    path: str | Path, model: type[Model], overrides: Sequence[str] = (), **derived: object
) -> tuple[Model, Lines]:
    """Read and check a file; also the line (or `--set field`) of each field given. `overrides` are
    `dotted.field=value`, the value in YAML; `derived` are fields that no file may give. Raises YamlError."""
    path = Path(path)
    data, lines = read(path, _fields(model))
    for override in overrides:
        _set(data, lines, override)
    for field in derived.keys() & data.keys():
        raise YamlError(f"{path}, {lines[field,]}: unknown field {field}. Allowed here: {', '.join(_fields(model))}")
    try:
        return model.model_validate({**data, **derived}), lines
    except ValidationError as error:
        details = error.errors()
        # A list whose items are wrong also counts as too short: that is no second mistake.
        wrong = {detail["loc"][:end] for detail in details for end in range(len(detail["loc"]))}
        told = [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in wrong]
        raise YamlError("\n".join(_explain(path, model, lines, detail) for detail in told)) from error


def mistake(message: str, *at: str) -> PydanticCustomError:
    """For a validator to raise: a mistake in what lies below the field that it checks, at these names."""
    where = f"{dotted(at)}: " if at else ""
    return PydanticCustomError("mistake", "{where}{message}", {"where": where, "message": message, "at": at})


def _set(data: dict[str, Any], lines: Lines, override: str) -> None:
    field, equals, text = override.partition("=")
    if not equals or not field:
        raise YamlError(f"--set {override}: write field=value, such as run.rows_per_shard=64")
    try:
        value = Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(f"--set {override}: the value is not valid YAML") from error
    parts: list[Any] = [int(part) if part.isdecimal() else part for part in field.split(".")]
    target: Any = data
    for depth, part in enumerate(parts[:-1], 1):
        if isinstance(target, dict) and target.get(part) is None:
            target[part] = {}
            lines[tuple(parts[:depth])] = f"--set {field}"
        target = _item(target, part, override)
    if isinstance(target, list):
        _item(target, parts[-1], override)
    elif not isinstance(target, dict):
        raise YamlError(f"--set {override}: there is no field {field}")
    target[parts[-1]] = value
    for replaced in [known for known in lines if known[: len(parts)] == tuple(parts)]:
        del lines[replaced]
    lines[tuple(parts)] = f"--set {field}"


def _item(target: Any, part: Any, override: str) -> Any:
    if isinstance(target, dict) or (isinstance(target, list) and part in range(len(target))):
        return target[part]
    raise YamlError(f"--set {override}: there is no {part} here")


def _explain(path: Path, model: type[BaseModel], lines: Lines, detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    location = (*_as_written(detail["loc"], lines), *context.get("at", ()))
    known = location
    while known and known not in lines:
        known = known[:-1]
    where = f"{path}, {lines[known]}" if known in lines else str(path)
    name = dotted(location)
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown field {name}{_other_field(_model_at(model, detail['loc'][:-1]), str(location[-1]))}"
    if detail["type"] == "missing":
        return f"{where}: {name} is missing"
    if detail["type"] == "union_tag_invalid":
        return f"{where}: {name}: there is no {_other_tag(context)}"
    if detail["type"] == "mistake":
        return f"{where}: {name}: {context['message']}"
    message = detail["msg"].removeprefix("Value error, ")
    given = detail["input"]
    if isinstance(given, str) and detail["type"] == "literal_error":
        allowed = [part.strip("' ") for part in context.get("expected", "").replace(" or ", ",").split(",")]
        message += nearest(given, allowed)
    if detail["type"] == "secret":
        return f"{where}: {name}: {message}"
    shown = repr(given) if isinstance(given, str | int | float | bool | None) else type(given).__name__
    return f"{where}: {name or 'the file'}: {message} (given: {shown[:80]})"


def nearest(given: str, allowed: Iterable[str]) -> str:
    """A question after the nearest of the allowed names, if one is near."""
    near = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _other_field(model: type[BaseModel] | None, given: str) -> str:
    """What may stand in the place of a field that is none: what took its place, or the nearest, and all there are."""
    allowed = _fields(model)
    replaced = getattr(model, "REPLACED", {}).get(given)
    hint = f", which {replaced} replaced." if replaced else nearest(given, allowed) or "."
    return f"{hint} Allowed here: {', '.join(allowed)}"


def _other_tag(context: Mapping[str, Any]) -> str:
    """What may stand in the place of a tag that is none, such as the name of a method."""
    given, allowed = context["tag"], [tag.strip("' ") for tag in context["expected_tags"].split(",")]
    hint = nearest(given, allowed) or "."
    return f"{context['discriminator'].strip(chr(39))} {given}{hint} There are: {', '.join(allowed)}"


def _as_written(location: Location, lines: Lines) -> Location:
    """The location as it stands in the file: without the tags that pydantic puts in where a value may be of several
    types."""
    found: Location = ()
    for number, part in enumerate(location):
        rest = location[number + 1 : number + 2]
        tag = (*found, part) not in lines and found in lines and bool(rest)
        found = found if tag else (*found, part)
    return found


def _fields(model: type[BaseModel] | None) -> list[str]:
    return [name for name, field in model.model_fields.items() if not field.exclude] if model else []


def _model_at(model: type[BaseModel] | None, location: Location) -> type[BaseModel] | None:
    here: Any = model
    for part in location:
        here = here if isinstance(part, int) else _below(here, part)
    return _model_in(here)


def _below(annotation: Any, part: str) -> Any:
    """The type of a field, of an entry of a mapping, or of that one of several types which a tag stands for."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        tagged = any(isinstance(mark, Tag) and mark.tag == part for mark in arguments[1:])
        return arguments[0] if tagged else _below(arguments[0], part)
    if origin is dict:
        return arguments[1]
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return _below(annotation.model_fields["root"].annotation, part)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if part in annotation.model_fields:
            return annotation.model_fields[part].annotation
        return annotation if part in [field.default for field in annotation.model_fields.values()] else None
    return next((found for one in arguments if (found := _below(one, part)) is not None), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return next((found for arg in typing.get_args(annotation) if (found := _model_in(arg))), None)
    return None
