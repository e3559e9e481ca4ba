from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.planning.plan import plan
from factory.planning.wanted import PlanError, Wanted
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, wanted_of

JOB = """\
corpus: corpus
seeds: [{files}]
pairing: {{partners: {partners}, match: {{{match}}}}}
models: {{writer: {{engine: scripted, name: scripted}}}}
makers: {{converse: {{}}}}
"""
Pair = tuple[str, str]


def person(number: int, draw: random.Random) -> dict[str, Any]:
    return {
        "id": f"p{number}",
        "facts": [f"I am number {number}."],
        "age": draw.randint(18, 90),
        "city": draw.choice("ABCDEFGHIJKLMNOPQRST") * 3,
        "clusters": draw.sample(range(40), 6),
    }


def write(path: Path, people: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, people)))
    os.utime(path, (time.time() - 60,) * 2)  # so that what was read of it is kept


def matched(folder: Path, match: str, files: str = "a.jsonl", partners: int = 1) -> Job:
    named = ", ".join(f"{{path: {name}}}" for name in files.split())
    (folder / "job.yaml").write_text(JOB.format(files=named, match=match, partners=partners))
    return load_job(folder / "job.yaml")


def keys_of(wanted: Wanted) -> set[tuple[int, int]]:
    slots, keys = wanted.slots(0, 2**64 - 1), wanted.seeds.sorted.key
    return set(zip(keys[slots.first].tolist(), keys[slots.second].tolist(), strict=True))


MATCHES = ("by: attributes.age", "by: attributes.age, want: far", "by: attributes.city",
           "by: attributes.clusters, at_least: 3", "by: attributes.clusters, want: far")  # fmt: skip


@pytest.mark.parametrize("match", MATCHES)
def test_a_seed_that_joins_or_leaves_ten_thousand_moves_at_most_20_rows(match: str, tmp_path: Path) -> None:
    """Rows that move are those of others whose partner becomes another one, and its own."""
    draw = random.Random(11)
    write(tmp_path / "a.jsonl", [person(number, draw) for number in range(10_000)])
    for number in range(4):
        write(tmp_path / f"more{number}.jsonl", [person(10_000 + number, draw)])
    before = keys_of(plan(matched(tmp_path, match)).wanted)
    for number in range(4):
        after = keys_of(plan(matched(tmp_path, match, f"a.jsonl more{number}.jsonl")).wanted)
        joined, left = len(after - before), len(before - after)
        assert max(joined, left) <= 20
        assert joined or "at_least" in match


def similarity(one: dict[str, Any], other: dict[str, Any], name: str) -> float:
    if name == "age":
        return -abs(one["age"] - other["age"])
    if name == "city":
        return float(one["city"] == other["city"])
    return len(set(one["clusters"]) & set(other["clusters"]))


def people_in(folder: Path, count: int, seed: int = 3) -> dict[str, dict[str, Any]]:
    draw = random.Random(seed)
    people = [person(number, draw) for number in range(count)]
    write(folder / "a.jsonl", people)
    return {one["id"]: one for one in people}


def pairs(job: Job) -> list[Pair]:
    return [(row.seeds[0].id, row.seeds[1].id) for row in wanted_of(plan(job)).values()]


@pytest.mark.parametrize("name", ["age", "city", "clusters"])
def test_near_partners_are_more_alike_than_any_and_far_ones_less(name: str, tmp_path: Path) -> None:
    people = people_in(tmp_path, 400)

    def mean(found: list[Pair]) -> float:
        assert len(found) == 800
        return float(np.mean([similarity(people[one], people[other], name) for one, other in found]))

    near, far = (
        mean(pairs(matched(tmp_path, f"by: attributes.{name}, want: {want}", partners=2))) for want in ("near", "far")
    )
    matched(tmp_path, "by: attributes.age", partners=2)
    drawn = mean(pairs(load_job(tmp_path / "job.yaml", ["pairing.match=null"])))
    assert near > drawn > far
    if name == "city":
        assert (near, far) == (1.0, 0.0), "who has a value in common is looked for, not hit upon"


def test_partners_share_at_least_so_many_values_and_who_has_none_is_told_of(tmp_path: Path) -> None:
    people = people_in(tmp_path, 300)
    people["p7"]["clusters"] = ["alone"]
    write(tmp_path / "a.jsonl", list(people.values()))
    planned = plan(matched(tmp_path, "by: attributes.clusters, at_least: 3", partners=2))
    found = [(row.seeds[0].id, row.seeds[1].id) for row in wanted_of(planned).values()]
    assert len(found) == len(set(found)) == len(planned.wanted) > 400
    assert min(similarity(people[one], people[other], "clusters") for one, other in found) >= 3
    assert "p7" not in {name for pair in found for name in pair}
    fewer = sum(1 for name in people if sum(name == one for one, _ in found) < 2)
    (told,) = planned.summary.unkept
    assert told.startswith(f"{fewer} of 300 personas get fewer than 2 partner(s): no candidate has 3 value(s) of")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.integers(2, 12), st.integers(1, 3), st.sampled_from(MATCHES))
def test_pairs_do_not_depend_on_the_order_of_seeds_and_partners_differ(
    tmp_path: Path, draw: random.Random, count: int, partners: int, match: str
) -> None:
    people = [person(number, draw) for number in range(count)]
    for one in people[::3]:
        del one["age"], one["clusters"]
    people[1] |= {"age": 30, "clusters": [1, 2, 3, 4]}
    match = match.replace("at_least: 3", "at_least: 1")

    def found() -> list[Pair] | str:
        write(tmp_path / "a.jsonl", people)
        try:
            return sorted(pairs(matched(tmp_path, match, partners=partners)))
        except PlanError as error:
            return str(error).partition(";")[0]

    drawn = found()
    draw.shuffle(people)
    assert found() == drawn
    if isinstance(drawn, list):
        assert len(set(drawn)) == len(drawn)
        assert all(one != other for one, other in drawn)
        if "at_least" not in match:
            assert len(drawn) == count * min(partners, count - 1)
    else:
        assert "at_least" in match


def test_pools_are_matched_and_a_new_plan_finds_nothing_to_do(tmp_path: Path) -> None:
    rows = [
        {"id": f"{role}{age}", "facts": [f"I am {age}."], "age": age, "role": role}
        for role in "xy"
        for age in range(20)
    ]
    (tmp_path / "seeds").mkdir()
    write(tmp_path / "seeds" / "a.jsonl", rows)
    pools = [f"pairing.pools.{role}=attributes.role = '{role}'" for role in "xy"]
    job = job_in(tmp_path, *pools, "pairing.match.by=attributes.age", "makers.augment=null")
    Rehearsal().run(job)
    made = [(row.seeds[0].id, row.seeds[1].id) for row in rows_of(job).values()]
    assert sorted(one for one, _ in made) == sorted(f"x{age}" for age in range(20))
    assert all(other.startswith("y") for _, other in made)
    assert np.mean([abs(int(one[1:]) - int(other[1:])) for one, other in made]) < 4, "of any two it is 6.65"
    assert settled(job)


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("by: attributes.town", r"match\.by: no seed has the attribute town\. There are: age, city, clusters"),
        ("by: attributes.citty", r"no seed has the attribute citty; did you mean city\?"),
        (
            "by: attributes.age, at_least: 3",
            r"at_least counts values of texts and lists, and attributes\.age is a number",
        ),
        (
            "by: attributes.clusters, at_least: 7",
            r"no two personas have 7 value\(s\) of attributes\.clusters in common",
        ),
    ],
)
def test_matches_that_cannot_be(match: str, message: str, tmp_path: Path) -> None:
    people_in(tmp_path, 20)
    with pytest.raises(PlanError, match=message):
        plan(matched(tmp_path, match))


def test_a_number_that_is_none_in_some_seeds_is_named(tmp_path: Path) -> None:
    people = list(people_in(tmp_path, 20).values())
    people[4]["age"] = "unknown"
    write(tmp_path / "a.jsonl", people)
    why = r"is a number of 19 seeds, but not of 1; the first is 'unknown' \(a\.jsonl, line 5\)"
    with pytest.raises(PlanError, match=why):
        plan(matched(tmp_path, "by: attributes.age"))
