"""The methods of a kind, found and not listed: files in `factory/methods/<kind>/`, entry points of other packages.

A kind is a folder, such as `exports`, whose `__init__` says in PARTS which parts a class of it must have (what each is
for, by name), and in TAKEN which names its options cannot have. A module in the folder, or a folder in it for a method
of several files, holds one public class with those parts. In other people's packages an entry point of the group
`persona_factory.<kind>` names such a class, under the method's own name:

    [project.entry-points."persona_factory.exports"]
    opinions = "their_package.opinions:Opinions"

A mistake in the factory's own folder is raised at once. What is wrong with an entry point is told when that method is
asked for, and no other method suffers from it. Limitations: what is found is kept for the life of the process.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby
from types import ModuleType
from typing import Any

from pydantic import BaseModel

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class MethodError(Exception):
    """A method that is not there or that cannot be used: which one, its file, and what to do."""


@dataclass
class _Kind:
    classes: dict[str, type[Any]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def found(kind: str) -> Mapping[str, type[Any]]:
    """The classes of a kind that can be used, by name, in the order of their names. Raises MethodError for a mistake in
    the factory's own folder of the kind."""
    return _search(kind).classes


def faults(kind: str) -> Mapping[str, str]:
    """What is wrong with methods of other packages, by the name of their entry point."""
    return _search(kind).faults


def named(kind: str, name: str) -> type[Any]:
    """The class of this name. Raises MethodError if there is none, or none that can be used."""
    known = _search(kind)
    if name in known.faults:
        raise MethodError(known.faults[name])
    if name not in known.classes:
        raise MethodError(f"there is no {name} among the {kind}; there are: {', '.join(known.classes)}")
    return known.classes[name]


@cache
def _search(kind: str) -> _Kind:
    package = importlib.import_module(f"factory.methods.{kind}")
    classes: dict[str, type[Any]] = {}
    for cls in _own(package):
        if fault := _fault(package, cls):
            raise MethodError(fault)
        if cls.name in classes:
            raise MethodError(f"{file_of(cls)}: its name {cls.name} is taken by {file_of(classes[cls.name])}")
        classes[cls.name] = cls
    known = _Kind(classes)
    points = sorted(entry_points(group=f"persona_factory.{kind}"), key=lambda point: (point.name, point.value))
    for name, same in groupby(points, key=lambda point: point.name):
        _add(known, kind, package, name, list(same))
    known.classes = dict(sorted(known.classes.items()))
    return known


def _own(package: ModuleType) -> Iterator[type[Any]]:
    """The classes in the kind's own folder. Raises MethodError for a file with two."""
    for entry in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(entry.name)
        classes = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if _meant(package, module, cls)]
        if len(classes) > 1:
            names = " and ".join(cls.__name__ for cls in classes)
            raise MethodError(
                f"{module.__file__}: holds {names}; give each a file, or an underscore if it is no method"
            )
        yield from classes


def _meant(package: ModuleType, module: ModuleType, cls: type[Any]) -> bool:
    """Whether a class is there to be a method: a public one of this module that has any of the parts."""
    return (
        cls.__module__ == module.__name__
        and not cls.__name__.startswith("_")
        and not issubclass(cls, (BaseModel, BaseException))
        and any(hasattr(cls, part) for part in package.PARTS)
    )


def _add(known: _Kind, kind: str, package: ModuleType, name: str, points: Sequence[EntryPoint]) -> None:
    """Take the class that an entry point of this name leads to, or what is wrong with it."""
    holders = [f"{point.value} of the package {point.dist.name}" if point.dist else point.value for point in points]
    if name in known.classes:
        holders.append(file_of(known.classes.pop(name)))
    if len(holders) > 1:
        known.faults[name] = f"{name} names {len(holders)} {kind}, of which one must go: {', '.join(holders)}"
        return
    try:
        cls: Any = points[0].load()
    except Exception as error:  # other people's code may raise anything, and it is theirs to mend
        known.faults[name] = f"{name} cannot be imported from {holders[0]}: {type(error).__name__}: {error}"
        return
    fault = _fault(package, cls) if isinstance(cls, type) else "this is no class; an entry point is module:Class"
    if fault is None and cls.name != name:
        fault = f"{file_of(cls)}: {cls.__name__}.name is {cls.name}, and must be as the entry point's"
    if fault is None:
        known.classes[name] = cls
    else:
        known.faults[name] = f"{name} cannot be used from {holders[0]}: {fault}"


def _fault(package: ModuleType, cls: type[Any]) -> str | None:
    """The first thing that is wrong with a class: its file, the part, and what is asked of it."""
    where = f"{file_of(cls)}: {cls.__name__}"
    for part, asked in package.PARTS.items():
        value = getattr(cls, part, None)
        if value is None or getattr(value, "__isabstractmethod__", False):
            return f"{where} lacks `{part}`: {asked}"
    if not inspect.cleandoc(cls.__doc__ or ""):
        return f"{where} lacks a docstring, which says what it is for"
    if not isinstance(cls.name, str) or not _NAME.fullmatch(cls.name):
        return f"{where}.name is {cls.name!r}: use small letters, digits and underscores"
    return _fault_of_params(cls.Params, f"{where}.Params", package.TAKEN)


def _fault_of_params(params: Any, where: str, taken: frozenset[str]) -> str | None:
    if not isinstance(params, type) or not issubclass(params, BaseModel):
        return f"{where} is no pydantic model"
    if params.model_config.get("extra") != "forbid" or not params.model_config.get("frozen"):
        return f'{where}: give it model_config = ConfigDict(extra="forbid", frozen=True)'
    for name, option in params.model_fields.items():
        if not option.description:
            return f"{where}.{name} lacks a description"
        if name in taken:
            return f"{where}.{name}: all methods of its kind have a {name}; use another name"
    return None


def file_of(cls: type[Any]) -> str:
    """The file a class is written in, or its module where there is no such file."""
    try:
        return inspect.getsourcefile(cls) or cls.__module__
    except TypeError:
        return cls.__module__
