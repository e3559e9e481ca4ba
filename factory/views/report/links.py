"""Addresses within the page: fragments that hold the filters of its browser of dialogues, as page.js reads them."""

from __future__ import annotations

from urllib.parse import urlencode


def link(**filters: str | float) -> str:
    """The address of the dialogues that fit: `decision`, `reason`, `group` (of personas), `q` (a text that they hold),
    `value` (a quantity's name) with `least` and `below` (its bounds), `sort` (a quantity's name)."""
    return "#" + urlencode(
        {name: f"{value:.12g}" if isinstance(value, float) else value for name, value in filters.items()}
    )
