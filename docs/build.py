"""Build the documentation's site into out/site: python docs/build.py.

The pages are README.md, CHANGELOG.md and docs/*.md. They and the files that they link to are laid out as in the
repository, so that each link means the same in both, and zensical builds the site from that copy (zensical.toml). A
link that leads nowhere ends the build, and so does a warning of zensical. Limitations: a link to a folder is refused,
since a site shows files; links to other sites are not tried.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGED, SITE = ROOT / "out" / "site-pages", ROOT / "out" / "site"
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)#\s]+)[^)]*\)")


class LinkError(Exception):
    """A link of a page that leads to no file of the repository."""


def linked(page: Path) -> list[Path]:
    """The files of the repository that a page links to, as absolute paths. Raises LinkError."""
    files = []
    for match in _LINK.finditer(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "://" in match["target"]:
            continue
        file = (page.parent / match["target"]).resolve()
        if not file.is_file() or not file.is_relative_to(ROOT):
            raise LinkError(f"{page}: links to {match['target']}, which is no file of the repository")
        files.append(file)
    return files


def stage(folder: Path) -> list[Path]:
    """Copy the pages and what they link to into a folder, which is replaced; the files, relative to the root."""
    waiting = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = set(waiting)
    while waiting:
        page = waiting.pop()
        fresh = set(linked(page)) - found
        found |= fresh
        waiting += [file for file in fresh if file.suffix == ".md"]
    shutil.rmtree(folder, ignore_errors=True)
    files = sorted(file.relative_to(ROOT) for file in found)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, folder / file)
    return files


def main() -> None:
    """Stage the pages and have zensical build them, strictly."""
    stage(STAGED)
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", "zensical.toml"]
    done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 -- a fixed command
    if done.returncode:
        sys.exit(done.returncode)
    print(f"built: {SITE / 'index.html'}")


if __name__ == "__main__":
    main()
