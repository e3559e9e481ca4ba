"""Planning: exactly what changed is planned, and nothing else is touched."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest

from factory.planning.plan import plan
from factory.planning.wanted import PlanError
from factory.store.records import Row
from tests.local_ray import Death, Killed
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, settled, some_personas, wanted_of, write_seeds

PERSONAS = 12
TURN_PROMPT = "{% block system %}Be kind. {{ facts }}{% endblock %}{% block user %}Begin.{% endblock %}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished corpus; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    write_seeds(folder, some_personas(PERSONAS))
    (folder / "turn.j2").write_text(TURN_PROMPT)
    Rehearsal().run(job_in(folder))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    (copy / "job.yaml").unlink()
    return copy


def test_an_unchanged_job_has_nothing_to_do(made: Path) -> None:
    again = plan(job_in(made))
    assert (again.summary.rows, again.summary.model_calls) == (0, 0)
    assert again.summary.unchanged == PERSONAS
    assert not list(again.work())


@pytest.mark.parametrize(
    ("override", "stage"),
    [
        ("makers.expand.count=2", "expand"),
        ("makers.expand.contradiction=0.4", "expand"),
        ("makers.converse.turns=4", "converse"),
        ("makers.converse.sampling.temperature=0.2", "converse"),
        ("makers.converse.topics=[pets]", "converse"),
        ("makers.converse.prompt=turn.j2", "converse"),
        ("makers.extract.min_similarity=0.2", "extract"),
        ("makers.extract.sampling.max_tokens=95", "extract"),
        ("makers.augment.probability=0.4", "augment"),
        ("makers.augment.max_similarity=0.8", "augment"),
        ("scores.consistency.relevance=0.5", "consistency"),
        ("select.reject.short=row.turns < 4", "select"),
        ("models.writer.name=org/other", "expand"),
        ("models.writer.revision=v2", "expand"),
        ("models.writer.dtype=float16", "expand"),
        ("models.writer.quantization=awq", "expand"),
        ("models.nli.name=org/other", "expand"),
        ("models.nli.max_length=64", "expand"),
        ("models.embedding.revision=v2", "expand"),
        ("makers.expand=null", "converse"),
        ("makers.extract=null", "augment"),
        ("makers.augment=null", "left_out"),
        ("select=null", "left_out"),
    ],
)
def test_a_changed_job_remakes_every_row_from_the_first_entry_it_touches(made: Path, override: str, stage: str) -> None:
    summary = plan(job_in(made, override)).summary
    assert summary.remake == Counter({stage: PERSONAS})
    assert (summary.make, summary.drop, summary.unchanged) == (0, 0, 0)


@pytest.mark.parametrize(
    "override",
    [
        "run.rows_per_shard=1",
        "run.rows_per_shard=500",
        "run.shards_per_worker=7",
        "run.workers.writer={min: 2, max: 9, cpus: 4, gpus: 1}",
        "run.dialogues_in_flight=3",
        "run.stall_timeout_s=5",
        "run.max_bad_seeds=1",
        "models.writer.max_num_seqs=3",
        "models.writer.max_model_len=2048",
        "models.writer.engine=openai",
        "models.writer.base_url=http://host/v1",
        "models.writer.gpu_memory_utilization=0.5",
        "models.nli.batch_size=3",
        "models.embedding.batch_size=3",
        "seeds.0.path=seeds/a.jsonl",
        "scores.consistency.relevance=-1.0",
    ],
)
def test_a_turned_knob_plans_nothing(made: Path, override: str) -> None:
    assert settled(job_in(made, override))


@pytest.mark.parametrize(
    ("override", "make", "drop"),
    [
        ("pairing.samples=3", 2 * PERSONAS, 0),
        ("pairing.partners=2", PERSONAS, 0),
        ("seeds.0.path=seeds/b.jsonl", 2, 12),
    ],
)
def test_slots_that_come_and_go(folder: Path, override: str, make: int, drop: int) -> None:
    write_seeds(folder, {"new0": ["I sing."], "new1": ["I dance."]}, file="b.jsonl")
    (folder / "seeds" / "b.jsonl").rename(folder / "b.jsonl")
    summary = plan(job_in(folder, override.replace("seeds/b", "b"))).summary
    assert (summary.make, summary.drop, summary.remake) == (make, drop, Counter())


def test_moved_and_reordered_seeds_plan_nothing(folder: Path) -> None:
    personas = list(some_personas(PERSONAS).items())
    write_seeds(folder, dict(personas[7:]), file="a.jsonl")
    write_seeds(folder, dict(reversed(personas[:7])), file="deeper.jsonl")
    assert settled(job_in(folder))


def origin(row: Row, *stages: str) -> tuple[object, ...]:
    """What these stages left on a row."""
    row = deepcopy(row)
    return (
        row.turns if "converse" in stages else None,
        row.extracted if "extract" in stages else None,
        [speaker.facts_of("seed", "expand") for speaker in row.speakers],
        [record for record in row.stages if record.stage in stages],
    )


def change(personas: dict[str, list[str]], how: str) -> None:
    if how == "add":
        personas["p99"] = ["I keep *p99* pets."]
    elif how == "remove":
        del personas["p3"]
    else:
        personas["p3"] = ["I keep no pets."]


@pytest.mark.parametrize("how", ["add", "remove", "edit"])
def test_one_changed_seed_touches_its_rows_and_those_it_gave_distractors_to(folder: Path, how: str) -> None:
    job, personas = job_in(folder), some_personas(PERSONAS)
    before = rows_of(job)
    change(personas, how)
    write_seeds(folder, personas)
    planned = plan(job)
    wanted = wanted_of(planned)

    both = before.keys() & wanted.keys()
    remade = {key for key in both if how == "edit" and "p3" in {seed.id for seed in before[key].seeds}}
    augmented = {key for key in both - remade if before[key].donors != wanted[key].donors}
    assert planned.summary.make == len(wanted.keys() - before.keys())
    assert planned.summary.drop == len(before.keys() - wanted.keys())
    assert planned.summary.remake == +Counter(expand=len(remade), augment=len(augmented))
    assert planned.summary.unchanged == len(both) - len(remade) - len(augmented) > 0

    Rehearsal().run(job)
    after = rows_of(job)
    assert after.keys() == wanted.keys()
    for key in both - remade - augmented:
        assert after[key] == before[key]
    for key in remade:
        facts = [speaker.facts_of("seed") for speaker in wanted[key].speakers]
        assert [speaker.facts_of("seed") for speaker in after[key].speakers] == facts
    for key in augmented:
        kept = ("expand", "converse", "extract")
        assert origin(after[key], *kept) == origin(before[key], *kept)
        assert after[key].donors == wanted[key].donors
    assert settled(job)


@pytest.mark.parametrize(
    ("override", "kept", "calls"),
    [
        (
            "select.flag.may_contradict=consistency.contradiction >= 0.05",
            ("expand", "converse", "extract", "augment", "consistency"),
            0,
        ),
        ("scores.consistency.relevance=0.5", ("expand", "converse", "extract", "augment"), 0),
        ("makers.augment.probability=1", ("expand", "converse", "extract"), 0),
        ("makers.extract.form=triple", ("expand", "converse"), 3 * PERSONAS),
        ("makers.extract=null", ("expand", "converse"), 0),
        ("select=null", ("expand", "converse", "extract", "augment", "consistency"), 0),
    ],
)
def test_what_comes_before_a_changed_stage_keeps_its_bytes(
    folder: Path, override: str, kept: tuple[str, ...], calls: int
) -> None:
    before = rows_of(job_in(folder))
    job, rehearsal = job_in(folder, override), Rehearsal()
    planned = rehearsal.run(job)
    after = rows_of(job)
    assert (
        len(rehearsal.talker.requests)
        == calls
        == planned.summary.model_calls
        - sum(count for stage, count in planned.summary.calls.items() if stage in {"augment", "consistency"})
    )
    assert after.keys() == before.keys()
    for key, row in after.items():
        assert origin(row, *kept) == origin(before[key], *kept)
        chain = planned.wanted.making.recipes["generated"]
        assert [record.stage for record in row.stages] == [recipe.stage for recipe in chain]
    assert settled(job)


def test_a_decision_that_is_no_longer_asked_for_is_taken_off_the_rows(folder: Path) -> None:
    job = job_in(folder, "select=null")
    Rehearsal().run(job)
    assert all(row.decision is None and row.scores for row in rows_of(job).values())


def test_a_renamed_seed_is_another_seed(tmp_path: Path) -> None:
    one, other = "makers.augment=null", "makers.expand=null"
    personas = some_personas(2)
    write_seeds(tmp_path, personas)
    Rehearsal().run(job_in(tmp_path, one, other))
    personas["renamed"] = personas.pop("p1")
    write_seeds(tmp_path, personas)
    summary = plan(job_in(tmp_path, one, other)).summary
    assert (summary.make, summary.drop, summary.unchanged) == (2, 2, 0)


def test_as_many_unreadable_seeds_as_allowed_are_allowed(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3) | {"bad": [], "worse": []})
    assert plan(job_in(tmp_path, "run.max_bad_seeds=2")).summary.bad_seeds == 2
    with pytest.raises(PlanError, match="more than 1 unreadable"):
        plan(job_in(tmp_path, "run.max_bad_seeds=1"))


@pytest.mark.parametrize("mode", ["turns", "script"])
def test_the_calls_that_a_plan_foretells_are_those_that_are_made(tmp_path: Path, mode: str) -> None:
    write_seeds(tmp_path, some_personas(4))
    job, rehearsal = job_in(tmp_path, f"makers.converse.mode={mode}"), Rehearsal()
    summary = rehearsal.run(job).summary
    least, calls, most = (
        sum(counts[entry] for entry in ("expand", "converse", "extract"))
        for counts in (summary.least_calls, summary.calls, summary.most_calls)
    )
    assert least <= len(rehearsal.talker.requests) == calls <= most


def test_failed_rows_are_left_alone_until_they_are_asked_for(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*p2*"}
    rehearsal.run(job)
    failed = letters_of(job)
    touched = {key for key, row in wanted_of(plan(job)).items() if "p2" in {seed.id for seed in row.seeds}}
    assert failed.keys() == touched
    assert {(letter.stage, letter.reason, letter.attempts) for letter in failed.values()} == {
        ("converse", "turn_empty", 1)
    }

    assert (plan(job).summary.rows, plan(job).summary.failed) == (0, len(failed))
    assert plan(job, retry_failed=True).summary.make == len(failed)
    rehearsal.run(job, retry_failed=True)
    assert {letter.attempts for letter in letters_of(job).values()} == {2}

    rehearsal.talker.mute = set()
    rehearsal.run(job, retry_failed=True)
    assert not letters_of(job)
    assert rows_of(job).keys() == wanted_of(plan(job)).keys()


def test_a_row_that_is_retried_behind_a_crash_leaves_no_letter(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    rehearsal, other = Rehearsal(), "makers.converse.turns=4"
    rehearsal.run(job_in(tmp_path, "run.rows_per_shard=9"))
    rehearsal.talker.mute = {"*p1*"}
    job = job_in(tmp_path, other, "run.rows_per_shard=9")
    with pytest.raises(Killed):
        rehearsal.run(job, deaths=[Death("before commit rows")])
    assert rows_of(job).keys() & letters_of(job).keys()
    rehearsal.talker.mute = set()
    rehearsal.run(job, retry_failed=True)
    assert not letters_of(job)
    assert settled(job)


def test_staged_rows_of_a_dead_run_are_not_made_again(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path, "run.rows_per_shard=100"), Rehearsal()
    with pytest.raises(Killed):
        rehearsal.run(job, deaths=[Death("before merge")])
    asked = len(rehearsal.talker.requests)
    assert (plan(job).summary.make, plan(job).summary.model_calls) == (6, 0)
    assert not rows_of(job)
    rehearsal.run(job)
    assert (len(rehearsal.talker.requests), len(rows_of(job))) == (asked, 6)


def test_staged_rows_are_brought_up_to_seeds_that_changed_since(tmp_path: Path) -> None:
    personas = some_personas(8)
    write_seeds(tmp_path, personas)
    job, rehearsal = job_in(tmp_path, "run.rows_per_shard=100"), Rehearsal()
    with pytest.raises(Killed):
        rehearsal.run(job, deaths=[Death("before merge")])
    change(personas, "add")
    change(personas, "edit")
    write_seeds(tmp_path, personas)
    rehearsal.run(job)
    assert settled(job)
    assert rows_of(job).keys() == wanted_of(plan(job)).keys()


DIALOGUE = {"id": "d", "turns": ["I ski.", "I cook."], "personas": [["I have skis."], []]}


def test_dialogues_pass_only_the_stages_after_converse(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3))
    (tmp_path / "seeds" / "d.jsonl").write_text(json.dumps(DIALOGUE))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    (row,) = [row for row in rows_of(job).values() if row.kind == "imported"]
    assert [turn.text for turn in row.turns] == DIALOGUE["turns"]
    assert [record.stage for record in row.stages] == ["extract", "augment", "consistency", "select"]
    assert plan(job_in(tmp_path, "makers.converse.turns=5")).summary.remake == Counter(converse=3)
    again = plan(job_in(tmp_path, "makers.extract.min_similarity=0.2")).summary
    assert again.remake == Counter(extract=4)
    assert again.calls["extract"] == 3 * 3 + len(DIALOGUE["turns"])


@pytest.mark.parametrize(
    ("seeds", "overrides", "message"),
    [
        ({"a": ["I ski."]}, (), r"1 readable seed\(s\): a dialogue needs two personas"),
        (
            {"a": ["I ski."], "b": ["I sail."]},
            ("makers.converse=null",),
            "no maker writes dialogues of them; add makers.converse",
        ),
        (
            {"d": DIALOGUE},
            ("makers={converse: {}}", "scores={}", "select=null"),
            "the seeds are dialogues, but there is no maker, score or select",
        ),
        ({"d": DIALOGUE | {"personas": [[], []]}}, ("makers={augment: {}}",), "augment needs facts"),
        (
            {"a": [], "b": [], "c": []},
            ("run.max_bad_seeds=2",),
            r"more than 2 .*bad_seeds\).*\n.*a.jsonl, line 1: empty",
        ),
    ],
)
def test_jobs_that_cannot_be_planned_say_why(
    tmp_path: Path, seeds: dict[str, object], overrides: tuple[str, ...], message: str
) -> None:
    rows = [facts if isinstance(facts, dict) else {"id": name, "facts": facts} for name, facts in seeds.items()]
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(PlanError, match=message):
        plan(job_in(tmp_path, *overrides))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", b"\x1f\x8b damaged"),
        ("a.jsonl", '{"id": "p0", "facts": ["I ski."]}'.encode("utf-16-le")),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        ("a.jsonl", b""),
        ("a.json", b'[{"id": "p0", "facts": ["I ski."]},'),
        ("a.csv", "id,facts,größe\np0,I ski.,3\n".encode("latin-1")),
        ("a.csv", b'id,"facts\np0,I ski.\n'),
        ("a.parquet", b"PAR1 damaged PAR1"),
    ],
)
def test_a_damaged_seed_file_never_drops_rows(folder: Path, name: str, content: bytes) -> None:
    (folder / "seeds" / "a.jsonl").unlink()
    (folder / "seeds" / name).write_bytes(content)
    write_seeds(folder, dict(list(some_personas(PERSONAS).items())[:4]), file="b.jsonl")
    with pytest.raises(PlanError, match=rf"{name}.*the damage hides seeds, and \d+ rows would be dropped"):
        plan(job_in(folder, "seeds=[{path: seeds/*}]"))


def test_a_row_that_is_no_seed_is_no_damage_to_its_file(folder: Path) -> None:
    write_seeds(folder, dict(list(some_personas(PERSONAS).items())[:-1]))
    with (folder / "seeds" / "a.jsonl").open("ab") as file:
        file.write(b"\n{broken\n\xff\n")
    summary = plan(job_in(folder)).summary
    assert summary.bad_seeds == 2
    assert summary.reasons["drop"]["seed removed"] > 0
