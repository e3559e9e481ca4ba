"""The page in a real browser: how it is opened, and what is seen of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.views.report.conftest import BROWSER, Made

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path; install Debian's package chromium")


def opened(context: BrowserContext, page: Path, anchor: str = "") -> tuple[Page, list[str]]:
    """The page in a tab, and what went wrong so far: console messages, errors, and requests that are not for itself."""
    tab, wrong = context.new_page(), []
    tab.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda asked: wrong.append(asked.url) if asked.url.partition("#")[0] != page.as_uri() else None)
    tab.goto(page.as_uri() + anchor)
    return tab, wrong


def shown(tab: Page) -> set[str]:
    """Ids of the dialogues that are shown, once all are. An address that has just changed is followed first, which may
    hide the button between a look and a click."""
    tab.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    while tab.evaluate("!document.querySelector('#more').hidden"):
        tab.evaluate("document.querySelector('#more').click()")
    return {str(article.get_attribute("data-id")) for article in tab.locator("article").all()}


def carried(made: Made) -> list[dict[str, Any]]:
    """The dialogues in the page."""
    text = made.page.read_text().partition('id="data">')[2].partition("</script>")[0]
    found: list[dict[str, Any]] = json.loads(text)["dialogues"]
    return found
