"""Links, filters and sorting of the page: what a click shows is what the figures counted, and the address holds it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import BrowserContext, Locator, Page

from factory.store.records import Row
from factory.views.report.links import link
from tests.views.report.browsing import carried, needs_browser, opened, shown
from tests.views.report.conftest import Made
from tests.views.report.test_distributions import values

pytestmark = needs_browser

WORST = "consistency.contradiction"


def rows_of(made: Made) -> dict[str, Row]:
    """The rows that the page carries, as they are stored."""
    ids = {one["id"] for one in carried(made)}
    return {row.row_id: row for row in made.corpus.rows() if row.row_id in ids}


def bars(tab: Page, title: str) -> list[Locator]:
    figures = tab.locator("figure").filter(has=tab.get_by_role("heading", name=title, exact=True))
    return figures.locator("a.mark").all()


def of_first_group(tab: Page, title: str) -> Locator:
    """The mark that lies over any other of its group."""
    return [mark for mark in bars(tab, title) if mark.get_attribute("href") == "#group=1"][-1]


def address(tab: Page) -> dict[str, str]:
    return {name: one[0] for name, one in parse_qs(str(tab.evaluate("location.hash")).removeprefix("#")).items()}


def in_order(tab: Page) -> list[str]:
    shown(tab)
    return [str(article.get_attribute("data-id")) for article in tab.locator("article").all()]


@pytest.mark.parametrize("name", [WORST, "consistency.apc", "turns", "words", "consistency.pairs.contradiction"])
def test_a_click_on_a_bar_shows_the_dialogues_that_it_counts(context: BrowserContext, made: Made, name: str) -> None:
    tab, wrong = opened(context, made.page)
    told: dict[str, Any] = made.figures["distributions"][name]
    counts = [sum(bar) for bar in zip(*told["counts"].values(), strict=True)]
    places = [place for place, count in enumerate(counts) if count]
    marks = bars(tab, told["title"])
    assert len(marks) == len(places)
    for bar in (0, len(places) // 2, len(places) - 1):
        assert f": {counts[places[bar]]:,} {told['of']}" in str(marks[bar].get_attribute("data-says"))
        least, beyond = told["edges"][places[bar] : places[bar] + 2]
        marks[bar].click()
        tab.wait_for_url(f"**#value={name}&least={least:g}*")
        if places[bar] == len(counts) - 1:
            beyond = float("inf")
        assert shown(tab) == {
            row_id
            for row_id, row in rows_of(made).items()
            if any(least - 1e-9 <= value < beyond - 1e-9 for value in values([row], name))
        }
        assert (address(tab)["value"], float(address(tab)["least"])) == (name, least)
    assert wrong == []


def test_what_is_pointed_at_says_its_numbers(context: BrowserContext, made: Made) -> None:
    tab, _ = opened(context, made.page)
    assert tab.locator("#tip").is_hidden()
    bars(tab, WORST)[-1].hover()
    rejected = sum(row.scores["consistency"]["contradiction"] >= 0.95 for row in made.rows)
    assert (
        tab.locator("#tip")
        .inner_text()
        .endswith(f": {rejected} dialogues (accepted 0, flagged 0, rejected {rejected})")
    )
    of_first_group(tab, "Map of personas").hover()
    assert tab.locator("#tip").inner_text().endswith("(group 1)")
    tab.locator("h1").hover()
    assert tab.locator("#tip").is_hidden()


def test_decisions_reasons_and_groups_lead_to_their_dialogues(context: BrowserContext, made: Made) -> None:
    tab, wrong = opened(context, made.page)
    own = rows_of(made)
    bars(tab, "Dialogues")[2].click()
    tab.wait_for_url("**#decision=accept")
    assert shown(tab) == {row_id for row_id, row in own.items() if row.decision == "accept"} != set()
    tab.locator("#funnel td a", has_text="contradicts persona").first.click()
    tab.wait_for_url("**reason=*")
    assert shown(tab) == {row_id for row_id, row in own.items() if "contradicts_persona" in row.reasons} != set()
    for title in ("Map of personas", "Accepted share by group"):
        group = next(one for one in made.figures["groups"]["groups"] if one["group"] == 1)
        work = "sailor" if any("sail" in fact for fact in group["typical"]) else "cook"
        of_first_group(tab, title).click()
        tab.wait_for_url("**#group=1")
        assert shown(tab) == {row_id for row_id, row in own.items() if row.seeds[0].id.startswith(work)} != set(own)
        tab.locator("#clear").click()
    assert wrong == []


@pytest.mark.parametrize("order", ["highest", "lowest"])
def test_a_link_holds_filters_and_order(context: BrowserContext, made: Made, order: str) -> None:
    given = {"decision": "reject", "reason": "contradicts_persona", "sort": "consistency.apc"}
    tab, wrong = opened(context, made.page, link(**given, **({"order": "lowest"} if order == "lowest" else {})))
    apc = {
        row_id: row.scores["consistency"]["apc"] for row_id, row in rows_of(made).items() if row.decision == "reject"
    }
    expected = sorted(apc, key=lambda row_id: apc[row_id], reverse=order == "highest")
    assert in_order(tab) == expected
    assert f"consistency.apc {apc[expected[0]]:g}" in tab.locator("article h3").first.inner_text()
    assert tab.locator("#reason").input_value() == "contradicts_persona"
    tab.locator("#sort").select_option(WORST)
    assert address(tab) | {"sort": ""} == address(tab) | given | {"sort": ""}
    assert wrong == []


def test_back_and_forward_go_through_the_filters(context: BrowserContext, made: Made) -> None:
    tab, wrong = opened(context, made.page)
    every = shown(tab)
    tab.locator("#decision").select_option("reject")
    rejected = shown(tab)
    tab.locator("#q").press_sequentially("steer")
    steering = shown(tab)
    assert steering < every
    for go, wanted, q in (
        (tab.go_back, rejected, ""), (tab.go_back, every, ""), (tab.go_forward, rejected, ""),
        (tab.go_forward, steering, "steer"),
    ):  # fmt: skip
        go()
        assert tab.locator("#q").input_value() == q
        assert shown(tab) == wanted
    tab.locator("#clear").click()
    assert tab.evaluate("location.hash") == "#dialogues"
    assert shown(tab) == every
    assert wrong == []


def test_bounds_that_are_typed_take_what_lies_within(context: BrowserContext, made: Made) -> None:
    tab, _ = opened(context, made.page)
    assert tab.locator("#least").is_disabled()
    tab.locator("#value").select_option("consistency.coverage")
    tab.locator("#least").fill("0.3")
    tab.locator("#below").fill("0.7")
    coverage = {row_id: row.scores["consistency"]["coverage"] for row_id, row in rows_of(made).items()}
    assert shown(tab) == {row_id for row_id, value in coverage.items() if 0.3 <= value < 0.7} != set()
    assert address(tab) == {"value": "consistency.coverage", "least": "0.3", "below": "0.7"}


def test_a_link_holds_how_many_are_shown(context: BrowserContext, made: Made) -> None:
    tab, _ = opened(context, made.page)
    tab.locator("#more").click()
    assert address(tab) == {"page": "2"}
    tab, _ = opened(context, made.page, str(tab.evaluate("location.hash")))
    assert tab.locator("article").count() == 30


def test_what_an_address_asks_for_and_is_not_there_does_no_harm(context: BrowserContext, made: Made) -> None:
    tab, wrong = opened(context, made.page, "#value=lost&least=x&page=-3&sort=lost&other=1")
    assert shown(tab) == set(rows_of(made))
    tab.evaluate("location.hash = '#reason=too_long'")
    tab.locator("#count", has_text="0 of the 30 dialogues on this page; factory show").wait_for()
    assert tab.locator("#reason").evaluate("select => select.selectedOptions[0].text") == "too long (0)"
    tab, more = opened(context, made.page, "#q=nobody says this")
    assert tab.locator("#count").inner_text().startswith("0 of the 30 dialogues on this page; factory show")
    assert wrong + more == []
