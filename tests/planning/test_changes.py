"""Change one thing, and exactly what it touches is redone: 2,000 rows, each request counted where it arrives.

The driver, pools and workers are real; the engine and the NLI model are counters with scripted answers.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from factory.planning.diff import diff
from factory.planning.plan import plan
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.records import Row
from factory.store.versions import log
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, wanted_of, write_seeds

JOB = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
models:
  dialogue: {{engine: vllm, name: org/talker}}
  nli: {{name: org/nli}}
  embedding: {{name: org/vectors}}
stages:
  converse: {{turns: 2, min_turns: 2, attempts: 1, prompt: turn.j2}}
  extract: {{prompt: fact.j2}}
  verify: {{relevance: -1, turn_relevance: -1}}
  select: {{}}
run: {{rows_per_shard: 128}}
"""
TURN = "{% block system %}Talk. {{ facts }}{% endblock %}{% block user %}Begin.{% endblock %}"
FACT = "{% block system %}Extract. {{ utterance }}{% endblock %}{% block user %}Begin.{% endblock %}"
ROWS, SOME, TURNS = 2000, 20, 2

Personas = dict[str, list[str]]


@dataclass(frozen=True)
class Made:
    """A folder with a finished corpus, and what it holds."""

    folder: Path
    version: int
    rows: dict[str, Row]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    write_seeds(folder, some_personas(ROWS))
    (folder / "turn.j2").write_text(TURN)
    (folder / "fact.j2").write_text(FACT)
    job = job_in(folder, text=JOB)
    Rehearsal().run(job)
    rows = rows_of(job)
    assert len(rows) == ROWS
    (folder / "job.yaml").unlink()
    return Made(folder, log(Corpus(job.corpus))[0].version, rows)


@dataclass
class Change:
    """A change of the job or its seeds, which rows it touches, by id, and from which stage on."""

    name: str
    overrides: tuple[str, ...] = ()
    seeds: Callable[[Personas], None] = lambda _: None
    stage: str | None = None
    touched: Callable[[dict[str, Row], dict[str, Row]], set[str]] = field(default=lambda _, after: set(after))


def new(before: dict[str, Row], after: dict[str, Row]) -> set[str]:
    return after.keys() - before.keys()


def of_edited(_: dict[str, Row], after: dict[str, Row]) -> set[str]:
    return {key for key, row in after.items() if {seed.id for seed in row.seeds} & {f"p{n}" for n in range(SOME)}}


def add(personas: Personas) -> None:
    personas |= {f"new{number}": [f"I keep {number} newts."] for number in range(SOME)}


def remove(personas: Personas) -> None:
    for number in range(SOME):
        del personas[f"p{number}"]


def edit(personas: Personas) -> None:
    personas |= {f"p{number}": [f"I keep {number} newts."] for number in range(SOME)}


CHANGES = [
    Change("nothing"),
    Change("run knobs", ("run.rows_per_shard=7", "models.dialogue.max_num_seqs=3", "models.nli.batch_size=2")),
    Change("seeds added", seeds=add, stage="converse", touched=new),
    Change("seeds removed", seeds=remove, stage="converse", touched=new),
    Change("seeds edited", seeds=edit, stage="converse", touched=of_edited),
    Change("samples raised", ("pairing.samples=2",), stage="converse", touched=new),
    Change("extraction prompt", ("stages.extract.prompt=other.j2",), stage="extract"),
    Change("extraction gate", ("stages.extract.min_similarity=0.2",), stage="extract"),
    Change("NLI model", ("models.nli.name=org/other",), stage="verify"),
    Change("threshold of select", ("stages.select.flag_contradiction=0.4",), stage="select"),
    Change("dialogue model", ("models.dialogue.name=org/other",), stage="converse"),
    Change("dialogue prompt", ("stages.converse.prompt=other.j2",), stage="converse"),
]


def counted(rehearsal: Rehearsal) -> list[int]:
    """Rows that were generated, extracted and verified, by the requests that came in."""
    first = Counter(request.messages[0]["content"].split()[0] for request in rehearsal.talker.requests)
    talked, extracted = first.pop("Talk.", 0), first.pop("Extract.", 0)
    assert not first
    assert talked % TURNS == extracted % TURNS == 0
    return [talked // TURNS, extracted // TURNS, len(rehearsal.nli.asked)]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_what_a_change_touches_is_redone_and_nothing_else(made: Made, tmp_path: Path, change: Change) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.folder, folder)
    text = FACT if change.name.startswith("extraction") else TURN
    (folder / "other.j2").write_text(text.replace("Begin", "Go on"))
    personas = some_personas(ROWS)
    change.seeds(personas)
    write_seeds(folder, personas)
    job = job_in(folder, *change.overrides, text=JOB)

    foretold = plan(job)
    wanted = wanted_of(foretold)
    touched = change.touched(made.rows, wanted) if change.stage else set()
    rehearsal = Rehearsal()
    rehearsal.run(job)
    after = rows_of(job)

    assert after.keys() == wanted.keys()
    assert changed(made.rows, after) == (moved(made.rows, after) if change.stage == "select" else touched)
    parts = ("converse", "extract", "verify")
    redone = parts[parts.index(change.stage) :] if change.stage in parts else ()
    rows = [len(touched) if stage in redone else 0 for stage in parts]
    assert counted(rehearsal) == rows
    calls = foretold.summary.calls
    assert [calls["converse"], calls["extract"], calls["verify"]] == [rows[0] * TURNS, rows[1] * TURNS, rows[2]]
    assert foretold.summary.drop == len(made.rows.keys() - wanted.keys())
    assert happened(job, made.version) == planned(foretold.summary.reasons)


def changed(before: dict[str, Row], after: dict[str, Row]) -> set[str]:
    """Rows that are new, or not what they were."""
    return {key for key, row in after.items() if row != before.get(key)}


def moved(before: dict[str, Row], after: dict[str, Row]) -> set[str]:
    """Rows that are decided otherwise."""
    found = {
        key for key, row in after.items() if (row.decision, row.reasons) != (before[key].decision, before[key].reasons)
    }
    assert 0 < len(found) < ROWS
    return found


def happened(job: Job, version: int) -> Counter[tuple[str, str]]:
    """What sets the corpus apart from an earlier version, and why."""
    corpus = Corpus(job.corpus)
    return Counter(diff(corpus, version, log(corpus)[0].version).select("what", "why").iter_rows())


def planned(reasons: dict[str, Counter[str]]) -> Counter[tuple[str, str]]:
    """The same in the words of a plan."""
    words = {"make": "added", "drop": "removed", "select": "decided anew"}
    told = {
        (words.get(done, f"redone from {done}"), why): n for done, whys in reasons.items() for why, n in whys.items()
    }
    return Counter(told)


def test_seeds_that_come_and_go_pair_few_others_anew(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "copy")
    for change in (add, remove):
        personas = some_personas(ROWS)
        change(personas)
        write_seeds(tmp_path / "copy", personas)
        wanted = wanted_of(plan(job_in(tmp_path / "copy", text=JOB)))
        own = SOME if change is add else 0
        assert len(new(made.rows, wanted)) - own <= 3 * SOME
