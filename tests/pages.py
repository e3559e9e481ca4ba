"""The fenced blocks of a Markdown page, and running them in order, in a folder of the page's own.

What a block is says its language: `sh` and `python` are run, `yaml` is held against the schemas of job and training
files, `diff` is applied, wherever its lines stand; others are shown only. A comment on the line above says more:
`<!-- file: PATH -->`, the block is that file, and `<!-- not run: REASON -->`. Words in capitals that stand for
something (JOB, CORPUS) and addresses are put in beforehand. Limitations: blocks that are indented, and what they print.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"^(?:<!-- *(?P<note>.*?) *-->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_NOTE = re.compile(r"(?P<kind>file|not run): (?P<value>.+)")
_RUN = {"sh": ["bash", "-euc"], "python": [sys.executable, "-c"]}
_LIMIT_S = 280
_FILL = {"corpus": "out", "seeds": [{"path": "a.jsonl"}]}
_SCHEMAS = ("job", "train_lm", "train_extractor", "train_nli")


class PageError(AssertionError):
    """A block of a page that does not hold: page, line, and what came of it."""


@dataclass(frozen=True)
class Block:
    """A block, where it stands, and what its comment says of it."""

    page: str
    line: int
    language: str
    text: str
    file: str | None = None
    not_run: str | None = None

    def fail(self, why: str) -> PageError:
        return PageError(f"{self.page}, line {self.line}: {why}\n{self.text}")


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in order. Raises PageError for a comment above one that says nothing known."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        note = match["note"] and _NOTE.fullmatch(match["note"])
        block = Block(page.name, line, match["language"], match["text"])
        if match["note"] and not note:
            raise block.fail(f"the comment above says {match['note']!r}, not `file: PATH` or `not run: REASON`")
        if note:
            told = {"file": note["value"]} if note["kind"] == "file" else {"not_run": note["value"]}
            block = Block(block.page, block.line, block.language, block.text, **told)
        blocks.append(block)
    return blocks


def run_page(page: Path, folder: Path, env: Mapping[str, str], stands_for: Mapping[str, str]) -> str:
    """Run the blocks of a page in a folder; what they printed. Raises PageError for the first that fails."""
    blocks, synopses = blocks_of(page), set[str]()
    said = ""
    for number, block in enumerate(blocks):
        text = "".join(_put_in(block, stands_for, synopses))
        said += _run(replace(block, text=text), blocks[number + 1 :], folder, env)
    return said


def _put_in(block: Block, stands_for: Mapping[str, str], synopses: set[str]) -> Iterator[str]:
    """The lines of a block with what words stand for; a synopsis that the page had before is left out."""
    for line in block.text.splitlines(keepends=True):
        put_in, command = line, line.partition("#")[0].strip()
        for word, value in stands_for.items() if block.language in _RUN else ():
            put_in = re.sub(rf"(?<![\w$-]){re.escape(word)}(?![\w=-])", value, put_in)
        if command not in synopses:
            yield put_in
        if put_in != line and command.startswith("factory ") and re.search(r"\b[A-Z]+\b", command):
            synopses.add(command)


def _run(block: Block, later: list[Block], folder: Path, env: Mapping[str, str]) -> str:
    if block.not_run:
        return ""
    if block.file:
        names = (Path(block.file).name.removesuffix(".py"), f"./{Path(block.file).parent}")
        if not any(name in other.text for name in names for other in later):
            raise block.fail(f"no later block uses {block.file}")
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return ""
    if block.language == "yaml":
        _check_yaml(block)
    if block.language == "diff":
        _apply(block, folder)
    if block.language not in _RUN:
        return ""
    # To a file, since what a command leaves running would hold a pipe open.
    log = folder.parent / f"{folder.name}.log"
    with log.open("w") as stream:
        done = subprocess.run(
            [*_RUN[block.language], block.text], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=stream,
            stderr=subprocess.STDOUT, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    said = log.read_text(errors="replace")
    if done.returncode:
        raise block.fail(f"exit code {done.returncode}\n{said[-4000:]}")
    return said


def _apply(block: Block, folder: Path) -> None:
    """Put the new lines of each hunk in the place of the old ones, which must stand in the file once."""
    for part in re.split(r"^--- a/.*\n\+\+\+ b/", block.text, flags=re.MULTILINE)[1:]:
        name, _, hunks = part.partition("\n")
        text = (folder / name).read_text(encoding="utf-8")
        for hunk in re.split(r"^@@ .*\n", hunks, flags=re.MULTILINE)[1:]:
            lines = hunk.splitlines(keepends=True)
            old, new = ("".join(line[1:] or "\n" for line in lines if line[0] in f"{sign} \n") for sign in "-+")
            if text.count(old) != 1:
                raise block.fail(f"{name} does not hold these lines once:\n{old}")
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")


def _check_yaml(block: Block) -> None:
    """A fragment of a job file, or a whole training file."""
    data: dict[str, Any] = yaml.safe_load(block.text)
    complaints = []
    for name in _SCHEMAS:
        schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
        filled = _FILL | data if name == "job" else data
        error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(filled))
        if error is None:
            return
        complaints.append(f"{name}: {error.json_path}: {error.message}")
    raise block.fail("\n".join(complaints))


@contextmanager
def environment(home: Path, packages: Path, **more: str) -> Iterator[dict[str, str]]:
    """The environment of a page's commands: a home of their own, this interpreter's programs first, the factory from
    `packages`. Whatever still runs of them when the body ends is killed."""
    mark = uuid.uuid4().hex
    scratch = tempfile.mkdtemp(
        prefix="page-", dir="/tmp"
    )  # of Ray too, whose sockets' paths are 107 characters at most
    home.mkdir()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_", "HF_"))},
        "HOME": str(home),
        "TMPDIR": scratch,
        "PATH": os.pathsep.join([str(home / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_OFFLINE": "1",
        "PAGE_MARK": mark,
        **more,
    }
    try:
        yield env
    finally:
        left = [process for process in psutil.process_iter() if _marked(process, mark)]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        shutil.rmtree(scratch, ignore_errors=True)


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get("PAGE_MARK") == mark)
    except (psutil.Error, OSError):
        return False
