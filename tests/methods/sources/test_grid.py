from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.sources.grid import Grid, GridParams
from factory.planning.plan import PlanError, plan
from factory.seeds.files import SourceError
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from tests.rehearsal import Rehearsal, job_in, rows_of, settled

PATIENT: dict[str, Any] = {
    "personality": ["plain", "verbose", "distrust", "pleasing", "impatient", "overanxious"],
    "language": ["A", "B", "C"],
    "recall": ["low", "high"],
    "dazed": ["normal", "high"],
}
"""Axes of PatientSim (arXiv 2505.17818); the rule is that of its `mapping_persona.py`."""
RULE = "dazed = 'normal' OR (personality = 'plain' AND language = 'B' AND recall = 'high')"
NAMES = st.sampled_from(["mood", "age", "order", "smoker"])
AXIS = st.one_of(
    st.lists(st.text("abc'\" {}", min_size=1, max_size=3), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(-3, 3), min_size=1, max_size=4, unique=True),
    st.just([True, False]),
)


def made(**params: Any) -> list[dict[str, Any]]:
    return list(Grid(GridParams.model_validate({"make": "grid", **params})).rows())


def test_the_patients_of_patientsim_are_37_of_72() -> None:
    assert len(made(axes=PATIENT)) == 72
    patients = made(axes=PATIENT, only=RULE)
    assert len(patients) == 37
    dazed = [row for row in patients if row["dazed"] == "high"]
    assert [(row["personality"], row["language"], row["recall"]) for row in dazed] == [("plain", "B", "high")]
    assert len({tuple(row[axis] for axis in PATIENT) for row in patients}) == 37


@given(st.dictionaries(NAMES, AXIS, min_size=1, max_size=3), st.data())
def test_a_rule_leaves_out_what_it_says_and_nothing_else(axes: dict[str, list[Any]], data: st.DataObject) -> None:
    axis = data.draw(st.sampled_from(sorted(axes)))
    value = data.draw(st.sampled_from(axes[axis]))
    quoted = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value).lower()
    wanted = [
        dict(zip(axes, values, strict=True))
        for values in product(*axes.values())
        if values[list(axes).index(axis)] != value
    ]
    rule = f'NOT ("{axis}" = {quoted})'
    if not wanted:
        with pytest.raises(ValueError, match="allows none of the"):
            made(axes=axes, only=rule)
        return
    rows = made(axes=axes, only=rule)
    assert [{name: row[name] for name in axes} for row in rows] == wanted
    assert all(type(row[name]) is type(axes[name][0]) for row in rows for name in axes)


def test_values_become_facts_as_they_are_told_to() -> None:
    axes = {"mood": ["calm", "sad"], "has_dog": [True, False], "height": [1.5, 2]}
    assert made(axes=axes)[0]["facts"] == ["My mood is calm.", "My has dog is true.", "My height is 1.5."]
    facts = {"mood": "I am {value}, very {value}.", "has_dog": {True: "I have a dog."}}
    told = [tuple(row["facts"]) for row in made(axes=axes, facts=facts)]
    assert told[0] == told[1] == ("I am calm, very calm.", "I have a dog.")
    assert told[-1] == ("I am sad, very sad.",)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, "seeds.0.axes is missing"),
        ({"axes": {}}, "seeds.0.axes: Dictionary should have at least 1 item"),
        ({"axes": ["calm"]}, "seeds.0.axes: Input should be a valid dictionary"),
        ({"axes": {"mood": "calm"}}, r"seeds.0.axes: mood: give a list of values, such as \[calm, anxious\]"),
        ({"axes": {"mood": []}}, "mood: give a list of values"),
        ({"axes": {"mood": ["calm", None]}}, "mood: None is not a value: write text, a number, true or false"),
        ({"axes": {"mood": ["calm", "calm"]}}, "mood: 'calm' is given twice"),
        ({"axes": {"smokes": ["yes", False]}}, "smokes: its values are not all text, all numbers, or all true"),
        ({"axes": {"age": [float("nan")]}}, "age: nan is not a value"),
        ({"axes": {"facts": ["calm"]}}, "facts: no attribute can have this name, nor id, persona"),
        ({"axes": {"my mood": ["calm"]}}, "my mood: the name of an axis has letters, digits and _"),
        (
            {"axes": {letter: list(range(50)) for letter in "abcd"}},
            "50 x 50 x 50 x 50 are 6,250,000 combinations; 1,000,000 are allowed",
        ),
        ({"axes": PATIENT, "only": "mood = 'plain'"}, "reads mood, which is no axis. There are: personality, lang"),
        ({"axes": PATIENT, "only": "langage = 'A'"}, "reads langage, which is no axis; did you mean language?"),
        ({"axes": PATIENT, "only": 'language = "A"'}, "reads A, which is no axis. .* Text stands in single quotes"),
        ({"axes": PATIENT, "only": "COUNT(*) > 1"}, "seeds.0.only: .* holds what no condition may"),
        ({"axes": PATIENT, "only": "language > 3"}, "seeds.0.only: 'language > 3' cannot be evaluated"),
        ({"axes": PATIENT, "facts": {"mood": "I am {value}."}}, "seeds.0.facts: mood, which is no axis. There are: p"),
        (
            {"axes": PATIENT, "facts": {"recall": "It is {recall}."}},
            "recall: .* says the same of every value: write {va",
        ),
        ({"axes": PATIENT, "facts": {"recall": {"hgh": "I see."}}}, "recall has no value 'hgh'; it has 'low', 'high'"),
        ({"axes": PATIENT, "onyl": RULE}, "unknown field seeds.0.onyl"),
    ],
)
def test_a_mistake_is_told_at_its_line_once(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({"corpus": "c", "seeds": [{"make": "grid", **params}]}, sort_keys=False))
    with pytest.raises(YamlError, match=told) as caught:
        load_job(path)
    (message,) = str(caught.value).splitlines()
    assert ", line " in message


def grid(folder: Path, **params: Any) -> Any:
    entry = yaml.safe_dump([{"make": "grid", **params}], default_flow_style=True, width=10_000).strip()
    return job_in(folder, f"seeds={entry}")


def test_a_changed_axis_makes_anew_only_the_dialogues_it_touches(tmp_path: Path) -> None:
    axes = {"mood": ["calm", "sad", "glad"], "age": [20, 40]}
    job = grid(tmp_path, axes=axes)
    Rehearsal().run(job)
    before = rows_of(job)
    assert len(before) == 6
    assert settled(job)
    wider = grid(tmp_path, axes={"mood": ["bored", *axes["mood"]], "age": [20, 40]}, only="mood <> 'sad' OR age = 20")
    Rehearsal().run(wider)
    after = rows_of(wider)
    kept = before.keys() & after.keys()
    assert {row.speakers[0].attributes["mood"] for key, row in after.items() if key not in kept} >= {"bored"}
    assert kept
    for key in kept:
        assert after[key].turns == before[key].turns
    assert {row.seeds[0].source for row in after.values()} == {"make: grid"}
    assert settled(wider)


def test_a_plan_tells_of_rows_of_a_grid(tmp_path: Path) -> None:
    empty = {"axes": {"mood": ["calm", "sad"]}, "facts": {"mood": {"sad": "I am sad."}}}
    with pytest.raises(PlanError, match="make: grid, row 1: empty: no fact in 'facts'"):
        plan(grid(tmp_path, **empty).model_copy(update={"run": job_in(tmp_path, "run.max_bad_seeds=0").run}))
    with pytest.raises(SourceError, match="make: grid: `only` allows none of the 72 combinations: dazed = 'dazed'"):
        plan(grid(tmp_path, axes=PATIENT, only="dazed = 'dazed'"))
