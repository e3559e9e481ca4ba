from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.export.slots import slots
from factory.methods.makers.converse import Converse
from factory.methods.scores.consistency import scored_pairs
from factory.planning.plan import plan
from factory.planning.wanted import PlanError
from factory.spec.job import Job
from factory.store.records import Row
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, wanted_of

ROLES = ("pairing.pools.doctor=attributes.role = 'doctor'", "pairing.pools.patient=attributes.role = 'patient'")
NO_DONORS = "makers.augment=null"
OPENING = "seeds.0.fields.opening=question"


def write(folder: Path, rows: list[dict[str, Any]], name: str = "a.jsonl") -> None:
    (folder / "seeds").mkdir(exist_ok=True)
    (folder / "seeds" / name).write_text("\n".join(map(json.dumps, rows)))


def people(**roles: str | None) -> list[dict[str, Any]]:
    return [{"id": name, "facts": [f"I am {name}."], "role": role} for name, role in roles.items()]


def pairs_of(job: Job) -> Counter[tuple[str, ...]]:
    return Counter(tuple(seed.id for seed in row.seeds) for row in wanted_of(plan(job)).values())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["doctor", "patient", "nurse", None]), min_size=4, max_size=20), st.integers(1, 3))
def test_a_seat_holds_its_pool_only(tmp_path: Path, roles: list[str | None], partners: int) -> None:
    roles = ["doctor", *["patient"] * partners, *roles]
    write(tmp_path, people(**{f"s{number}": role for number, role in enumerate(roles)}))
    job = job_in(tmp_path, *ROLES, f"pairing.partners={partners}", "pairing.samples=2", NO_DONORS)
    rows = list(wanted_of(plan(job)).values())
    assert {(one.attributes["role"], other.attributes["role"]) for one, other in (row.speakers for row in rows)} == {
        ("doctor", "patient")
    }
    assert len(rows) == len(plan(job).wanted) == roles.count("doctor") * partners * 2
    openers = Counter(row.seeds[0].id for row in rows)
    assert set(openers.values()) == {2 * partners}
    assert max(pairs_of(job).values()) == 2, "partners of one doctor differ"


def test_roles_are_told_to_both_and_nobody_is_judged_by_what_it_was_not_shown(tmp_path: Path) -> None:
    write(tmp_path, people(ann="doctor", bo="patient", cy="patient", di="doctor", ed=None))
    job = job_in(tmp_path, *ROLES, "pairing.partners=2", "scores.consistency.relevance=-1")
    rehearsal = Rehearsal()
    result = rehearsal.run(job)
    assert result.summary.unkept == ["1 persona(s) are in no pool, neither doctor nor patient, and are left out"]
    rows = list(rows_of(job).values())
    assert len(rows) == 4
    assert settled(job)
    converse = Converse(job.makers["converse"])
    for row in rows:
        assert [speaker.role for speaker in row.speakers] == ["doctor", "patient"]
        said = [pair.pair for pair in scored_pairs(row) if pair.pair.check == "turn_persona"]
        assert {pair.turn for pair in said} == {0, 1, 2}
        for pair in said:
            shown = converse.messages(row, pair.turn)[0]["content"]
            assert f"Your role: {('doctor', 'patient')[pair.turn % 2]}" in shown
            assert f"- {pair.premise}" in shown


def test_a_role_of_the_maker_stands_before_that_of_the_pool(tmp_path: Path) -> None:
    job = job_in(tmp_path, *ROLES, "makers.converse.roles=[a tired doctor, someone ill]")
    assert job.makers["converse"].roles == ("a tired doctor", "someone ill")
    assert job_in(tmp_path, *ROLES).makers["converse"].roles == ("doctor", "patient")


def test_pools_by_numbers_and_by_files(tmp_path: Path) -> None:
    write(tmp_path, [{"id": f"p{age}", "facts": [f"I am {age}."], "age": age} for age in (9, 12, 30, 100)])
    write(tmp_path, people(cat=None), "b.jsonl")
    old, young = "pairing.pools.old=attributes.age >= 30", "pairing.pools.young=attributes.age < 30"
    assert set(pairs_of(job_in(tmp_path, old, young, "pairing.partners=2"))) == {
        (one, other) for one in ("p30", "p100") for other in ("p9", "p12")
    }
    files = [f"pairing.pools.{name}=seed.file = 'seeds/{name}.jsonl'" for name in "ab"]
    assert set(pairs_of(job_in(tmp_path, *files))) == {(f"p{age}", "cat") for age in (9, 12, 30, 100)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["pairing.pools.patient=attributes.rol = 'x'"],
            r"no seed has the attribute rol; did you mean role\? There are",
        ),
        (
            ["pairing.pools.patient=attributes.role = 'Patient'"],
            r"pools\.patient: no persona is one of whom .* holds; attributes\.role is 'patient', 'doctor'",
        ),
        (
            ["pairing.pools.patient=attributes.role IS NOT NULL"],
            r"1 persona\(s\) are in both pools, doctor and patient, the first of them at seeds/a\.jsonl, line 1",
        ),
        (["pairing.partners=3"], r"pairing\.partners is 3, but the pool patient has 2 persona"),
        (["pairing.pools.patient=attributes.role > 3"], r"pools\.patient: .*; attributes\.role is text"),
    ],
)
def test_pools_that_cannot_be(tmp_path: Path, changes: list[str], message: str) -> None:
    write(tmp_path, people(ann="doctor", bo="patient", cy="patient"))
    with pytest.raises(PlanError, match=message):
        plan(job_in(tmp_path, *ROLES, *changes))


def questions(*texts: str) -> list[dict[str, Any]]:
    return [{"question": text} for text in texts]


ASKED = questions("What do you do?", "Who are you?", "Where do you live?", "Do you sing?")
CROSS = (OPENING, "pairing.cross.openings=3", NO_DONORS, "makers.expand=null", "makers.extract=null")


def crossed(row: Row) -> tuple[str | None, str]:
    return row.opening, row.seeds[-1].id


def test_each_opening_is_answered_by_so_many_different_characters(tmp_path: Path) -> None:
    write(tmp_path, [*people(**{f"c{number}": None for number in range(9)}), *ASKED])
    job = job_in(tmp_path, *CROSS, "pairing.samples=2", "makers.converse.turns=2", "makers.converse.min_turns=2")
    rows = list(wanted_of(plan(job)).values())
    assert len(rows) == len(plan(job).wanted) == 4 * 3 * 2
    answered = Counter(map(crossed, rows))
    assert set(answered.values()) == {2}
    assert Counter(opening for opening, _ in answered) == {row["question"]: 3 for row in ASKED}
    Rehearsal().run(job)
    assert settled(job)
    for row in rows_of(job).values():
        (first, second), (asker, character) = row.turns, row.speakers
        assert (first.text, first.attempts, second.attempts) == (row.opening, 0, 1)
        assert (asker.facts, len(character.facts)) == ([], 1)
        assert (row.kind, row.scores["consistency"]["profile_length"]) == ("generated", 0.5)


def test_who_asks_gets_no_facts_from_makers(tmp_path: Path) -> None:
    write(tmp_path, [*people(ann=None, bo=None), *ASKED[:2]])
    job = job_in(
        tmp_path, OPENING, "pairing.cross.openings=1", "makers.expand.count=1", "makers.extract=null",
        "makers.augment.probability=1", "makers.converse.turns=2", "makers.converse.min_turns=2",
    )  # fmt: skip
    Rehearsal().run(job)
    rows = list(rows_of(job).values())
    assert len(rows) == 2
    for row in rows:
        asker, character = row.speakers
        assert (asker.facts, character.facts_of("seed") != []) == ([], True)
        assert {"expand", "augment"} <= {record.stage for record in row.stages}


def test_all_openings_with_all_characters_are_a_product(tmp_path: Path) -> None:
    write(tmp_path, [*people(a=None, b=None), *ASKED])
    job = job_in(tmp_path, OPENING, "pairing.cross.openings=all", NO_DONORS)
    found = Counter(crossed(row) for row in wanted_of(plan(job)).values())
    assert found == {(row["question"], name): 1 for row in ASKED for name in "ab"}
    low, high = plan(job).wanted.slots(0, 2**63 - 1), plan(job).wanted.slots(2**63, 2**64 - 1)
    assert len(low) + len(high) == 8


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)), st.integers(0, 4))
def test_an_opening_more_touches_no_row_of_another_wherever_it_stands(
    tmp_path: Path, order: list[int], place: int
) -> None:
    characters = people(**{f"c{number}": None for number in range(6)})
    write(tmp_path, [*characters, *ASKED])
    before = wanted_of(plan(job_in(tmp_path, *CROSS)))
    others = [ASKED[number] for number in order]
    write(tmp_path, [*others[:place], *questions("How old are you?"), *others[place:], *characters])
    after = wanted_of(plan(job_in(tmp_path, *CROSS)))
    assert before.keys() < after.keys()
    assert {row.opening for key, row in after.items() if key not in before} == {"How old are you?"}
    assert len(after) == len(before) + 3


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (ASKED, ["pairing.cross.openings=3"], r"openings is 3, but the seeds hold 2 persona\(s\)"),
        ([], ["pairing.cross.openings=2"], r"no seed is one: set fields\.opening"),
        (ASKED, [], r"the seeds hold 4 openings: say by pairing\.cross"),
    ],
)
def test_crossings_that_cannot_be(tmp_path: Path, rows: list[dict[str, Any]], changes: list[str], message: str) -> None:
    write(tmp_path, [*people(a=None, b=None), *rows])
    with pytest.raises(PlanError, match=message):
        plan(job_in(tmp_path, OPENING, *changes))


def test_no_slot_is_lost_to_comparisons_for_its_topic(tmp_path: Path) -> None:
    write(tmp_path, people(**{f"c{number}": None for number in range(12)}))
    job = job_in(tmp_path, "pairing.samples=2", "makers.converse.topics=[a, b, c, d, e]", NO_DONORS)
    Rehearsal().run(job)
    rows = sorted(rows_of(job).values(), key=lambda row: row.row_id)
    left_out: list[str] = []
    found = list(slots((("train", row) for row in rows), left_out.append))
    assert (len(found), left_out) == (12, [])
    assert len({row.topic for row in rows}) > 2


def test_partners_of_a_job_without_a_cast_stay_as_they_were(tmp_path: Path) -> None:
    """As drawn before there were casts: a corpus lives for years."""
    write(tmp_path, people(**{f"c{number}": None for number in range(6)}))
    assert sorted(pairs_of(job_in(tmp_path, NO_DONORS))) == [
        ("c0", "c5"), ("c1", "c2"), ("c2", "c1"), ("c3", "c2"), ("c4", "c0"), ("c5", "c0"),
    ]  # fmt: skip
