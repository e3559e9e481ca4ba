"""Jobs whose rows are personas: a slot for each seed and sample, planned and made like any other row."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.planning.plan import plan
from factory.planning.wanted import PlanError
from factory.spec.job import Job
from factory.spec.yamlfile import YamlError
from factory.store.records import row_id
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, settled, some_personas, wanted_of, write_seeds

PROFILES = """\
corpus: {folder}/corpus
seeds: [{{path: seeds/*.jsonl}}]
models: {{writer: {{engine: vllm, name: org/talker}}}}
makers:
  profile:
    attempts: 1
    fields: [{{name: age, type: integer, low: 18}}, {{name: town, fact: "I live in {{value}}."}}]
run: {{rows_per_shard: 3}}
"""
NEW = PROFILES.replace(
    PROFILES[PROFILES.index("  profile:") : PROFILES.index("run:")],
    "  expand_personas: {{count: 2, contradiction: 1, max_similarity: 1}}\n",
)


def profiles(folder: Path, *overrides: str) -> Job:
    return job_in(folder, *overrides, text=PROFILES)


def new_personas(folder: Path, *overrides: str) -> Job:
    return job_in(folder, *overrides, text=NEW)


def test_a_row_is_one_persona_with_what_was_made_of_it(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = profiles(tmp_path)
    summary = plan(job).summary
    assert (summary.make, dict(summary.calls)) == (4, {"profile": 4})
    Rehearsal().run(job)
    rows = rows_of(job)
    assert rows.keys() == {row_id((f"p{number}",), 0) for number in range(4)}
    for row in rows.values():
        (speaker,) = row.speakers
        assert (row.kind, row.turns, row.decision) == ("generated", [], None)
        assert speaker.facts_of("seed") == some_personas(4)[speaker.seed_id]
        assert speaker.facts_of("profile")[0] == "My age is 18."
        assert speaker.attributes["age"] == "18"
        assert speaker.facts_of("profile")[1] == f"I live in {speaker.attributes['town'].rstrip('.')}."
    assert settled(job)


def test_a_change_redoes_the_personas_that_it_touches(tmp_path: Path) -> None:
    personas = some_personas(6)
    write_seeds(tmp_path, personas)
    job = profiles(tmp_path)
    rehearsal = Rehearsal()
    rehearsal.run(job)
    before = rows_of(job)
    write_seeds(tmp_path, (personas | {"p1": ["I dive."], "new": ["I ski."]}))
    summary = plan(job).summary
    assert (summary.make, summary.remake, summary.drop, summary.unchanged) == (1, Counter(profile=1), 0, 5)
    rehearsal.run(job)
    after = rows_of(job)
    changed = {key for key in after if before.get(key) != after[key]}
    assert changed == {row_id(("p1",), 0), row_id(("new",), 0)}
    assert after[row_id(("p1",), 0)].speakers[0].facts_of("seed") == ["I dive."]
    assert settled(job)


def test_an_attribute_that_the_seed_now_gives_takes_the_place_of_the_one_that_was_written(tmp_path: Path) -> None:
    def write(**attributes: object) -> None:
        (tmp_path / "seeds").mkdir(exist_ok=True)
        (tmp_path / "seeds" / "a.jsonl").write_text(json.dumps({"id": "p", "facts": ["I ski."], **attributes}))

    write()
    job = profiles(tmp_path)
    rehearsal = Rehearsal()
    rehearsal.run(job)
    write(age=33, hat="red")
    assert plan(job).summary.remake == Counter(profile=1)
    rehearsal.run(job)
    (row,) = rows_of(job).values()
    assert (row.speakers[0].attributes["age"], row.speakers[0].attributes["hat"]) == ("33", "red")
    assert [text for text in row.speakers[0].facts_of("profile") if "age" in text] == []
    assert settled(job)


def test_what_cannot_be_made_is_a_dead_letter_and_can_be_tried_again(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = profiles(tmp_path)
    rehearsal = Rehearsal()
    rehearsal.talker.mute = {"*p2*"}
    rehearsal.run(job)
    assert len(rows_of(job)) == 3
    (letter,) = letters_of(job).values()
    assert (letter.seed_ids, letter.stage, letter.reason) == (["p2"], "profile", "profile_format")
    assert plan(job).summary.failed == 1
    rehearsal.talker.mute = set()
    rehearsal.run(job, retry_failed=True)
    assert (len(rows_of(job)), letters_of(job)) == (4, {})


def test_new_personas_are_rows_of_their_parents_by_sample(tmp_path: Path) -> None:
    personas = some_personas(3)
    write_seeds(tmp_path, personas)
    job = new_personas(tmp_path, "pairing.samples=2")
    Rehearsal().run(job)
    rows = rows_of(job)
    assert rows.keys() == {row_id((name,), sample) for name in personas for sample in (0, 1)}
    for row in rows.values():
        (speaker,) = row.speakers
        assert speaker.id == row.row_id
        assert {fact.origin for fact in speaker.facts} == {"expand_personas"}
        assert [fact.text for fact in row.donors[0]] == personas[speaker.seed_id]
    assert settled(job)
    again = plan(new_personas(tmp_path, "pairing.samples=3")).summary
    assert (again.make, again.remake.total(), again.unchanged) == (3, 0, 6)
    write_seeds(tmp_path, personas | {"p0": ["I dive."]})
    assert plan(job).summary.remake == Counter(expand_personas=2)


def test_expanded_personas_alone_are_rows_too(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    job = job_in(tmp_path, "makers={expand: {count: 1, attempts: 1}}", "scores={}", "select=null")
    Rehearsal().run(job)
    assert [len(row.speakers) for row in rows_of(job).values()] == [1, 1]
    assert settled(job)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    with pytest.raises(
        YamlError, match=r"makers.profile: it makes personas, and converse dialogues: give profile a job"
    ):
        job_in(tmp_path, "makers.profile={}", "makers.expand=null")
    with pytest.raises(PlanError, match="who talk to nobody: leave out pairing.partners"):
        plan(job_in(tmp_path, "makers={profile: {}}", "pairing.partners=2", "scores={}", "select=null"))
    for other in ("augment", "profile", "expand"):
        with pytest.raises(YamlError, match=f"makers.{other}: expand_personas makes new personas, of which"):
            job_in(tmp_path, f"makers={{expand_personas: {{}}, {other}: {{}}}}", "scores={}", "select=null")
    pools = "pairing.pools={doctor: \"attributes.role = 'doctor'\", patient: \"attributes.role = 'patient'\"}"
    for pairing, name in (("pairing.cross.openings=1", "cross"), (pools, "pools")):
        with pytest.raises(PlanError, match=f"who talk to nobody: leave out pairing.{name}"):
            plan(job_in(tmp_path, "makers={profile: {}}", pairing, "scores={}", "select=null"))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 40), min_size=1), st.sets(st.integers(0, 40)), st.integers(1, 3))
def test_seeds_that_come_move_no_other_row(tmp_path: Path, some: set[int], more: set[int], samples: int) -> None:
    def wanted(numbers: set[int]) -> dict[str, list[str]]:
        write_seeds(tmp_path, {f"p{number}": [f"I own {number} boats."] for number in sorted(numbers)})
        rows = wanted_of(plan(new_personas(tmp_path, f"pairing.samples={samples}")))
        return {key: [fact.text for fact in row.donors[0]] for key, row in rows.items()}

    before, after = wanted(some), wanted(some | more)
    assert len(before) == len(some) * samples
    assert before.items() <= after.items()
