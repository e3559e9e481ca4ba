"""Front matter: the YAML header between `---` lines that cards of models and datasets begin with.

Limitations: a header that is not a mapping, or is no YAML, counts as none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

_HEADER = re.compile(r"\s*---[ \t]*\r?\n(.*?)(?:^|\r?\n)---[ \t]*(?:\r?\n|$)", re.DOTALL | re.MULTILINE)


def parted(text: str) -> tuple[dict[str, Any], str]:
    """The header of a text and what follows it; an empty header, and the whole text, if it has none."""
    found = _HEADER.match(text)
    if found is None:
        return {}, text
    try:
        header = yaml.safe_load(found[1])
    except yaml.YAMLError:
        return {}, text
    return (header, text[found.end() :]) if isinstance(header, dict) else ({}, text)


def joined(header: Mapping[str, Any], text: str) -> str:
    """A text with a header in front of it, in the order of its keys."""
    written = yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True)
    return f"---\n{written}---\n{text}"
