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
  writer: {{engine: vllm, name: org/talker}}
  nli: {{kind: nli, name: org/nli}}
  gate: {{kind: nli, name: org/gate}}
  embedding: {{kind: embedding, name: org/vectors}}
makers:
  converse: {{turns: 2, min_turns: 2, attempts: 1, prompt: turn.j2}}
  extract: {{prompt: fact.j2, nli: gate}}
scores:
  consistency: {{relevance: -1, turn_relevance: -1}}
select:
  reject: {{contradicts_persona: "consistency.contradiction >= 0.9"}}
  flag: {{may_contradict: "consistency.contradiction >= 0.5"}}
run: {{rows_per_shard: 128}}
"""
TURN = "{% block system %}Talk. {{ facts }}{% endblock %}{% block user %}Begin.{% endblock %}"
FACT = "{% block system %}Extract. {{ utterance }}{% endblock %}{% block user %}Begin.{% endblock %}"
ROWS, SOME, TURNS = 2000, 20, 2
ALL = ("converse", "extract", "consistency")

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
    """A change of the job or its seeds, which rows it touches, by id, and which entries are redone for them."""

    name: str
    overrides: tuple[str, ...] = ()
    seeds: Callable[[Personas], None] = lambda _: None
    redone: tuple[str, ...] = ()
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
    Change("run knobs", ("run.rows_per_shard=7", "models.writer.max_num_seqs=3", "models.nli.batch_size=2")),
    Change("seeds added", seeds=add, redone=ALL, touched=new),
    Change("seeds removed", seeds=remove, redone=ALL, touched=new),
    Change("seeds edited", seeds=edit, redone=ALL, touched=of_edited),
    Change("samples raised", ("pairing.samples=2",), redone=ALL, touched=new),
    Change("extraction prompt", ("makers.extract.prompt=other.j2",), redone=("extract", "consistency")),
    Change("extraction gate", ("makers.extract.min_similarity=0.2",), redone=("extract", "consistency")),
    Change("NLI model", ("models.nli.name=org/other",), redone=("consistency",)),
    Change("another score", ("scores.strict={method: consistency, relevance: 0.5}",), redone=("strict",)),
    Change("threshold of select", ("select.flag.may_contradict=consistency.contradiction >= 0.4",), redone=("select",)),
    Change("dialogue model", ("models.writer.name=org/other",), redone=ALL),
    Change("dialogue prompt", ("makers.converse.prompt=other.j2",), redone=ALL),
]


def counted(rehearsal: Rehearsal) -> Counter[str]:
    """Calls of the models, by what the requests that came in were for."""
    first = Counter(request.messages[0]["content"].split()[0] for request in rehearsal.talker.requests)
    talked, extracted = first.pop("Talk.", 0), first.pop("Extract.", 0)
    assert not first
    scored = rehearsal.nli.calls.total() - rehearsal.nli.calls["org/gate"]
    return Counter(converse=talked, extract=extracted, scores=scored)


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
    touched = change.touched(made.rows, wanted) if change.redone else set()
    rehearsal = Rehearsal()
    rehearsal.run(job)
    after = rows_of(job)

    assert after.keys() == wanted.keys()
    assert changed(made.rows, after) == (moved(made.rows, after) if change.redone == ("select",) else touched)
    each = {"converse": TURNS, "extract": TURNS, "consistency": 1, "strict": 1}
    calls = {entry: len(touched) * each[entry] for entry in change.redone if entry in each}
    assert foretold.summary.calls == +Counter(calls)
    assert counted(rehearsal) == Counter(
        converse=calls.get("converse", 0),
        extract=calls.get("extract", 0),
        scores=calls.get("consistency", 0) + calls.get("strict", 0),
    )
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
    """What sets the corpus apart from an earlier version, and why; of what was redone the first."""
    corpus = Corpus(job.corpus)
    told = diff(corpus, version, log(corpus)[0].version).select("what", "why")
    return Counter((what.partition(",")[0], why) for what, why in told.iter_rows())


def planned(reasons: dict[str, Counter[str]]) -> Counter[tuple[str, str]]:
    """The same in the words of a plan."""
    words = {"make": "added", "drop": "removed", "select": "decided again"}
    told = {(words.get(done, f"redone: {done}"), why): n for done, whys in reasons.items() for why, n in whys.items()}
    return Counter(told)


def test_seeds_that_come_and_go_change_few_other_partners(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "copy")
    for change in (add, remove):
        personas = some_personas(ROWS)
        change(personas)
        write_seeds(tmp_path / "copy", personas)
        wanted = wanted_of(plan(job_in(tmp_path / "copy", text=JOB)))
        own = SOME if change is add else 0
        assert len(new(made.rows, wanted)) - own <= 3 * SOME
