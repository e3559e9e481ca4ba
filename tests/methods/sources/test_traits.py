"""Scores of traits as sentences, and scores from answers, against the published data."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.sources.traits import Traits, TraitsParams
from factory.seeds.files import BadRow, SourceError
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError

ITEMS = Path(__file__).parents[3] / "data" / "items"
KEY, ANSWERS = ITEMS / "ipip_neo_300_items.csv", ITEMS / "ipip_neo_300_answers.jsonl"
SHY = {"name": "extraversion", "low": ["quiet"], "high": ["talkative"]}
ENDS = st.tuples(st.integers(-5, 5), st.integers(6, 20))


def made(**params: Any) -> list[Any]:
    return list(Traits(TraitsParams.model_validate({"make": "traits", **params})).rows())


def test_the_nine_levels_are_those_of_the_paper() -> None:
    rows = made(of=[{"E": level} for level in range(1, 10)], range=[1, 9], scales={"E": SHY})
    assert [row["facts"] for row in rows] == [
        [f"I am {level}."]
        for level in (
            "extremely quiet", "very quiet", "quiet", "a bit quiet", "neither quiet nor talkative", "a bit talkative",
            "talkative", "very talkative", "extremely talkative",
        )
    ]  # fmt: skip
    assert [row["extraversion"] for row in rows] == list(range(1, 10))


def test_bands_are_said_as_they_stand_and_what_else_is_known_stays() -> None:
    bands = ["I never worry.", None, "I worry a lot."]
    people = [
        {"id": "ann", "name": "Ann", "persona": "I ski. I cook.", "N": "4.5", "E": 3, "age": 40},
        {"id": "bo", "N": 3, "E": None},
        {"id": "cy", "N": 1},
    ]
    rows = made(of=people, scales={"N": {"bands": bands}, "E": SHY})
    assert rows == [
        {"id": "ann", "name": "Ann", "age": 40, "N": 4.5, "extraversion": 3.0,
         "facts": ["I ski.", "I cook.", "I worry a lot.", "I am neither quiet nor talkative."]},
        {"id": "bo", "N": 3.0, "facts": []},
        {"id": "cy", "N": 1.0, "facts": ["I never worry."]},
    ]  # fmt: skip


@given(ENDS, st.data())
def test_turning_all_items_and_answers_round_is_the_same_score(ends: tuple[int, int], data: st.DataObject) -> None:
    answers = data.draw(st.lists(st.integers(*ends), min_size=1, max_size=9))
    keyed = data.draw(st.lists(st.sampled_from([1, -1]), min_size=len(answers), max_size=len(answers)))
    key = [{"scale": "E", "keyed": one} for one in keyed]
    (row,) = made(of=[{"answers": answers}], key={"of": key}, range=ends, scales={"E": SHY})
    turned = [{"scale": "E", "keyed": "minus" if one == 1 else "plus"} for one in keyed]
    (again,) = made(of=[{"answers": [sum(ends) - one for one in answers]}], key={"of": turned}, range=ends,
                    scales={"E": SHY})  # fmt: skip
    assert again == row
    low, high = ends
    assert low <= row["extraversion"] <= high


def test_items_can_be_held_out_and_answers_stand_in_columns() -> None:
    key = {"of": [{"scale": scale, "keyed": 1} for scale in "EEN"]}
    people = [{"subject": 7, "i1": "5", "i2": "1", "i3": "0"}]
    trait = {"E": SHY, "N": {"bands": ["I never worry.", "I worry."]}}
    (row,) = made(of=people, key=key, answers="i{number}", scales=trait)
    assert row == {"subject": 7, "extraversion": 3.0, "facts": ["I am neither quiet nor talkative."]}
    (row,) = made(of=people, key=key, answers="i{number}", items=[2, 3], scales=trait)
    assert row["extraversion"] == 1.0


@pytest.mark.skipif(not KEY.exists(), reason="the public data files are not beside the repository")
def test_big_five_of_three_hundred_people_are_means_of_their_items() -> None:
    names = {"O": "openness", "C": "conscientiousness", "E": "extraversion", "A": "agreeableness", "N": "neuroticism"}
    traits = {scale: {"name": name, "low": ["less so"], "high": ["so"]} for scale, name in names.items()}
    key = {"of": str(KEY), "scale": "label_ocean", "keyed": "key"}
    people = {"path": str(ANSWERS), "fields": {"id": "subject"}}
    rows = made(of=people, key=key, scales=traits)
    with KEY.open(newline="") as stream:
        items = [(one["label_ocean"], int(one["key"])) for one in csv.DictReader(stream)]
    given = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    assert [row["id"] for row in rows] == [one["subject"] for one in given]
    for row, one in zip(rows, given, strict=True):
        for scale, name in names.items():
            said = [a if sign > 0 else 6 - a for a, (own, sign) in zip(one["answers"], items, strict=True)
                    if own == scale and 1 <= a <= 5]  # fmt: skip
            assert row[name] == pytest.approx(sum(said) / len(said), abs=1e-4)
        assert len(row["facts"]) == 5


def test_who_cannot_be_scored_is_a_bad_row_and_the_others_are_made() -> None:
    key = {"of": [{"scale": "E", "keyed": 1}, {"scale": "E", "keyed": 1}]}
    people = [{"answers": [1]}, {"answers": [0, 0]}, {"answers": [1, "x"]}, {"answers": [2, 4]}]
    *bad, row = made(of=people, key=key, scales={"E": SHY})
    assert [str(one).replace("make: the rows in the job file, ", "") for one in bad if isinstance(one, BadRow)] == [
        "wrong_type: row 1: 'answers' should be a list of 2 answers, one for each item of the key",
        "missing_field: row 2: no score of E",
        "wrong_type: row 3: answer 2 should be a number, not 'x'",
    ]
    assert row["extraversion"] == 3.0
    (outside,) = made(of=[{"E": 9}], scales={"E": SHY})
    assert str(outside).endswith("row 1: E is 9, outside 1 to 5")


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (
            {"key": {"of": [{"scale": "N", "keyed": 1}]}},
            "`scales` speaks of E, which is no scale of the key. There are: N",
        ),
        ({"key": {"of": [{"domain": "E", "keyed": 1}]}}, "row 1: no 'scale': name the columns of the key"),
        (
            {"key": {"of": [{"scale": "E", "keyed": 1}]}, "items": [2]},
            "the key has 1 items, and none with the number 2",
        ),
    ],
)
def test_a_key_that_is_none_is_told(params: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, SourceError), match=told):
        made(of=[{"answers": [1]}], scales={"E": SHY}, **params)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"scales": {}}, "seeds.0.scales: Dictionary should have at least 1 item"),
        ({"scales": {"E": {}}}, "seeds.0.scales.E: give adjectives as `low` and `high`, or sentences as `bands`"),
        ({"scales": {"E": {"low": ["quiet"]}}}, "seeds.0.scales.E: `low` has 1 adjectives and `high` 0"),
        ({"scales": {"my E": SHY | {"name": None}}}, "seeds.0.scales: my E: the name of a trait .*; set its `name`"),
        ({"scales": {"E": SHY, "F": SHY}}, "seeds.0.scales: two traits are named extraversion"),
        ({"scales": {"E": SHY}, "range": [5, 1]}, "seeds.0.range: the lowest stands before the highest"),
        ({"scales": {"E": SHY}, "say": "I am."}, "seeds.0.say: write {level} where the adjectives go"),
        ({"scales": {"E": SHY}, "items": [1]}, "seeds.0.items: these are numbers of items of `key`"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({"corpus": "c", "seeds": [{"make": "traits", "of": "a.csv", **params}]}))
    with pytest.raises(YamlError, match=told) as caught:
        load_job(path)
    assert ", line " in str(caught.value)
