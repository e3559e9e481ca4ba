"""Combinations of lists: how many, which never, and which move when a list grows."""

from __future__ import annotations

import json
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.methods.sources.compose import Compose, ComposeParams
from factory.seeds.files import BadRow
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError

LABELS = st.lists(st.text("abcdefgh", min_size=1, max_size=2), min_size=1, max_size=6, unique=True)


def made(**params: Any) -> list[dict[str, Any]]:
    rows = list(Compose(ComposeParams.model_validate({"make": "compose", **params})).rows())
    return [row for row in rows if not isinstance(row, BadRow)]


@settings(max_examples=40, deadline=None)
@given(LABELS, LABELS, st.integers(1, 3), st.data())
def test_all_are_made_once_or_as_many_as_asked_and_none_that_may_not_be(
    ones: list[str], others: list[str], most: int, data: st.DataObject
) -> None:
    never = data.draw(st.lists(st.sampled_from([*ones, *others]), max_size=3, unique=True))
    parts: dict[str, Any] = {"one": {"of": ones, "take": [1, most]}, "other": {"of": others}}
    wanted = {
        (frozenset(some), other)
        for size in range(1, most + 1)
        for some in combinations(ones, size)
        for other in others
        if len({*some, other} & set(never)) < 2
    }
    if not wanted:
        return
    rows = made(parts=parts, never=[never])
    found = [(frozenset([row["one"]] if most == 1 else row["one"]), row["other"]) for row in rows]
    assert len(found) == len(wanted)
    assert set(found) == wanted
    n = data.draw(st.integers(1, len(wanted)))
    some = made(parts=parts, never=[never], n=n)
    assert len(some) == n
    assert all(row in rows for row in some)
    assert len({json.dumps(row) for row in some}) == n
    assert made(parts=parts, never=[never], n=n) == some
    with pytest.raises(ValueError, match="combinations"):
        made(parts=parts, never=[never], n=len(wanted) + 1)


@pytest.mark.parametrize("size", [16, 300])
def test_a_new_entry_moves_only_personas_that_have_it_or_make_room_for_it(size: int) -> None:
    # 300 over 3 with 20 are more than are looked at one by one.
    identities = [f"i{number}" for number in range(size)]
    roles = [f"r{number}" for number in range(20)]
    parts: dict[str, Any] = {"who": {"of": identities, "take": 3}, "role": {"of": roles}}
    assert (comb(size, 3) * 20 > 1_000_000) == (size == 300)
    before = made(parts=parts, n=200)
    after = made(parts=parts | {"who": {"of": ["new", *identities], "take": 3}}, n=200)
    assert len({json.dumps(row) for row in before}) == 200
    old = {json.dumps(row) for row in before}
    assert all("new" in row["who"] for row in after if json.dumps(row) not in old)
    assert 0 < sum(json.dumps(row) not in old for row in after) < 60


def test_entries_bring_their_facts_and_attributes_and_must_agree(tmp_path: Path) -> None:
    (tmp_path / "roles.csv").write_text(
        "role,persona,stage\nnurse,I work nights. I care.,adult\npupil,I learn.,child\n"
    )
    identities = [
        {"id": "climber", "facts": ["I climb."]},
        {"id": "grandfather", "facts": ["I have five grandchildren."], "stage": "adult", "children": 2},
    ]
    rows = made(parts={"role": {"of": str(tmp_path / "roles.csv")}, "identity": {"of": identities, "take": [0, 2]}})
    told = {(row["role"], *row["identity"]): row for row in rows}
    assert set(told) == {
        ("nurse",), ("nurse", "climber"), ("nurse", "grandfather"), ("nurse", "climber", "grandfather"),
        ("pupil",), ("pupil", "climber"),
    }  # fmt: skip
    assert told["nurse", "climber", "grandfather"] == {
        "facts": ["I work nights.", "I care.", "I climb.", "I have five grandchildren."],
        "stage": "adult",
        "children": "2",
        "role": "nurse",
        "identity": ["climber", "grandfather"],
    }


def test_what_of_a_list_cannot_be_read_is_handed_on() -> None:
    params = ComposeParams.model_validate({"make": "compose", "parts": {"role": {"of": ["nurse", {"persona": ""}]}}})
    bad, row = Compose(params).rows()
    assert isinstance(bad, BadRow)
    assert bad.detail == "make: the rows in the job file, row 2: no fact in 'persona'"
    assert row == {"facts": ["nurse"], "role": "nurse"}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"who": {"of": ["a"], "take": 2}}, "there are only 0 combinations: give more entries"),
        (
            {"who": {"of": [f"{n}" for n in range(400)], "take": 3}},
            "10,586,800 combinations, and at most 1,000,000 .* set",
        ),
        (
            {"who": {"of": [{"id": "a", "persona": "I ski."}, {"id": "a", "persona": "I sew."}]}},
            "two entries are called",
        ),
    ],
)
def test_what_cannot_be_combined_is_told(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        made(parts=params)


def test_a_rule_that_forbids_all_of_very_many_is_told() -> None:
    labels = [f"{number}" for number in range(400)]
    with pytest.raises(ValueError, match="forbid nearly all: 0 of 5 were found"):
        made(parts={"who": {"of": labels, "take": 3}}, never=[labels], n=5)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, "seeds.0.parts is missing"),
        ({"parts": {"my role": {"of": ["a"]}}}, "seeds.0.parts: my role: the name of a part has letters"),
        (
            {"parts": {"role": {"of": ["a"], "take": [3, 2]}}},
            "seeds.0.parts.role.take: the least stands before the most",
        ),
        (
            {"parts": {"role": {"of": ["a"], "fact": "I am."}}},
            "seeds.0.parts.role.fact: .* says the same of every value",
        ),
        ({"parts": {"role": {"off": ["a"]}}}, "unknown field seeds.0.parts.role.off"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({"corpus": "c", "seeds": [{"make": "compose", **params}]}))
    with pytest.raises(YamlError, match=told) as caught:
        load_job(path)
    assert ", line " in str(caught.value)
