"""The documentation's site: it builds without a warning, with search, every page in its navigation and the docstrings
of the public interface; a link that leads nowhere ends the build."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import factory
from tests.pages import PAGES, ROOT

BUILD = runpy.run_path(str(ROOT / "docs" / "build.py"))
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the site is made of, in a folder that the build may write into."""
    pytest.importorskip("zensical", reason="the site is built by the group `docs`")
    folder = tmp_path_factory.mktemp("site") / "repository"
    BUILD["stage"](folder)
    for file in ("zensical.toml", "docs/build.py"):
        shutil.copyfile(ROOT / file, folder / file)
    shutil.copytree(
        ROOT / "factory", folder / "factory", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    return folder


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "docs/build.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def site(copy: Path) -> Path:
    done = build(copy)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return copy / "out" / "site"


def named(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else named(value)


def test_every_page_is_in_the_navigation_and_in_the_site(site: Path) -> None:
    pages = list(named(CONFIG["nav"]))
    assert {str(page.relative_to(ROOT)) for page in PAGES} <= set(pages)
    for page in pages:
        html = site / ("index.html" if page == "README.md" else page.replace("README.md", "index.md"))
        assert html.with_suffix(".html").exists(), page


def test_the_site_can_be_searched_for_what_the_pages_say(site: Path) -> None:
    index = json.loads((site / "search.json").read_text(encoding="utf-8"))
    assert "there is no corpus here yet" in json.dumps(index)


def test_the_public_interface_is_there_with_its_docstrings(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "docs" / "api.html").read_text(encoding="utf-8"))
    for name in factory.__all__:
        first = str(getattr(factory, name).__doc__).split()[:4]
        assert " ".join(first) in " ".join(text.split()), name


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    linked = BUILD["linked"]
    assert linked(ROOT / "docs" / "planning.md") == [ROOT / "benchmarks" / "README.md"]
    for target in ("nowhere.md", "..", "/etc/hostname"):
        page = tmp_path / "page.md"
        page.write_text(f"[there]({target})\n```\n[not](this)\n```\n", encoding="utf-8")
        with pytest.raises(Exception, match=re.escape(f"links to {target}, which is no file")):
            linked(page)


def test_a_link_to_no_heading_ends_the_build(copy: Path, site: Path) -> None:
    (copy / "docs" / "api.md").write_text("# Python\n\nNo docstrings, which take long to read.\n", encoding="utf-8")
    with (copy / "docs" / "planning.md").open("a", encoding="utf-8") as page:
        page.write("\n[there](promise.md#nowhere)\n")
    done = build(copy)
    assert done.returncode
    assert "nowhere" in re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
