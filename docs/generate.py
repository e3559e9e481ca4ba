"""Write what the methods declare into docs/methods.md, below its introduction: python docs/generate.py.

Prose comes from the docstrings of a method's module and class, tables from its declarations. Limitations: methods of
other packages are left out, wherever they are installed.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from factory.engines import Sampling
from factory.methods import Column, models_of
from factory.methods.registry import found
from factory.spec.job import Passes

PAGE = Path(__file__).with_name("methods.md")
MARK = "<!-- From here on, docs/generate.py writes what the methods declare. -->\n"
_KINDS = {
    "language": "a language model",
    "nli": "an NLI model",
    "embedding": "an embedding model",
    "classifier": "a classifier",
}
_HELD: dict[Any, str] = {tuple: "[]", dict: ".NAME", UnionType: ""}
"""What stands between a parameter's name and those of what it holds."""
_LONGEST = 9
"""Values of a default that are listed."""


def page() -> str:
    """The whole page: its introduction as it stands, and a section for each method."""
    introduction, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    return introduction + mark + "\n" + "\n".join(_sections())


def default_of(field: FieldInfo) -> str:
    """The default of a field, as tables state it."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Sampling):
        return f"`{', '.join(f'{name} {value}' for name, value in default.model_dump().items())}`"
    if isinstance(default, BaseModel) or (
        isinstance(default, tuple) and any(isinstance(one, BaseModel) for one in default)
    ):
        return "below"
    if isinstance(default, tuple) and len(default) > _LONGEST:
        return f"{len(default)} values"
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default, ensure_ascii=False)}`"


def _sections() -> Iterator[str]:
    yield "## Sources\n"
    for name, cls in _own("sources"):
        yield from _opening(name, _prose(cls))
        yield _parameters(cls.Params)
    yield "## Makers\n"
    for name, cls in _own("makers"):
        yield from _opening(name, _prose(cls))
        imported = ["Dialogues that already exist pass it too."] if cls.of_imported else []
        yield _points(f"{_reads(cls)} Writes {_listed(cls.writes)}.", _asks(cls.Params), *imported)
        yield _parameters(cls.Params)
    yield "## Scores\n"
    for name, cls in _own("scores"):
        yield from _opening(name, _prose(cls))
        usual = cls(cls.Params())
        yield _points(_reads(cls), _asks(cls.Params), *_details(usual.details))
        yield _parameters(cls.Params)
        yield _table("column | type | range | better | what", map(_column, usual.columns))
    yield "## Passes\n"
    for name, field in Passes.model_fields.items():
        params = next(one for one in field.annotation.__args__ if one is not type(None))  # type: ignore[union-attr]
        yield from _opening(name, _of_module(params))
        yield _parameters(params)
        yield _types(Passes(**{name: params()}).columns[name])
    yield "## Exports\n"
    for name, cls in _own("exports"):
        yield from _opening(name, _told(cls))
        yield _parameters(cls.Params)
        yield _types(cls(cls.Params()).schema)


def _own(kind: str) -> Iterator[tuple[str, Any]]:
    return ((name, cls) for name, cls in found(kind).items() if cls.__module__.startswith("factory."))


def _opening(name: str, prose: str) -> Iterator[str]:
    yield f"### {name}\n"
    yield f"{prose}\n"


def _prose(cls: Any) -> str:
    return f"{_of_module(cls)}\n\n{_told(cls)}"


def _of_module(cls: Any) -> str:
    """The docstring of its file, without the name that the heading has."""
    _, _, text = _told(sys.modules[cls.__module__]).partition(": ")
    return text[0].upper() + text[1:]


def _told(thing: Any) -> str:
    """A docstring without its example, in Markdown."""
    text = re.split(r"^>>> ", inspect.getdoc(thing) or "", maxsplit=1, flags=re.MULTILINE)[0].strip()
    return re.sub(r"^(`\w+`)\n +", r"- \1: ", text, flags=re.MULTILINE)


def _points(*points: str) -> str:
    return "".join(f"- {point}\n" for point in points)


def _reads(cls: Any) -> str:
    return f"Reads {_listed(cls(cls.Params()).reads)}."


def _details(details: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """What the details of each kind are, kinds with the same values together."""
    for values in dict.fromkeys(details.values()):
        kinds = _listed(kind for kind, held in details.items() if held == values)
        yield f"Values in its `details` of {kinds}: {', '.join(values)}."


def _asks(params: type[BaseModel]) -> str:
    asked = [f"{_KINDS[kind]} (`{name}: {model}`)" for name, (kind, model) in models_of(params()).items()]
    return f"Asks {', '.join(asked)}." if asked else "Asks no model."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _parameters(params: type[BaseModel]) -> str:
    rows = [*_rows(params)]
    return _table("parameter | default | what, and where it comes from", rows) if rows else "It has no parameters.\n"


def _rows(params: type[BaseModel], before: str = "") -> Iterator[tuple[str, ...]]:
    """The parameters, and those of what they hold: a list or mapping of such, or one that may be left out."""
    for name, field in params.model_fields.items():
        if name not in ("method", "make"):
            default = field.get_default()
            held = f"`{default.model_dump_json()}`" if before and isinstance(default, BaseModel) else default_of(field)
            yield f"`{before}{name}`", held, _cell(field.description or "")
        origin = get_origin(field.annotation)
        for entry in get_args(field.annotation) if origin in _HELD else ():
            if isinstance(entry, type) and issubclass(entry, BaseModel):
                yield from _rows(entry, f"{name}{_HELD[origin]}.")


def _column(column: Column) -> tuple[str, ...]:
    low, high = ("" if bound is None else f"{bound:g}" for bound in (column.low, column.high))
    bounds = f"{low} to {high}" if low and high else f"from {low}" if low else f"to {high}" if high else ""
    return f"`{column.name}`", column.type, bounds, column.better or "", _cell(column.description)


def _types(fields: pa.Schema | pa.StructType) -> str:
    return _table("column | type", ((f"`{field.name}`", f"`{field.type}`") for field in fields))


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {head} |", "|" + " --- |" * (head.count("|") + 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
