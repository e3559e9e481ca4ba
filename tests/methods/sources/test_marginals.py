"""Personas drawn from tables: as frequent as told, as many as asked, and none moved without need."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from factory.methods.sources.marginals import Marginals, MarginalsParams
from factory.planning.plan import plan
from factory.seeds.files import SourceError
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, wanted_of

JOINT = [
    {"age": 20, "job": "student", "people": 5},
    {"age": 40, "job": "cook", "people": 3},
    {"age": 70, "job": "retired", "people": 2},
]
SEXES = {"female": 51.0, "male": 49.0}
RULE = "NOT (sex = 'male' AND age = 20)"
CENSUS: dict[str, Any] = {"columns": {"sex": SEXES}, "tables": [{"of": JOINT, "weight": "people"}]}
FREQUENCIES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=2, max_size=5)


def made(**params: Any) -> list[dict[str, Any]]:
    return list(Marginals(MarginalsParams.model_validate({"make": "marginals", **params})).rows())


def test_frequencies_are_those_of_the_tables_and_p_values_uniform_over_seeds() -> None:
    total, joint, alone, both = 1_000, [], [], []
    for seed in range(100):
        source = Marginals(MarginalsParams.model_validate({"make": "marginals", "n": total, "seed": seed, **CENSUS}))
        rows = list(source.rows())
        ages, sexes = Counter(row["age"] for row in rows), Counter(row["sex"] for row in rows)
        pairs = Counter((row["age"], row["sex"]) for row in rows)
        shares = {age: share / 10 for age, share in ((20, 5), (40, 3), (70, 2))}
        joint.append(chisquare([ages[age] for age in shares], [total * share for share in shares.values()]).pvalue)
        alone.append(chisquare([sexes[sex] for sex in SEXES], [total * share / 100 for share in SEXES.values()]).pvalue)
        expected = {(age, sex): total * shares[age] * SEXES[sex] / 100 for age in shares for sex in SEXES}
        both.append(chisquare([pairs[pair] for pair in expected], list(expected.values())).pvalue)
    for values in (joint, alone, both):
        assert kstest(values, "uniform").pvalue > 0.01
        assert min(values) > 1e-4


def test_counts_are_exact_no_rule_is_broken_and_joint_values_stay_together() -> None:
    rows = made(n=1_586, only=RULE, **CENSUS)
    assert len({row["id"] for row in rows}) == len(rows) == 1_586
    assert {(row["age"], row["job"]) for row in rows} == {(one["age"], one["job"]) for one in JOINT}
    assert not any(row["sex"] == "male" and row["age"] == 20 for row in rows)
    # What is left of the product, each combination as frequent as in it.
    pairs = Counter((row["age"], row["sex"]) for row in rows)
    left = {(one["age"], sex): one["people"] * SEXES[sex] for one in JOINT for sex in SEXES}
    del left[20, "male"]
    expected = np.array(list(left.values())) * len(rows) / sum(left.values())
    assert chisquare([pairs[pair] for pair in left], expected).pvalue > 0.001


@settings(max_examples=60, deadline=None)
@given(FREQUENCIES, FREQUENCIES, st.data())
def test_a_changed_frequency_moves_only_to_or_from_its_value(
    one: dict[str, int], other: dict[str, int], data: st.DataObject
) -> None:
    value, weight = data.draw(st.sampled_from(sorted(one))), data.draw(st.integers(0, 20))
    shuffled = data.draw(st.permutations(sorted(one)))
    if len(one) == 1 and not weight:
        return
    before = made(n=50, columns={"one": one, "other": other})
    after = made(n=50, columns={"other": other, "one": {name: one[name] for name in shuffled} | {value: weight}})
    for old, new in zip(before, after, strict=True):
        assert (old["id"], old["other"]) == (new["id"], new["other"])
        if old["one"] != new["one"]:
            assert value == (new["one"] if weight > one[value] else old["one"])


def test_more_personas_leave_the_first_as_they_are() -> None:
    assert made(n=80, only=RULE, **CENSUS)[:50] == made(n=50, only=RULE, **CENSUS)
    assert made(n=50, seed=1, **CENSUS) != made(n=50, **CENSUS)


def job_of(folder: Path, **params: Any) -> Job:
    entry = {"make": "marginals", "n": 40, "only": RULE, **params}
    text = yaml.safe_dump([entry], default_flow_style=True, width=10_000).strip()
    return job_in(folder, f"seeds={text}", "makers={converse: {turns: 2, min_turns: 2}}", "scores={}", "select=null")


def test_a_changed_table_redoes_only_the_dialogues_of_its_personas(tmp_path: Path) -> None:
    (tmp_path / "census.csv").write_text("age,job,people\n20,student,5\n40,cook,3\n70,retired,2\n")
    census = {"columns": {"sex": SEXES}, "tables": [{"of": "census.csv", "weight": "people"}]}
    job = job_of(tmp_path, **census)
    Rehearsal().run(job)
    assert len(rows_of(job)) == 40
    assert settled(job)
    people = {row["id"]: row for row in made(n=40, only=RULE, **CENSUS)}
    (tmp_path / "census.csv").write_text("age,job,people\n20,student,5\n40,cook,3\n70,retired,4\n")
    older = [row if row["age"] != 70 else row | {"people": 4} for row in JOINT]
    now = {row["id"]: row for row in made(n=40, only=RULE, **CENSUS | {"tables": [{"of": older, "weight": "people"}]})}
    moved = {name for name in people if people[name] != now[name]}
    assert 0 < len(moved) < 20
    after = plan(job)
    touched = [row for row in wanted_of(after).values() if moved & {one.seed_id for one in row.speakers}]
    summary = after.summary
    assert (summary.make, summary.drop, summary.remake.total()) == (0, 0, len(touched))
    assert summary.unchanged == 40 - len(touched) > 0


def test_a_table_of_single_columns_is_that_of_each(tmp_path: Path) -> None:
    lines = ["column,value,share", "zip,01,1", "zip,7,1", "age,20,1", "age,40,3", "height,1.5,1"]
    (tmp_path / "long.csv").write_text("\n".join(lines))
    long = {"of": str(tmp_path / "long.csv"), "weight": "share"}
    rows = made(n=30, tables=[long], facts={"age": "I am {value}.", "zip": {"01": "I live near."}})
    assert rows == made(n=30, columns={"zip": {"01": 1, "7": 1}, "age": {20: 1, 40: 3}, "height": {1.5: 1}},
                        facts={"age": "I am {value}.", "zip": {"01": "I live near."}})  # fmt: skip
    assert {tuple(row["facts"]) for row in rows} >= {("I am 40.", "I live near."), ("I am 40.",)}
    alone = made(n=30, tables=[long | {"columns": ["age"]}])
    assert [set(row) for row in alone] == [{"id", "facts", "age"}] * 30
    assert [row["age"] for row in alone] == [row["age"] for row in rows]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (
            {"only": "age > 90"},
            "`only` forbids nearly all that the tables give: 9 of 9 personas were drawn 1,000 times",
        ),
        ({"only": "agee > 9"}, "reads agee, which is no column; did you mean age"),
        ({"facts": {"jbo": "I am a {value}."}}, "`facts` speaks of jbo, which is no column; did you mean job"),
        ({"columns": {"age": {1: 1}}}, "age is a column of two tables"),
        ({"tables": [{"of": JOINT}]}, "row 1: no column 'weight': name that of the frequencies in `weight`"),
        ({"tables": [{"of": JOINT, "weight": "job"}]}, "row 1: the frequency in 'job' is 'student'"),
        ({"tables": [{"of": JOINT, "weight": "people", "columns": ["agee"]}]}, "row 1: None is not a value"),
        ({"tables": [{"of": [{"a": 1, "weight": 0}]}]}, "no value of a has a frequency above 0"),
        ({"tables": [{"of": [{"a": 1, "weight": 1}, {"a": "x", "weight": 1}]}]}, "a: its values are not all text"),
        ({"tables": [{"of": [{"my a": 1, "weight": 1}]}]}, "my a: the name of a column has letters"),
        ({"tables": [{"of": [{"a": 1, "weight": 1}, {"b": 1, "weight": 1}]}]}, "row 2: it has other columns"),
    ],
)
def test_what_cannot_be_drawn_is_told(params: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, SourceError), match=told):
        made(n=9, **CENSUS | params)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, "seeds.0.tables: there is nothing to draw from"),
        ({"columns": {"my sex": SEXES}}, "seeds.0.columns: my sex: the name of a column has letters"),
        ({"columns": {"sex": {"female": -1}}}, "seeds.0.columns: sex: a frequency is a number from 0"),
        ({"columns": {"sex": SEXES}, "only": "COUNT(sex) > 1"}, "seeds.0.only: .* holds what no condition may"),
        ({"columns": {"sex": SEXES}, "facts": {"sex": "I am."}}, "seeds.0.facts: sex: .* says the same of every value"),
        ({"columns": {"sex": SEXES}, "n": 0}, "seeds.0.n: Input should be greater than or equal to 1"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({"corpus": "c", "seeds": [{"make": "marginals", "n": 5, **params}]}))
    with pytest.raises(YamlError, match=told) as caught:
        load_job(path)
    assert ", line " in str(caught.value)
