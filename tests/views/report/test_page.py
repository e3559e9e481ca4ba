"""The page in a real browser: it opens from disk, asks for nothing, runs nothing of the corpus, and is searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from factory.methods.scores.consistency import scored_pairs
from tests.views.report.browsing import carried, needs_browser, opened, shown
from tests.views.report.conftest import Made
from tests.views.report.corpora import HOSTILE, ODD

pytestmark = needs_browser

CONTRAST = """names => {
  const probe = document.body.appendChild(document.createElement("i"));
  const light = name => {
    probe.style.color = `var(--${name})`;
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const lights = names.map(([one, other]) => [light(one), light(other)].sort((a, b) => b - a));
  return lights.map(([more, less]) => (more + 0.05) / (less + 0.05));
}"""


def test_it_opens_without_an_error_or_a_request(context: BrowserContext, made: Made) -> None:
    tab, wrong = opened(context, made.page)
    assert tab.locator("h1").all_inner_texts() == ["corpus"]
    assert tab.locator("article").count() == 20
    assert tab.locator("section[aria-labelledby] > h2").count() == 9
    assert tab.locator(".quiet", has_text="There are no").count() == 0
    for link in tab.locator("nav a").all():
        assert tab.locator(str(link.get_attribute("href"))).count() == 1
    plots = tab.locator("main svg")
    assert plots.count() == 16 + 4
    assert all(plot.get_attribute("role") == "img" and plot.get_attribute("aria-label") for plot in plots.all())
    assert wrong == []


def test_its_own_rule_keeps_it_from_the_network(context: BrowserContext, made: Made) -> None:
    tab, _ = opened(context, made.page)
    asked: list[str] = []
    tab.route("http://**", lambda route: (asked.append(route.request.url), route.abort()))
    with pytest.raises(Exception, match="Failed to fetch"):
        tab.evaluate("fetch('http://127.0.0.1:9/')")
    tab.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    tab.wait_for_timeout(200)
    assert asked == []
    assert tab.title() == "corpus: corpus report"


def test_hostile_text_is_shown_and_not_run(context: BrowserContext, made: Made) -> None:
    tab, wrong = opened(context, made.page)
    assert tab.title() == "corpus: corpus report"
    assert tab.locator("img").count() == 0
    assert tab.locator("#failed td", has_text=HOSTILE).count() == 2
    tab.locator("#q").fill(ODD)
    assert tab.locator("article li", has_text=HOSTILE).count() >= 1
    assert (
        tab.locator("article .said").all_inner_texts().count(f"A3 {ODD}") or ODD in tab.locator("article").inner_text()
    )
    assert wrong == []


def test_filters_and_search_find_what_fits(context: BrowserContext, made: Made) -> None:
    tab, wrong = opened(context, made.page)
    own = {row.row_id: row for row in made.rows}
    ids = {str(one["id"]) for one in carried(made)}
    assert shown(tab) == ids
    for decision in ("accept", "flag", "reject"):
        tab.locator("#decision").select_option(decision)
        assert shown(tab) == {row_id for row_id in ids if own[row_id].decision == decision} != set()
        assert tab.locator(f"article:not(.{decision})").count() == 0
    tab.locator("#decision").select_option("")
    tab.locator("#reason").select_option("contradicts_persona")
    reasoned = {row_id for row_id in ids if "contradicts_persona" in own[row_id].reasons}
    assert shown(tab) == reasoned != ids
    tab.locator("#q").fill("STEER ships")
    sailing = {row_id for row_id in reasoned if own[row_id].seeds[0].id.startswith("sailor")}
    assert shown(tab) == sailing != ids
    assert tab.locator("#count").inner_text().startswith(f"{len(sailing)} of the {len(ids)} ")
    tab.locator("#q").fill(min(reasoned))
    assert shown(tab) == {min(reasoned)} != reasoned
    tab.locator("#decision").select_option("accept")
    assert shown(tab) == set()
    tab.locator("#clear").click()
    assert shown(tab) == ids
    assert wrong == []


def test_a_contradicted_fact_stands_under_its_turn(context: BrowserContext, made: Made) -> None:
    tab, _ = opened(context, made.page)
    own = {row.row_id: row for row in made.rows}
    for decision, score in (("reject", "0.97"), ("flag", "0.70"), ("accept", None)):
        tab.locator("#decision").select_option(decision)
        article = tab.locator("article").first
        row = own[str(article.get_attribute("data-id"))]
        turns = article.locator(".turns > li").all()
        marks = [turn.locator(".mark").all_inner_texts() for turn in turns]
        fact = scored_pairs(row)[1].pair.premise
        told = [f"contradicts the speaker's fact {fact} consistency, P(contradiction) {score}"]
        assert marks == [told if score and number == 3 else [] for number in range(len(turns))]
        if score:
            bubble, under = turns[3].locator(".said").bounding_box(), turns[3].locator(".mark").bounding_box()
            assert bubble
            assert under
            assert under["y"] >= bubble["y"] + bubble["height"]
        assert article.locator(".mark.rejects").count() == (decision == "reject")
        assert (
            f"contradiction {row.scores['consistency']['contradiction']:.2f}, "
            in article.locator(".scores").inner_text()
        )
        assert article.locator(".remark").all_inner_texts() == ["fluency: share\nspeaker A\n0.50"]
        marked = article.locator(".people li.contradicted").all_inner_texts()
        assert marked == ([f"{fact} contradicted"] if score else [])


def test_a_link_leads_to_its_dialogue(context: BrowserContext, made: Made) -> None:
    wanted = str(carried(made)[-1]["id"])
    tab, wrong = opened(context, made.page, f"#{wanted}")
    assert shown(tab) == {wanted}
    tab.evaluate(f"location.hash = '{'0' * 32}'")
    tab.locator("#count", has_text="0 of the 30 dialogues on this page; factory show").wait_for()
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark(browser: Browser, made: Made, scheme: str) -> None:
    with browser.new_context(color_scheme=scheme) as context:  # type: ignore[arg-type]
        tab, _ = opened(context, made.page)
        paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        texts = [[ink, paper] for ink in ("ink", "muted", "accent") for paper in ("paper", "panel")]
        assert min(tab.evaluate(CONTRAST, texts)) >= 4.5
        bars = [[ink, "paper"] for ink in ("accept", "reject", "undecided", "accent")]
        assert min(tab.evaluate(CONTRAST, bars)) >= 3
        label = tab.locator("#distributions svg text").first
        assert label.evaluate("text => getComputedStyle(text).fill") != paper


def test_it_prints_on_white_without_its_controls(browser: Browser, made: Made) -> None:
    with browser.new_context(color_scheme="dark") as context:
        tab, _ = opened(context, made.page)
        assert tab.pdf(format="A4").startswith(b"%PDF")
        tab.emulate_media(media="print")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not any(tab.locator(part).is_visible() for part in ("nav", ".controls", "#more"))
        assert tab.locator("main svg").first.is_visible()


def test_nothing_is_wider_than_a_phone(browser: Browser, made: Made, scarce: list[Path]) -> None:
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        for page in (made.page, *scarce):
            tab, _ = opened(context, page)
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_not_there_is_said(context: BrowserContext, scarce: list[Path]) -> None:
    tab, wrong = opened(context, scarce[0])
    assert "were not scored" in tab.locator("#distributions").inner_text()
    assert "too few" in tab.locator("#groups").inner_text()
    assert tab.locator("article.undecided").count() == 4
    tab, more = opened(context, scarce[1])
    assert "There are no dialogues yet." in tab.locator("#dialogues").inner_text()
    assert "turn_empty" in tab.locator("#failed").inner_text()
    assert wrong + more == []


def test_it_carries_a_sample_and_not_the_corpus(made: Made) -> None:
    assert len(carried(made)) == 30 < len(made.rows)
    assert "30 of the corpus's 80 dialogues" in made.page.read_text().replace("&#39;", "'")
