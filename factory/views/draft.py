"""A first job file for one's data: what the files hold, told from their first rows, and a commented job that fits it.

The conditions of its `select` are those of jobs/quickstart.yaml and jobs/dialogue_corpus.yaml. Limitations: a column of
personas with an unusual name is guessed by that name alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from factory.seeds.archives import find_files
from factory.seeds.fields import SeedFields
from factory.seeds.files import SeedFile, SourceError
from factory.seeds.formats import read_rows
from factory.seeds.source import BadSeed, first_of, read_file
from factory.store.records import Seed

LOOKED = 1_000
"""Rows of each source that are looked at."""
_PERSONA = re.compile(r"persona|profile|bio(?:graphy)?$|backstory|character|description", re.IGNORECASE)


@dataclass
class Found:
    """What the first rows of a source hold: seeds, rows that are none, columns that none keeps, and the column that
    holds the personas, where it is not the usual one."""

    path: str
    facts: str | None = None
    seeds: list[Seed] = field(default_factory=list)
    bad: list[BadSeed] = field(default_factory=list)
    unkept: list[str] = field(default_factory=list)
    more: bool = False

    @property
    def dialogues(self) -> list[Seed]:
        """Those with turns."""
        return [seed for seed in self.seeds if seed.turns]

    @property
    def personas(self) -> list[Seed]:
        """Those without: personas, and pairs of them."""
        return [seed for seed in self.seeds if not seed.turns]


def look(path: str, base: Path) -> Found:
    """What is in a file, folder, glob or address; relative ones start at `base`. Raises SourceError, also if no row can
    be read."""
    files = find_files(path, "auto", base)
    found = _read(path, files, SeedFields())
    if not found.seeds and (column := _personas_column(files[0])):
        found = _read(path, files, SeedFields(facts=column))
        found.facts = column
    if not found.seeds:
        raise SourceError(f"{path}: no row could be read as a persona or a dialogue{first_of(found.bad)}")
    return found


def draft(found: Sequence[Found], corpus: str) -> str:
    """The text of a job file for these sources. Raises SourceError if there are personas in one and dialogues alone in
    another, which want two jobs."""
    kinds = {bool(one.personas) for one in found}
    if len(kinds) > 1:
        raise SourceError(
            "some of these hold personas, others dialogues alone: make a job for each, with `factory init` and --to"
        )
    environment = ImmutableSandboxedEnvironment(
        loader=PackageLoader("factory.views", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    template = environment.get_template("job.yaml.j2")
    return template.render(sources=found, corpus=corpus, write=kinds == {True}, vllm=find_spec("vllm") is not None)


def described(found: Found) -> str:
    """What was found, for people: counts, the first seed, and what cannot be read or kept."""
    alone = [seed for seed in found.personas if len(seed.personas) == 1]
    pairs = [seed for seed in found.personas if len(seed.personas) > 1]
    counts = [
        f"{len(seeds):,} {what}{'s' * (len(seeds) != 1)} with {number / len(seeds):.1f} {part} on average"
        for what, part, seeds, number in (
            ("persona", "facts", alone, sum(len(seed.personas[0]) for seed in alone)),
            ("pair", "facts", pairs, sum(len(facts) for seed in pairs for facts in seed.personas)),
            ("dialogue", "turns", found.dialogues, sum(len(seed.turns) for seed in found.dialogues)),
        )
        if seeds
    ]
    grounded = sum(any(seed.personas) for seed in found.dialogues)
    lines = [f"{found.path}: {' and '.join(counts)}{f' (of the first {LOOKED:,} rows)' if found.more else ''}"]
    if found.dialogues:
        lines.append(f"  {grounded:,} of the dialogues come with personas")
    if found.facts:
        lines.append(f"  the personas are taken from the column {found.facts!r}")
    first = found.seeds[0]
    said = [text for _, text in first.turns] if first.turns else first.personas[0]
    lines.append(f"  the first, {first.id[:20]}: {' '.join(said)[:160]}")
    if found.bad:
        lines.append(f"  {len(found.bad):,} rows cannot be read:{first_of(found.bad)}")
    return "\n".join(lines + [f"  {what}" for what in found.unkept])


def _read(path: str, files: Sequence[SeedFile], fields: SeedFields) -> Found:
    found = Found(path)
    for file in files:
        rows = read_file(file, fields, found.unkept)
        for row in islice(rows, LOOKED - len(found.seeds) - len(found.bad)):
            (found.seeds if isinstance(row, Seed) else found.bad).append(row)  # type: ignore[arg-type]
        found.more = found.more or next(rows, None) is not None
    return found


def _personas_column(file: SeedFile) -> str | None:
    """The column of a first row that by its name holds the personas."""
    rows = (row for _, row in read_rows(file, (), None) if isinstance(row, dict))
    return next((name for name, value in next(rows, {}).items() if _PERSONA.search(name) and value), None)
