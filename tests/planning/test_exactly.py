"""Any job, any one change: exactly the entries are redone that read what changed, and what they leave is what a corpus
made from nothing would hold.

What an entry reads is written down here once more, so that the rule is not the code's own. The driver, pools and
workers are real; the engine and the NLI model are counters with scripted answers.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from factory.planning.plan import Summary, plan
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.store.records import Row
from tests.rehearsal import Rehearsal, Talker, letters_of, rows_of, settled, wanted_of

READS = {
    "expand": {"facts"},
    "converse": {"facts", "expand"},
    "extract": {"turns", "converse"},
    "augment": {"facts", "expand", "extract", "donors"},
    "consistency": {"facts", "turns", "expand", "converse", "extract"},
}
"""Parts of seeds that a method reads, makers whose writing it reads if they come before it, and the donors."""

FIXED: dict[str, dict[str, Any]] = {
    "expand": {"attempts": 1, "nli": "gate"},
    "converse": {"attempts": 1},
    "extract": {"nli": "gate"},
    "augment": {"nli": "gate"},
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "expand": [{"count": 1}, {"count": 2}, {"count": 1, "contradiction": 0.3}],
    "converse": [
        {"turns": 2, "min_turns": 2},
        {"turns": 3, "min_turns": 3},
        {"turns": 2, "min_turns": 2, "prompt": "told.j2"},
    ],
    "extract": [{}, {"min_similarity": 0.3}, {"merge_similarity": 0.1}],
    "augment": [{"count": 1, "probability": 1.0}, {"count": 2, "probability": 1.0}, {"count": 1, "probability": 0.5}],
    "consistency": [
        {"method": "consistency", "relevance": relevance, "turn_relevance": -1, "nli": nli}
        for relevance in (-1, 0.1, 0.4)
        for nli in ("nli", "other")
    ],
}
TOLD = "{% block system %}Talk. {{ facts }} {{ attributes }}{% endblock %}{% block user %}Begin.{% endblock %}"
ORDERS = [
    order
    for size in range(4)
    for others in itertools.combinations(("expand", "extract", "augment"), size)
    for order in itertools.permutations(("converse", *others))
    if "extract" not in order or order.index("converse") < order.index("extract")
]
NAMES = ["consistency", "strict", "loose"]
CONDITIONS = ["{}.contradiction >= 0.6", "{}.contradiction >= 0.3", "{}.coverage < 0.5", "row.turns < 3"]


@dataclass(frozen=True)
class Wish:
    """A job, and the seeds it is to be made of."""

    makers: dict[str, dict[str, Any]]
    scores: dict[str, dict[str, Any]]
    select: dict[str, dict[str, str]] | None
    seeds: dict[str, dict[str, Any]]

    def job(self, folder: Path) -> Job:
        """Written down, and loaded."""
        (folder / "seeds.jsonl").write_text(
            "\n".join(json.dumps({"id": name} | seed) for name, seed in self.seeds.items())
        )
        (folder / "told.j2").write_text(TOLD)
        content = {
            "corpus": str(folder / "corpus"),
            "seeds": [{"path": "seeds.jsonl", "fields": {"attributes": ["job"]}}],
            "models": {
                "writer": {"engine": "vllm", "name": "org/talker"},
                "embedding": {"kind": "embedding", "name": "org/vectors"},
                **{name: {"kind": "nli", "name": f"org/{name}"} for name in ("gate", "nli", "other")},
            },
            "makers": self.makers,
            "scores": self.scores,
            "run": {"rows_per_shard": 3},
        } | ({} if self.select is None else {"select": self.select})
        (folder / "job.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return load_job(folder / "job.yaml")

    def without(self, score: str) -> Wish:
        """The same without a score and the conditions that read it."""
        select = self.select and {
            band: {name: text for name, text in conditions.items() if not text.startswith(f"{score}.")}
            for band, conditions in self.select.items()
        }
        return replace(self, scores={name: one for name, one in self.scores.items() if name != score}, select=select)


SEEDS: dict[str, dict[str, Any]] = {
    f"p{number}": {"facts": [f"I keep {number} pets.", f"I own {number} boats."], "job": f"job {number}"}
    for number in range(4)
}
DIALOGUE = {"turns": ["I ski in winter.", "I cook for friends."], "personas": [["I have skis."], ["I like food."]]}


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    makers = {name: FIXED[name] | draw(st.sampled_from(OPTIONS[name])) for name in draw(st.sampled_from(ORDERS))}
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    scores = {name: draw(st.sampled_from(OPTIONS["consistency"])) for name in names}
    select = draw(
        st.none()
        | st.fixed_dictionaries(
            {band: st.dictionaries(st.just(f"{band}_moved"), conditions(names)) for band in ("reject", "flag")}
        )
    )
    return Wish(makers, scores, select, SEEDS | ({"d": DIALOGUE} if draw(st.booleans()) else {}))


def conditions(scores: list[str]) -> st.SearchStrategy[str]:
    return st.builds(str.format, st.sampled_from(CONDITIONS), st.sampled_from(scores))


@st.composite
def changes(draw: st.DrawFn) -> tuple[Wish, Wish, str]:
    """A job, the same with one thing changed, and what that is."""
    before = draw(wishes())
    kind = draw(st.sampled_from(list(KINDS)))
    return before, KINDS[kind](draw, before), kind


def add_score(draw: st.DrawFn, wish: Wish) -> Wish:
    return replace(wish, scores=wish.scores | {"added": draw(st.sampled_from(OPTIONS["consistency"]))})


def drop_score(draw: st.DrawFn, wish: Wish) -> Wish:
    return wish.without(draw(st.sampled_from(sorted(wish.scores))))


def change_score(draw: st.DrawFn, wish: Wish) -> Wish:
    name = draw(st.sampled_from(sorted(wish.scores)))
    return replace(wish, scores=wish.scores | {name: draw(st.sampled_from(OPTIONS["consistency"]))})


def reorder_makers(draw: st.DrawFn, wish: Wish) -> Wish:
    """Other makers, in another order; those that stay keep their parameters."""
    order = draw(st.sampled_from(ORDERS))
    return replace(wish, makers={name: wish.makers.get(name, FIXED[name] | OPTIONS[name][0]) for name in order})


def add_augment(draw: st.DrawFn, wish: Wish) -> Wish:
    return replace(wish, makers=wish.makers | {"augment": FIXED["augment"] | draw(st.sampled_from(OPTIONS["augment"]))})


def drop_maker(draw: st.DrawFn, wish: Wish) -> Wish:
    gone = draw(st.sampled_from([*({*wish.makers} - {"converse"}), "augment"]))
    return replace(wish, makers={name: one for name, one in wish.makers.items() if name != gone})


def change_maker(draw: st.DrawFn, wish: Wish) -> Wish:
    name = draw(st.sampled_from(sorted(wish.makers)))
    return replace(wish, makers=wish.makers | {name: FIXED[name] | draw(st.sampled_from(OPTIONS[name]))})


def move_conditions(draw: st.DrawFn, wish: Wish) -> Wish:
    """Conditions are moved, added or removed, or there are none any more."""
    select: dict[str, dict[str, str]] = {band: dict(found) for band, found in (wish.select or {}).items()}
    band, name = draw(st.sampled_from(["reject", "flag"])), draw(st.sampled_from(["moved", "another"]))
    select.setdefault(band, {})[f"{band}_{name}"] = draw(conditions(sorted(wish.scores)))
    return replace(wish, select=draw(st.sampled_from([select, None, {}])))


def edit_facts(draw: st.DrawFn, wish: Wish) -> Wish:
    name = draw(st.sampled_from(sorted(wish.seeds)))
    edited = {"personas": [["I sold my skis."], []]} if name == "d" else {"facts": ["I keep no pets."]}
    return replace(wish, seeds=wish.seeds | {name: wish.seeds[name] | edited})


def edit_turns(_: st.DrawFn, wish: Wish) -> Wish:
    return replace(wish, seeds={**wish.seeds, "d": DIALOGUE | {"turns": ["I swim.", "I cook for friends."]}})


def edit_attributes(draw: st.DrawFn, wish: Wish) -> Wish:
    name = draw(st.sampled_from(sorted({*wish.seeds} - {"d"})))
    return replace(wish, seeds=wish.seeds | {name: wish.seeds[name] | {"job": "none"}})


KINDS: dict[str, Callable[[st.DrawFn, Wish], Wish]] = {
    "score added": add_score,
    "score dropped": drop_score,
    "score changed": change_score,
    "augment added": add_augment,
    "maker dropped": drop_maker,
    "maker changed": change_maker,
    "makers in another order": reorder_makers,
    "conditions moved": move_conditions,
    "facts edited": edit_facts,
    "attributes edited": edit_attributes,
    "turns edited": edit_turns,
}


def redone(before: Wish, after: Wish, old: Row, new: Row) -> set[str]:
    """The entries that a change redoes for a row, of which `new` is the skeleton by the changed job."""
    edited = {
        part
        for place, part in enumerate(("facts", "turns", "attributes"))
        if [seed.digests[place] for seed in old.seeds] != [seed.digests[place] for seed in new.seeds]
    }
    edited |= {"donors"} if old.donors != new.donors else set()
    found: set[str] = set()
    for entry in entries(after, new.kind):
        was, now = sources(before, old.kind, entry), sources(after, new.kind, entry)
        given = configured(before, entry), configured(after, entry)
        if given[0] != given[1] or was != now or now & (found | edited):
            found.add(entry)
    return found


def configured(wish: Wish, entry: str) -> dict[str, Any] | None:
    return wish.makers.get(entry, wish.scores.get(entry))


def entries(wish: Wish, kind: str) -> list[str]:
    makers = [name for name in wish.makers if kind == "generated" or name in ("extract", "augment")]
    return [*makers, *wish.scores]


def sources(wish: Wish, kind: str, entry: str) -> set[str]:
    """What an entry reads: parts of seeds, donors, and makers before it."""
    names = entries(wish, kind)
    if entry not in names:
        return set()
    method = "consistency" if entry in wish.scores else entry
    told = {"attributes"} if entry == "converse" and "prompt" in wish.makers[entry] else set()
    before = set(names[: names.index(entry)])
    parts = {"facts", "turns", "donors"} - ({"turns"} if kind == "generated" else set())
    return READS[method] & (before | parts) | told


def check_row(before: Wish, after: Wish, old: Row, new: Row, found: set[str]) -> None:
    """Of a row, what was found to be redone is new, and all else as it was."""
    held, made = ({record.stage: record for record in row.stages} for row in (old, new))
    for entry in entries(after, new.kind):
        if entry in found:
            assert entry not in held or made[entry].started_at > held[entry].started_at  # type: ignore[operator]
        else:
            assert made[entry] == held[entry], entry
            assert left_by(new, entry) == left_by(old, entry), entry
    for gone in set(entries(before, old.kind)).difference(entries(after, new.kind)):
        stays = gone in before.scores and not remade(after, old, new, found)
        assert (gone in made, left_by(new, gone)) == (
            stays,
            left_by(old, gone) if stays else left_by(Row(**NO_ROW), gone),
        )


NO_ROW: dict[str, Any] = {"row_id": "", "kind": "generated", "sample": 0, "seeds": [], "speakers": []}


def left_by(row: Row, entry: str) -> tuple[Any, ...]:
    """What an entry left on a row."""
    return (
        [fact for speaker in row.speakers for fact in speaker.facts if fact.origin == entry],
        row.turns if entry == "converse" else None,
        row.extracted if entry == "extract" else None,
        row.scores.get(entry),
        [detail for detail in row.details if detail.score == entry],
    )


def remade(after: Wish, old: Row, new: Row, found: set[str]) -> bool:
    """Whether what is measured may not be what it was."""
    edited = [seed.digests for seed in old.seeds] != [seed.digests for seed in new.seeds]
    return edited or bool(found & after.makers.keys()) or trimmed(after, old)


def trimmed(after: Wish, old: Row) -> bool:
    """Whether something of a maker has to be taken off a row."""
    return any(one.stage in READS.keys() - after.makers.keys() - {"consistency"} for one in old.stages)


def check_calls(
    after: Wish, redone: dict[str, list[str]], new: dict[str, Row], planned: Summary, made: Rehearsal
) -> None:
    """The plan foretold the calls of each entry, or between how many they would be, and no others were made."""
    each = {"expand": 2, "augment": 0} | dict.fromkeys(after.scores, 1)
    expected = Counter(
        {name: sum(each.get(name, len(new[key].turns)) for key in rows) for name, rows in redone.items()}
    )
    assert +planned.calls == +planned.least_calls == +expected
    gates = planned.most_calls["expand"] + planned.most_calls["augment"]
    assert planned.most_calls - Counter(augment=gates) == +expected
    assert made.nli.calls["org/gate"] <= gates + len(redone.get("extract", ()))
    asked = Counter({name: expected[name] for name in ("expand", "converse", "extract")})
    records = [(key, record) for key, row in new.items() for record in row.stages]
    assert +asked == +Counter(
        record.stage for key, record in records for _ in range(record.calls) if key in redone.get(record.stage, ())
    )
    assert len(made.talker.requests) == asked.total()
    scored = Counter({f"org/{one['nli']}": 0 for one in after.scores.values()})
    for name, one in after.scores.items():
        scored[f"org/{one['nli']}"] += expected[name]
    assert +scored == Counter({name: count for name, count in made.nli.calls.items() if name != "org/gate"})


def check_rows(
    after: Wish, touched: dict[str, set[str]], old: dict[str, Row], new: dict[str, Row], summary: Summary
) -> None:
    """The plan foretold how many rows are made and remade, and these are those that must be."""
    changed = {key for key in old if new[key] != old[key]}
    decided = {key for key in old if (new[key].decision, new[key].reasons) != (old[key].decision, old[key].reasons)}
    assert changed == decided | {key for key in old if touched[key] or remade(after, old[key], new[key], touched[key])}
    assert (summary.make, summary.remake.total(), summary.drop) == (len(new.keys() - old.keys()), len(changed), 0)
    assert summary.unchanged == len(old) - len(changed)


def content(wish: Wish, row: Row) -> Row:
    """A row without what tells when it was made, and what was measured before and is no longer asked for."""
    row = deepcopy(row)
    row.stages = []
    row.scores = {name: values for name, values in row.scores.items() if name in wish.scores}
    row.details = sorted((one for one in row.details if one.score in wish.scores), key=lambda one: one.score)
    row.donors = row.donors if "augment" in wish.makers else []
    for speaker in row.speakers:
        speaker.facts.sort(key=lambda fact: fact.origin)
    return row


def a_wish(*makers: str, **changed: dict[str, Any]) -> Wish:
    """A job with the first options of each method, but for some."""
    options = {name: FIXED[name] | OPTIONS[name][0] | changed.get(name, {}) for name in makers}
    return Wish(options, {"consistency": OPTIONS["consistency"][0]}, None, SEEDS | {"d": DIALOGUE})


LATE = ("converse", "augment", "extract", "expand")
"""An order in which most makers write what an earlier one would read, if it came later."""
FIT = {"max_similarity": 0.1}
EDITED = SEEDS | {"d": DIALOGUE, "p1": SEEDS["p1"] | {"job": "none"}}
PROMPT = {"prompt": "told.j2"}


@given(changes())
@example((a_wish(*LATE), a_wish(*LATE, augment=FIT), "maker changed"))
@example((a_wish("converse"), a_wish("converse", "augment"), "augment added"))
@example((a_wish("converse"), replace(a_wish("converse"), select={}), "conditions moved"))
@example((a_wish("expand", "converse", "extract"), a_wish("converse", "extract"), "maker dropped"))
@example(
    (a_wish("converse", converse=PROMPT), replace(a_wish("converse", converse=PROMPT), seeds=EDITED), "attributes")
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_exactly_what_a_change_touches_is_redone(changed: tuple[Wish, Wish, str]) -> None:
    before, after, kind = changed
    with tempfile.TemporaryDirectory() as name:
        folder, anew = Path(name) / "kept", Path(name) / "anew"
        folder.mkdir()
        anew.mkdir()
        Rehearsal(Talker(varied=False)).run(before.job(folder))
        old = rows_of(before.job(folder))
        job, rehearsal = after.job(folder), Rehearsal(Talker(varied=False))
        skeletons = wanted_of(plan(job))
        summary = rehearsal.run(job).summary
        new = rows_of(job)
        assert not letters_of(job)
        assert new.keys() == skeletons.keys()
        assert settled(job)

        touched = {key: redone(before, after, old[key], skeletons[key]) for key in old}
        for key, row in new.items():
            if key in old:
                check_row(before, after, old[key], row, touched[key])
        rows = {
            entry: [key for key, row in new.items() if entry in touched.get(key, entries(after, row.kind))]
            for entry in (*after.makers, *after.scores)
        }
        check_calls(after, rows, new, summary, rehearsal)
        check_rows(after, touched, old, new, summary)
        if kind in ("score dropped", "conditions moved"):
            assert not rehearsal.talker.requests
            assert not rehearsal.nli.asked
        if kind == "augment added" and "augment" not in before.makers:
            assert not any(found - {"augment"} for found in touched.values())

        fresh = after.job(anew)
        Rehearsal(Talker(varied=False)).run(fresh)
        assert {key: content(after, row) for key, row in rows_of(fresh).items()} == {
            key: content(after, row) for key, row in new.items()
        }
