"""The messages that docs/troubleshooting.md quotes are messages of the code, in the words that do not vary."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
QUOTED = re.findall(r"^- \*\*`(.+?)`\*\*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def texts(node: ast.AST) -> Iterator[str]:
    """The texts of a source, with a mark where a value is put in."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from texts(part.value)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


MESSAGES = [
    text for file in sorted((ROOT / "factory").rglob("*.py")) for text in texts(ast.parse(file.read_text("utf-8")))
]


def said(quoted: str) -> bool:
    """Whether some message has the fixed words of a quoted one, in their order."""
    wanted = re.compile(".*".join(map(re.escape, quoted.split("…"))), re.DOTALL)
    return any(wanted.search(message) for message in MESSAGES)


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_is_one_of_the_code(quoted: str) -> None:
    assert said(quoted), f"no message of factory/ says so now: {quoted}"


def test_the_page_quotes_messages_and_a_wrong_one_is_seen() -> None:
    assert len(QUOTED) > 50
    assert not said("there is no corpus here yet; try …")
    assert said("there is no corpus here yet; make one")
