"""A method whose behaviour changes must raise its `version`: what each does on fixed inputs is compared with a record.

`behaviour/` holds, for each method, the version it was recorded at and a digest for each case, which covers, over all
rows: the requests sent and the NLI pairs asked, in any order; of a maker the row left behind and how `clear` leaves it,
of a score what it found; or why it failed. Parameters are part of a recipe by themselves, and so is the text of a
prompt. Neither needs a version, so defaults and bundled prompts stay out: a method's own test states in BASE all its
parameters, with a prompt that prints its variables, and in MOVES what differs in each case.

Changed cases are recorded only at a raised version. Whoever changes the inputs, not the method, deletes the method's
record first, which shows in a review. Limitations: what no input walks through, the wording of failures
(`RowError.detail` is for people), and all that is not the method's own code, such as the models and batching.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import importlib
import json
import re
from pathlib import Path
from typing import Any, TypedDict

import pytest

from factory.engines import RequestError
from factory.methods import Kit, models_of
from factory.methods.makers.listed import facts_in
from factory.methods.registry import found as methods
from factory.store.records import RowError
from tests.methods import cases

RECORDED = Path(__file__).with_name("behaviour")
COMMAND = "python -m tests.methods.test_behaviour"
ROWS = 32
SECTIONS = {name: section for section in ("makers", "scores") for name in methods(section)}


class Behaviour(TypedDict):
    version: int
    cases: dict[str, str]


Behaviours = dict[str, Behaviour]


def stated(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The base and the moves of a method, which its own test states."""
    test = importlib.import_module(f"tests.methods.{SECTIONS[name]}.test_{name}")
    return test.BASE, test.MOVES


def observed(most: int | None = None) -> Behaviours:
    """What the methods do now, in all their cases or in the first so many of each."""
    found: Behaviours = {}
    for name, section in SECTIONS.items():
        cls = methods(section)[name]
        base, moves = stated(name)
        digests = {
            cases.name_of(move): asyncio.run(_digest(cls(cls.Params(**base | move)), section)) for move in moves[:most]
        }
        found[name] = {"version": cls.version, "cases": digests}
    return found


async def _digest(method: Any, section: str) -> str:
    seen = []
    for number in range(ROWS):
        row, engine, nli = cases.a_row(number), cases.Answers(method.name, number), cases.DrawnNli()
        kit = Kit(engine, nli, cases.DrawnEmbedder(), cases.DrawnClassifier())
        outcome: list[object]
        try:
            if section == "scores":
                outcome = [_plain(await method.score(row, kit))]
            else:
                await method.run(row, kit)
                outcome = [_plain(row)]
                method.clear(row)
                outcome.append(_plain(row))
        except RowError as error:
            outcome = [error.reason, error.attempts]
        except RequestError:
            outcome = ["request"]
        requests = sorted(json.dumps(request, sort_keys=True) for request in engine.requests)
        seen.append([requests, sorted(nli.pairs), outcome])
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """What is to be JSON. A field that holds nothing is left out, so that one more field of all rows changes no
    method."""
    if dataclasses.is_dataclass(value):
        fields = ((name, getattr(value, name)) for name in value.__dataclass_fields__)
        return {name: _plain(held) for name, held in fields if held is not None and held not in ([], {})}
    if isinstance(value, dict):
        return {name: _plain(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    # Sums and logarithms differ in their last digits between versions of Python, and -0.0 from 0.0.
    return round(value, 9) + 0.0 if isinstance(value, float) else value


def changed(was: Behaviour, now: Behaviour) -> list[str]:
    """The cases of both whose digests differ."""
    return [case for case, digest in was["cases"].items() if now["cases"].get(case, digest) != digest]


def complaints(recorded: Behaviours, found: Behaviours) -> list[str]:
    """What differs, a message a method, each with what to do."""
    messages = []
    for name in recorded | found:
        was = recorded.get(name, {"version": 0, "cases": {}})
        now = found.get(name, {"version": 0, "cases": {}})
        differing, unlike = changed(was, now), sorted(was["cases"].keys() ^ now["cases"].keys())
        if was["version"] != now["version"]:
            versions = f"version {now['version']}, recorded is {was['version']}"
            messages.append(f"{name}: {versions}. Record anew: {COMMAND}")
        elif differing:
            messages.append(
                f"{name}: does not do what was recorded, in the cases {'; '.join(differing)}. If what it writes can "
                f"change, raise its `version` (rows are then redone) and record anew: {COMMAND}"
            )
        elif unlike:
            messages.append(f"{name}: cases are new or gone: {'; '.join(unlike)}. Record anew: {COMMAND}")
    return messages


def recorded(folder: Path) -> Behaviours:
    """The records in a folder."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def record(folder: Path, found: Behaviours) -> None:
    """Write what was found. Raises SystemExit, and writes nothing, if that hides a change behind an old version."""
    hiding = [
        f"{name}: changed, in the cases {'; '.join(changed(was, found[name]))}, but its version is not above the "
        f"recorded {was['version']}. Raise its `version`, or undo the change."
        for name, was in recorded(folder).items()
        if name in found and changed(was, found[name]) and found[name]["version"] <= was["version"]
    ]
    if hiding:
        raise SystemExit("\n".join(hiding))
    for name in recorded(folder).keys() - found.keys():
        (folder / f"{name}.json").unlink()
    for name, one in found.items():
        (folder / f"{name}.json").write_text(json.dumps(one, indent=2) + "\n", encoding="utf-8")


def test_a_method_that_changed_has_a_new_version():
    found = complaints(recorded(RECORDED), observed())
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_cases_state_every_parameter_and_move_each(name):
    params = methods(SECTIONS[name])[name].Params
    known = set(params.model_fields) - {"method", *models_of(params())}
    base, moves = stated(name)
    assert set(base) == known
    assert {one for move in moves for one in move} | {"prompt"} == known | {"prompt"}
    assert len({cases.name_of(move) for move in moves}) == len(moves)


def test_the_rows_suffice_to_read_all_that_is_walked_whole_and_cut_off():
    assert 2 * len(cases.WALKED) <= ROWS * cases.EACH


@pytest.fixture(scope="module")
def bases() -> Behaviours:
    return observed(most=1)


@pytest.mark.parametrize(
    ("name", "target", "value"),
    [
        ("expand", "factory.methods.makers.expand.facts_in", lambda completion, **_: facts_in(completion)),
        ("converse", "factory.methods.makers.broken.MAX_OVERLAP", 0.8),
        ("extract", "factory.methods.makers.extract._MOST", 4),
        ("augment", "factory.methods.makers.augment.draw", lambda row, purpose: 0.5),
        (
            "consistency",
            "factory.methods.scores.consistency._SIGN",
            {"entailment": 1, "neutral": 0, "contradiction": -2},
        ),
    ],
)
def test_a_change_is_blamed_on_its_method_alone(name, target, value, bases, monkeypatch):
    monkeypatch.setattr(target, value)
    (message,) = complaints(bases, observed(most=1))
    assert message.startswith(f"{name}: does not do what was recorded, in the cases base.")


def told(version: int, **digests: str) -> Behaviours:
    return {"consistency": {"version": version, "cases": digests}}


@pytest.mark.parametrize(
    ("found", "said", "recordable"),
    [
        (told(2, one="a", two="b"), None, True),
        (
            told(2, one="a", two="c"),
            "in the cases two. If .* raise its `version`",
            False,
        ),
        (told(1, one="a", two="c"), "version 1, recorded is 2. Record anew", False),
        (told(3, one="a", two="c"), "version 3, recorded is 2. Record anew", True),
        (told(3, one="a", two="b"), "version 3, recorded is 2. Record anew", True),
        (told(2, one="a", two="b", three="c"), "new or gone: three. Record anew", True),
        (told(2, one="a"), "new or gone: two. Record anew", True),
        ({}, "version 0, recorded is 2. Record anew", True),
    ],
)
def test_what_is_said_of_a_difference_and_whether_it_can_be_recorded(found, said, recordable, tmp_path):
    before = told(2, one="a", two="b")
    record(tmp_path, before)
    assert bool(re.search(said or "^$", "\n".join(complaints(before, found))))
    with contextlib.nullcontext() if recordable else pytest.raises(SystemExit, match="Raise its `version`"):
        record(tmp_path, found)
    assert recorded(tmp_path) == (found if recordable else before)


if __name__ == "__main__":
    RECORDED.mkdir(exist_ok=True)
    record(RECORDED, observed())
