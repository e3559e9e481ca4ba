"""What several files of commands share: options, and how JSON is printed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field: --set makers.converse.turns=12"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: dict[str, Any]) -> None:
    """Print it on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
