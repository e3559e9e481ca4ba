"""Counterfactual twins: they differ from their persona in one attribute, and in the facts that tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from factory.methods.sources.vary import ORIGINAL, Vary, VaryParams
from factory.seeds.files import BadRow
from factory.seeds.store import Seeds
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from factory.spec.sources import sources_of
from factory.store.storage import Storage
from tests.rehearsal import job_in

PUBLIC = Path(__file__).parents[3] / "data" / "personas" / "personahub_5000.jsonl"
AGES = st.integers(1, 99)


def made(of: Any, **params: Any) -> list[dict[str, Any]]:
    rows = list(Vary(VaryParams.model_validate({"make": "vary", "of": of, **params})).rows())
    return [row for row in rows if not isinstance(row, BadRow)]


@given(st.lists(st.tuples(AGES, st.sampled_from(["cook", "nurse"])), min_size=1, max_size=6), st.sets(AGES, min_size=1))
def test_twins_differ_in_exactly_one_attribute(people: list[tuple[int, str]], ages: set[int]) -> None:
    personas = [
        {"id": f"p{number}", "facts": [f"I am {age} years old.", f"I am a {job}.", "I ski."], "age": age, "job": job}
        for number, (age, job) in enumerate(people)
    ]
    rows = made(personas, attribute="age", values=sorted(ages), fact="I am {value} years old.")
    originals = {row["id"]: row for row in rows if ORIGINAL not in row}
    assert list(originals) == [one["id"] for one in personas]
    twins = [row for row in rows if ORIGINAL in row]
    assert len(twins) == sum(len(ages - {age}) for age, _ in people)
    assert len({row["id"] for row in rows}) == len(rows)
    for twin in twins:
        original = originals[twin[ORIGINAL]]
        differing = {name for name in twin.keys() | original.keys() if twin.get(name) != original.get(name)}
        assert differing == {"id", "facts", "age", ORIGINAL}
        assert twin["facts"] == [f"I am {twin['age']} years old.", *original["facts"][1:]]


def test_facts_that_tell_the_value_are_told_anew() -> None:
    ann = {"id": "ann", "facts": ["I am a woman.", "A woman of 34, I ski.", "Womanly."], "sex": "woman"}
    other = {"id": "bo", "facts": ["I sew."]}
    words = made([ann, other], attribute="sex", values=["woman", "man"])
    assert [(row["id"], row["facts"]) for row in words] == [
        ("ann", ann["facts"]),
        ("ann/sex=man", ["I am a man.", "A man of 34, I ski.", "Womanly."]),
        ("bo", ["I sew."]),
        ("bo/sex=woman", ["I sew."]),
        ("bo/sex=man", ["I sew."]),
    ]
    template = made([ann, other], attribute="sex", values=["man"], fact="I am a {value}.")
    assert [row["facts"] for row in template if ORIGINAL in row] == [
        ["I am a man.", "A woman of 34, I ski.", "Womanly."],
        ["I sew.", "I am a man."],
    ]
    each = {"woman": "A woman of 34, I ski.", "man": "I am a man, and I ski."}
    texts = made([ann], attribute="sex", values=["man", "woman"], fact=each)
    assert texts[1]["facts"] == ["I am a woman.", "I am a man, and I ski.", "Womanly."]
    named = made([{"id": "a", "name": "Ann", "facts": ["My name is Ann."]}], attribute="name", values=["Li"])
    assert (named[1]["name"], named[1]["facts"]) == ("Li", ["My name is Li."])


def test_a_persona_that_is_also_read_from_its_file_is_the_same_seed(tmp_path: Path) -> None:
    rows = [
        {"facts": ["I am 34.", "I ski."], "age": 34, "name": "Ann"},
        {"id": "bo", "persona": "I sew.", "likes": ["x"]},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    job = job_in(tmp_path, "seeds=[{path: a.jsonl}, {make: vary, of: a.jsonl, attribute: age, values: [20]}]")
    seeds = Seeds(sources_of(job.seeds, tmp_path, job.corpus), tmp_path, Storage(str(tmp_path / "corpus")), 0)
    assert seeds.repeated == 2
    found = seeds.take(np.arange(len(seeds)))
    assert [seed.source for seed in found] == ["a.jsonl", "a.jsonl", "make: vary", "make: vary"]
    assert found[2].speakers[0].attributes == {"age": "20", ORIGINAL: found[0].id}
    assert found[2].speakers[0].name == "Ann"


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public data files are not beside the repository")
def test_personas_of_persona_hub_have_twins() -> None:
    rows = made(str(PUBLIC), attribute="country", values=["Peru", "Norway"], fact="I live in {value}.")
    originals = {row["id"]: row["facts"] for row in rows if ORIGINAL not in row}
    twins = [row for row in rows if ORIGINAL in row]
    assert len(rows) == 15_000
    assert all(row["facts"] == [*originals[row[ORIGINAL]], f"I live in {row['country']}."] for row in twins)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"attribute": "facts", "values": [1]}, "seeds.0.attribute: facts is no attribute that can be varied"),
        ({"attribute": "age", "values": []}, "seeds.0.values: Tuple should have at least 1 item"),
        ({"attribute": "age", "values": [1, "1"]}, "seeds.0.values: a value is given twice"),
        ({"attribute": "age", "values": [1], "fact": "I am old."}, "seeds.0.fact: 'I am old.' says the same of every"),
        (
            {"attribute": "age", "values": [1], "fact": {2: "I am two."}},
            "seeds.0.fact: there is no text for the value 1",
        ),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump({"corpus": "c", "seeds": [{"make": "vary", "of": "a.jsonl", **params}]}))
    with pytest.raises(YamlError, match=told) as caught:
        load_job(path)
    assert ", line " in str(caught.value)
