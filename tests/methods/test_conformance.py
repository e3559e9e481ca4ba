"""What holds of every maker and score that is found: it is as it declares, and its recipe is what it says it is."""

from __future__ import annotations

import asyncio
import doctest
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from factory.engines import Reply, Request
from factory.methods import SEEDED, Kit, ModelKind, misfits, models_of, struct_of
from factory.methods.example import dialogue, kit
from factory.methods.prompts import check
from factory.methods.registry import found
from factory.spec.identity import recipes
from factory.spec.job import Job
from factory.store.records import Extraction, Fact, Row, Turn, rows_from_table, rows_to_table
from tests.methods.cases import telling

MAKERS, SCORES = dict(found("makers")), dict(found("scores"))
METHODS = MAKERS | SCORES
ORIGINS = ("seed", "expand", "extract", "augment", "profile", "expand_personas")
every_method = pytest.mark.parametrize("cls", METHODS.values(), ids=METHODS)
every_maker = pytest.mark.parametrize("cls", MAKERS.values(), ids=MAKERS)
every_score = pytest.mark.parametrize("cls", SCORES.values(), ids=SCORES)


def a_row() -> Row:
    """The example, with something in each field that makers fill."""
    row = dialogue()
    row.topic, row.opening = "sport", row.turns[0].text
    row.donors = [[Fact("I own a boat.", "seed", "c")], [Fact("I never sew.", "seed", "d")]]
    for speaker in row.speakers:
        speaker.role, speaker.attributes = "a guest", {"age": "40"}
        speaker.facts += [Fact("I like snow.", "expand", speaker.seed_id), Fact("I sing.", "augment", "e")]
    return row


def _other_facts(origin: str) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        for speaker in row.speakers:
            speaker.facts = [fact for fact in speaker.facts if fact.origin != origin]
            speaker.facts.append(Fact("I ski and I never sew.", origin, speaker.seed_id))  # type: ignore[arg-type]

    return change


def _other_turns(row: Row) -> None:
    row.turns = [Turn(0, "Who are you?"), Turn(1, "I never ski.")]


def _other_attributes(row: Row) -> None:
    for speaker in row.speakers:
        speaker.attributes = {"age": "9"}


def _other_roles(row: Row) -> None:
    for speaker in row.speakers:
        speaker.role = "a waiter"


FIELDS: dict[str, Callable[[Row], None]] = {
    **{f"facts.{origin}": _other_facts(origin) for origin in ORIGINS},
    "turns": _other_turns,
    "attributes": _other_attributes,
    "roles": _other_roles,
    "topic": lambda row: setattr(row, "topic", "food"),
    "opening": lambda row: setattr(row, "opening", "Who are you?"),
    "extracted": lambda row: setattr(row, "extracted", [Extraction(0, 0, "I ski.", "accepted")]),
}
"""Fields that methods read and write, each with a change of it."""


def held(row: Row) -> dict[str, Any]:
    """What a row holds, by field."""
    facts = {
        f"facts.{origin}": [[fact for fact in one.facts if fact.origin == origin] for one in row.speakers]
        for origin in ORIGINS
    }
    own = {name: getattr(row, name) for name in ("turns", "topic", "opening", "extracted")}
    speakers = {
        "roles": [one.role for one in row.speakers], "attributes": [one.attributes for one in row.speakers],
    }  # fmt: skip
    names = {"speakers", *own}
    rest = {name: getattr(row, name) for name in Row.__dataclass_fields__ if name not in names}
    return deepcopy({**facts, **own, **speakers, "rest": rest})


class Asked:
    """An engine that keeps what it was asked."""

    capacity = 4

    def __init__(self, engine: Any) -> None:
        self.engine, self.requests = engine, list[Request]()

    async def generate(self, request: Request) -> Reply:
        self.requests.append(request)
        reply: Reply = await self.engine.generate(request)
        return reply

    def seen(self) -> Counter[str]:
        return Counter(json.dumps([one.messages, one.sampling.model_dump(), one.n]) for one in self.requests)

    async def close(self) -> None:
        pass


def a_kit(needs: frozenset[ModelKind]) -> tuple[Kit, Asked]:
    """Models without weights, of these kinds alone, and what the language model was asked."""
    whole = kit()
    asked = Asked(whole.engine)
    absent: Any = None
    return Kit(
        asked if "language" in needs else absent,
        whole.nli if "nli" in needs else absent,
        whole.embedder if "embedding" in needs else absent,
        whole.classifier if "classifier" in needs else absent,
    ), asked


def run(cls: type[Any], row: Row, **params: object) -> tuple[Any, Asked]:
    """What a method made of a row: of a maker all that the row then holds, of a score what it found."""
    method = cls(cls.Params(**params))
    models, asked = a_kit(method.needs)
    if cls.name in SCORES:
        return asyncio.run(method.score(row, models)), asked
    asyncio.run(method.run(row, models))
    return held(row), asked


@every_method
def test_the_example_of_its_docstring_works(cls: type[Any]) -> None:
    module = sys.modules[cls.__module__]
    examples = doctest.DocTestFinder(recurse=False).find(cls, cls.name, module, vars(module).copy())
    (one,) = (one for one in examples if one.examples)
    assert doctest.DocTestRunner().run(one).failed == 0


@every_method
def test_everything_it_declares_is_described(cls: type[Any]) -> None:
    for name, field in cls.Params.model_fields.items():
        assert field.description, name
    assert cls.Params().method == cls.name
    columns = getattr(cls(cls.Params()), "columns", ())
    for column in columns:
        assert column.name.isidentifier()
        assert column.description.endswith("."), column.name
        assert column.low is None or column.high is None or column.low < column.high
    names = [column.name for column in columns]
    assert len(set(names)) == len(names)


def test_the_fields_are_those_that_seeds_and_makers_fill() -> None:
    assert FIELDS.keys() == set(SEEDED).union(*(cls.writes for cls in MAKERS.values()))


@every_method
def test_it_reads_and_writes_known_fields(cls: type[Any]) -> None:
    values = {name: {column.name for column in one(one.Params()).columns} for name, one in SCORES.items()}
    for read in cls(cls.Params()).reads:
        score, _, value = read.partition(".")
        assert read in FIELDS or (score in values and (not value or value in values[score])), read
    assert getattr(cls, "writes", set()) <= FIELDS.keys()


@every_method
@pytest.mark.parametrize("field", FIELDS)
def test_what_it_does_not_read_changes_nothing(cls: type[Any], field: str) -> None:
    own = getattr(cls, "writes", frozenset())
    if field in cls(cls.Params()).reads:
        return
    row, other = a_row(), a_row()
    FIELDS[field](other)
    (before, asked), (after, again) = run(cls, row), run(cls, other)
    assert asked.seen() == again.seen()
    if cls.name in SCORES:
        assert before == after
    else:
        assert {name: before[name] for name in own} == {name: after[name] for name in own}


@every_method
def test_the_same_inputs_give_the_same_prompts_and_results(cls: type[Any]) -> None:
    (before, asked), (after, again) = run(cls, a_row()), run(cls, a_row())
    assert (before, asked.seen()) == (after, again.seen())
    method = cls(cls.Params())
    if "language" not in method.needs:
        return
    assert asked.requests
    row = a_row()
    models, asked = a_kit(method.needs)
    asyncio.run(method.score(row, models) if cls.name in SCORES else method.run(row, models))
    sent = [request.messages for request in asked.requests]
    shown = [messages for _, messages in method.prompts(row)]
    assert shown
    assert all(messages in sent for messages in shown)


@every_method
def test_its_templates_use_names_that_it_gives_them(cls: type[Any]) -> None:
    if "prompt" not in cls.Params.model_fields:
        return
    for name in cls.Params.model_fields.keys() - {"prompt"}:
        for value in cls.Params.model_json_schema()["properties"][name].get("enum", [getattr(cls.Params(), name)]):
            method = cls(cls.Params(**{name: value}))
            check(method.template, method.variables)
            run(cls, a_row(), **{name: value}, prompt=telling(*sorted(method.variables)))


@every_maker
def test_it_writes_what_it_says_and_clear_takes_off_exactly_that(cls: type[Any]) -> None:
    row = a_row()
    before = held(row)
    after, _ = run(cls, row)
    assert {name for name in before if before[name] != after[name]} <= cls.writes
    assert run(cls, deepcopy(row))[0] == after, "running it again is running it once"
    bare = a_row()
    cls.clear(bare)
    cls.clear(row)
    assert held(row) == held(bare)
    assert {name for name in before if before[name] != held(bare)[name]} <= cls.writes
    cls.clear(bare)
    assert held(row) == held(bare)


@every_score
def test_it_leaves_the_row_and_finds_what_it_declares(cls: type[Any]) -> None:
    row = a_row()
    before = held(row)
    scored, _ = run(cls, row)
    assert held(row) == before
    assert scored.missing is None
    columns = cls(cls.Params()).columns
    assert list(misfits(cls(cls.Params()), scored)) == []
    for column in columns:
        value = scored.values.get(column.name)
        if value is not None and column.type in ("double", "int"):
            assert column.low is None or value >= column.low
            assert column.high is None or value <= column.high
    row.scores, row.details = {"scored": scored.values}, [replace(one, score="scored") for one in scored.details]
    (stored,) = rows_from_table(rows_to_table([row], {"scored": struct_of(columns)}))
    absent = dict.fromkeys(column.name for column in columns)
    assert stored.scores["scored"] == absent | scored.values
    assert [replace(one, values=[]) for one in stored.details] == [replace(one, values=[]) for one in row.details]


@every_score
def test_of_a_row_that_lacks_what_it_reads_it_says_so_and_asks_nothing(cls: type[Any]) -> None:
    if "turns" not in cls(cls.Params()).reads:
        return
    row = a_row()
    row.turns = []
    scored, asked = run(cls, row)
    assert scored.missing == "input_missing"
    assert (scored.values, scored.details, asked.requests) == ({}, [], [])


@every_method
def test_it_says_how_many_calls_each_row_takes_at_least_and_at_most(cls: type[Any]) -> None:
    least, most = cls(cls.Params()).calls(np.array([2, 8, 0]))
    assert least.shape == most.shape == (3,)
    assert np.issubdtype(least.dtype, np.integer)
    assert np.issubdtype(most.dtype, np.integer)
    assert (least >= 0).all()
    assert (most >= least).all()


@every_method
def test_it_asks_models_that_a_parameter_names(cls: type[Any]) -> None:
    params = cls.Params()
    assert set(cls(params).needs) <= {kind for kind, _ in models_of(params).values()} <= set(get_args(ModelKind))


def moved(value: object) -> Iterator[object]:
    """Other values than this one, of which a parameter will take some."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value / 2, value - 1, value / 2 + 0.25)
    elif isinstance(value, tuple):
        yield from (value[:-1], (*value, "more"), ("one", "other"))
        if value and isinstance(value[0], BaseModel):
            yield from ((other, *value[1:]) for other in moved(value[0]))
    elif isinstance(value, BaseModel):
        for name, held in value:
            yield from (value.model_copy(update={name: other}) for other in moved(held))
    yield from ("{% block system %}Hi.{% endblock %}{% block user %}{% endblock %}", ("one", "other"), 2)


def others(cls: type[Any], name: str) -> Iterator[Any]:
    """The parameters of a method with another value of one of them."""
    default = cls.Params()
    enum = cls.Params.model_json_schema()["properties"][name].get("enum", [])
    for value in (*enum, *moved(getattr(default, name))):
        try:
            params = cls.Params(**{name: value})
        except ValidationError:
            continue
        if params != default:
            yield params


def recipe_of(cls: type[Any], params: Any) -> str:
    """The id of a method's recipe; all models that it may ask are one, by whatever name."""
    fields: dict[str, dict[str, object]] = {
        "language": {"name": "org/writer"},
        "nli": {"kind": "nli", "name": "org/nli"},
        "classifier": {"kind": "classifier", "name": "org/classifier"},
    }
    fields["embedding"] = {"kind": "embedding", "name": "org/embedding"}
    section = "scores" if cls.name in SCORES else "makers"
    job = Job.model_validate(
        {
            "corpus": "c",
            "seeds": [{"path": "a.jsonl"}],
            "models": {name: fields[kind] for kind, name in models_of(params).values()},
            section: {cls.name: params},
        }
    )
    return recipes(job, "generated")[0].id


@every_method
def test_each_parameter_is_in_its_recipe_but_for_the_names_of_models(cls: type[Any]) -> None:
    default = cls.Params()
    before = recipe_of(cls, default)
    assert recipe_of(cls, cls.Params()) == before
    names = models_of(default)
    for name in cls.Params.model_fields.keys() - {"method"}:
        if name in names:
            assert recipe_of(cls, cls.Params(**{name: "another"})) == before, name
        else:
            assert recipe_of(cls, next(others(cls, name))) != before, name


@every_method
def test_its_version_is_in_its_recipe(cls: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe_of(cls, cls.Params())
    monkeypatch.setattr(cls, "version", cls.version + 1)
    assert recipe_of(cls, cls.Params()) != before


@every_method
def test_a_parameter_of_a_wrong_type_and_an_unknown_one_are_refused(cls: type[Any]) -> None:
    for name in cls.Params.model_fields:
        with pytest.raises(ValidationError):
            cls.Params(**{name: {"non": "sense"}})
    with pytest.raises(ValidationError):
        cls.Params(nonsense=1)
