"""The page in a real browser: pairs are labelled by keys and buttons, kept, and saved as calibrate reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from factory.store.corpus import Corpus
from factory.training.labelled import PairFile, read_pairs
from factory.views.labelling import write
from tests.views.report.browsing import needs_browser, opened
from tests.views.report.conftest import BROWSER, FLAGS
from tests.views.report.corpora import HOSTILE

pytestmark = needs_browser
COUNT = 150


@pytest.fixture(scope="module")
def page(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("page") / "pairs.html"
    assert write(corpus, to, count=COUNT).drawn == COUNT
    return to


@pytest.fixture(scope="module")
def pairs(page: Path) -> list[dict[str, Any]]:
    """The pairs that the page carries, in its order."""
    text = page.read_text().partition('id="data">')[2].partition("</script>")[0]
    found: list[dict[str, Any]] = json.loads(text)["pairs"]
    return found


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


def press(tab: Page, *keys: str) -> None:
    for key in keys:
        tab.keyboard.press(key)


def shown(tab: Page) -> tuple[str, str]:
    return tab.locator("#first").inner_text(), tab.locator("#second").inner_text()


def texts(pair: dict[str, Any]) -> tuple[str, str]:
    return pair["record"]["premise"], pair["record"]["hypothesis"]


def saved(tab: Page, to: Path) -> Path:
    with tab.expect_download() as download:
        tab.locator("#save").click()
    download.value.save_as(to)
    return to


def test_keys_label_skip_and_go_back(context: BrowserContext, page: Path, pairs: list[dict[str, Any]]) -> None:
    tab, wrong = opened(context, page)
    assert shown(tab) == texts(pairs[0])
    press(tab, "1", " ", "3")
    assert shown(tab) == texts(pairs[3])
    assert tab.locator("#count").inner_text() == f"pair 4, 2 of {COUNT} labelled"
    press(tab, "0", "Backspace")
    assert shown(tab) == texts(pairs[1])
    press(tab, "2", "Control+1", "x")
    assert shown(tab) == texts(pairs[2])
    assert tab.locator("[aria-pressed=true]").get_attribute("data-label") == "contradiction"
    assert tab.locator("#count").inner_text() == f"pair 3, 3 of {COUNT} labelled"
    assert wrong == []


def test_a_button_that_was_clicked_leaves_the_keys_as_they_are(
    context: BrowserContext, page: Path, pairs: list[dict[str, Any]]
) -> None:
    tab, _ = opened(context, page)
    tab.locator("[data-label=neutral]").click()
    press(tab, " ")
    assert shown(tab) == texts(pairs[2])
    assert tab.locator("#count").inner_text() == f"pair 3, 1 of {COUNT} labelled"


def test_what_the_model_thinks_is_hidden_until_there_is_a_label(
    context: BrowserContext, page: Path, pairs: list[dict[str, Any]]
) -> None:
    tab, _ = opened(context, page)
    share = f"{100 * pairs[0]['record']['contradiction']:.1f} %"
    assert not tab.locator("#model").is_visible()
    assert share not in tab.locator("main").inner_text()
    press(tab, "2", "0")
    assert tab.locator("#model").inner_text().endswith(f"contradiction {share}")


def test_the_pair_stands_in_its_dialogue(context: BrowserContext, page: Path, pairs: list[dict[str, Any]]) -> None:
    tab, wrong = opened(context, page)
    hostile = next(place for place, pair in enumerate(pairs) if HOSTILE in texts(pair))
    press(tab, *[" "] * hostile)
    assert HOSTILE in shown(tab)
    lines = tab.locator("#context li").all_inner_texts()
    assert lines == [f"{turn['speaker']}: {turn['text']}" for turn in pairs[hostile]["context"]]
    assert tab.locator("#context li.judged").all_inner_texts() == lines[-1:]
    assert tab.title() == "corpus: pairs to label"
    assert wrong == []


def test_labels_are_kept_and_saved_as_calibrate_reads_them(
    context: BrowserContext, page: Path, pairs: list[dict[str, Any]], tmp_path: Path
) -> None:
    tab, _ = opened(context, page)
    press(tab, "1", "2", " ", "3")
    tab.reload()
    assert shown(tab) == texts(pairs[4])
    found = read_pairs([PairFile(path=str(saved(tab, tmp_path / "labels.jsonl")))])
    assert not found.left_out
    labels = {0: "entailment", 1: "neutral", 3: "contradiction"}
    for pair, (place, label) in zip(found.pairs, labels.items(), strict=True):
        record = pairs[place]["record"]
        assert ((pair.premise, pair.hypothesis), pair.label, pair.labelled_by) == (texts(pairs[place]), label, "person")
        assert pair.stratum is not None
        told = pair.stratum.draw, pair.stratum.stratum, pair.stratum.pairs, pair.stratum.of, pair.stratum.scored_by
        assert told == tuple(record[name] for name in ("draw", "stratum", "stratum_pairs", "all_pairs", "scored_by"))


def test_saved_labels_are_loaded_by_another_browser(
    browser: Browser, context: BrowserContext, page: Path, pairs: list[dict[str, Any]], tmp_path: Path
) -> None:
    tab, _ = opened(context, page)
    press(tab, "1", " ", "3")
    file = saved(tab, tmp_path / "labels.jsonl")
    other = {"premise": "I ski.", "hypothesis": "I sew.", "label": "neutral"}
    file.write_text(f"{file.read_text()}{json.dumps(other)}\nno JSON\n")
    with browser.new_context() as elsewhere:
        tab, wrong = opened(elsewhere, page)
        tab.locator("#file").set_input_files(file)
        tab.get_by_text("2 labels loaded; 2 lines are no labelled pairs of this page.").wait_for()
        assert shown(tab) == texts(pairs[1])
        assert tab.locator("#count").inner_text() == f"pair 2, 2 of {COUNT} labelled"
        press(tab, " ")
        assert tab.locator("[aria-pressed=true]").get_attribute("data-label") == "contradiction"
    assert wrong == []


def test_behind_the_last_pair_it_leads_to_those_without_a_label(
    context: BrowserContext, page: Path, pairs: list[dict[str, Any]], tmp_path: Path
) -> None:
    tab, wrong = opened(context, page)
    press(tab, "2", " ", *["2"] * (COUNT - 2))
    assert tab.locator("#left").inner_text() == "1 pairs have no label; they are not saved."
    assert len(saved(tab, tmp_path / "labels.jsonl").read_text().strip().split("\n")) == COUNT - 1
    press(tab, "1", " ")
    tab.locator("#unlabelled").click()
    assert shown(tab) == texts(pairs[1])
    press(tab, "2", *[" "] * COUNT)
    assert tab.locator("#left").inner_text() == "All pairs have a label."
    assert wrong == []


def test_it_fits_a_telephone_and_is_used_by_buttons(browser: Browser, page: Path, pairs: list[dict[str, Any]]) -> None:
    with browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True) as context:
        tab, _ = opened(context, page)
        for name in ("#skip", "[data-label=neutral]", "#back"):
            tab.locator(name).tap()
        assert shown(tab) == texts(pairs[1])
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        for button in tab.locator("button:visible").all():
            box = button.bounding_box()
            assert box is not None
            assert box["height"] >= 44


def test_without_a_place_to_keep_labels_it_says_so(context: BrowserContext, page: Path) -> None:
    context.add_init_script("Storage.prototype.setItem = () => { throw new Error('quota') }")
    tab, wrong = opened(context, page)
    press(tab, "1", "2")
    assert tab.locator("#kept").inner_text().startswith("This browser keeps nothing of this page (quota), so save")
    assert tab.locator("#count").inner_text() == f"pair 3, 2 of {COUNT} labelled"
    assert wrong == []
