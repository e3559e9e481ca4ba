"""`factory export` with the formats that are found, and the options that each of them declares.

Values go to the format's `Params` as they were typed, which checks them. Limitations: an option that two formats have
is shown once, with what either says of it.
"""

from __future__ import annotations

import inspect
import types
from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from rich.markup import escape
from typer.core import TyperCommand

from factory.export import ExportError, formats
from factory.methods.registry import faults

_META = "factory.export.options"


def own_options(context: typer.Context) -> dict[str, Any]:
    """The options of a format's own that were typed, by name."""
    typed: dict[str, Any] = context.meta.get(_META, {})
    return typed


class ExportCommand(TyperCommand):
    """A command that takes the own options of all formats, and lists the formats in its help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Those of the signature, and one for each name of an own option."""
        owners: dict[str, dict[str, FieldInfo]] = defaultdict(dict)
        for kind, format_ in formats().items():
            for name, option in format_.Params.model_fields.items():
                owners[name][kind] = option
        return [*super().get_params(ctx), *_built(_declared(name, of) for name, of in owners.items())]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises ExportError for an option that no format has."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException:
            known = {name for option in self.get_params(ctx) for name in (*option.opts, *option.secondary_opts)}
            typed = [one.partition("=")[0] for one in given if one.startswith("--") and one != "--"]
            unknown = next((one for one in typed if one not in known), None)
            if unknown is None:
                raise
            kind = next((one for one in given if one in formats()), None)
            own = ", ".join(_flag(name) for name in formats()[kind].Params.model_fields) if kind else ""
            has = f"{kind} has {own or 'no options of its own'}; " if kind else ""
            raise ExportError(f"there is no option {unknown}; {has}see: factory export --help") from None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, with a line for each format that is found, or why it cannot be used."""
        width = max(map(len, (*formats(), *faults("exports"))))
        lines = [f"{kind:<{width}}  {_first(format_)}" for kind, format_ in formats().items()]
        lines += [f"{kind:<{width}}  {fault.removeprefix(f'{kind} ')}" for kind, fault in faults("exports").items()]
        said = inspect.getdoc(self.callback) or ""
        self.help = "\n\n".join([said, "Formats:", *map(escape, lines)])
        super().format_help(ctx, formatter)


def _first(format_: type[Any]) -> str:
    """The first sentence of a docstring."""
    return " ".join(inspect.cleandoc(format_.__doc__ or "").split("\n\n")[0].split())


def _declared(name: str, owners: dict[str, FieldInfo]) -> inspect.Parameter:
    """An own option as typer reads it off a signature: text, of which pydantic makes what it is to be."""
    option, kinds = next(iter(owners.values())), " and ".join(owners)
    of = _without_none(option.annotation)
    several = get_origin(of) in (list, tuple, set, frozenset)
    default = option.get_default(call_default_factory=True)
    described = {field.description for field in owners.values()}
    help_ = option.description if len(described) == 1 else " ".join(f"{k}: {f.description}" for k, f in owners.items())
    told = typer.Option(
        f"{_flag(name)}/--no-{_flag(name)[2:]}" if of is bool else _flag(name),
        help=escape(help_ or ""),
        metavar=None if of is bool else _metavar(get_args(of)[0] if several and get_args(of) else of),
        show_default=False if default in (None, PydanticUndefined, ()) else str(default),
        rich_help_panel=f"Options of {kinds}",
        callback=_keep,
        expose_value=False,
    )
    kind: Any = bool if of is bool else list[str] if several else str
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, told]
    )


def _built(options: Iterable[inspect.Parameter]) -> list[Any]:
    def command(**_: Any) -> None: ...

    command.__signature__ = inspect.Signature(list(options))  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command(add_help_option=False)(command)
    return typer.main.get_command(app).params


def _keep(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:
    if value not in (None, [], ()):
        context.meta.setdefault(_META, {})[option.name] = value
    return value


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _without_none(annotation: Any) -> Any:
    """What an option holds if it holds something."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not types.NoneType]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _metavar(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    return {int: "NUMBER", float: "NUMBER"}.get(annotation, "TEXT")
