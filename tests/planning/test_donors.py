"""Donors from a corpus at a stated version: PPDS's own direction, where facts are read off the dialogues."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.planning.plan import plan
from factory.planning.wanted import PlanError
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.records import Fact, Row, rows_to_table
from factory.store.table import CorpusError
from tests.methods.parts import a_row
from tests.rehearsal import Rehearsal, job_in, rows_of, settled, wanted_of

AUGMENT = ("makers={extract: {min_entailment: 0}, augment: {count: 2, probability: 1, max_similarity: 1}}",)


def write_dialogues(folder: Path, speakers: Mapping[str, tuple[str, str]]) -> None:
    (folder / "seeds").mkdir(exist_ok=True)
    rows = [
        {"id": name, "turns": [{"speaker": both[turn % 2], "text": f"{name} {turn}"} for turn in range(4)]}
        for name, both in speakers.items()
    ]
    (folder / "seeds" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))


def talk(name: str, both: tuple[str, str], facts: Sequence[Sequence[str]], decision: str | None = "accept") -> Row:
    """A row of one dialogue, whose speakers hold extracted facts."""
    row = a_row([], [], turns=["Hi.", "Hello."], row_id=name)
    row.seeds = row.seeds[:1]
    row.seeds[0].id, row.decision = name, decision
    for speaker, called, own in zip(row.speakers, both, facts, strict=True):
        speaker.id, speaker.seed_id, speaker.facts = called, name, [Fact(one, "extract", name, 0) for one in own]
    return row


def commit(root: Path, *rows: Row) -> int:
    """Make these rows the whole corpus; its version."""
    corpus = Corpus(str(root))
    before = corpus.table.shards()
    corpus.table.commit([corpus.table.write(rows_to_table(list(rows), {}))], before, "test")
    corpus.table.shards()
    return corpus.table.version() or 0


def with_donors(folder: Path, version: int) -> Job:
    return job_in(folder, f"pairing.donors={{corpus: donors, version: {version}}}", *AUGMENT)


def donors_by_seed(job: Job) -> dict[str, list[tuple[str, str]]]:
    rows = wanted_of(plan(job)).values()
    return {row.seeds[0].id: [(one.source_id, one.text) for side in row.donors for one in side] for row in rows}


PEOPLE = {f"d{number}": (f"ann_{number}", f"bob_{number}") for number in range(40)}


def test_one_job_extracts_and_the_next_distracts_with_that(tmp_path: Path) -> None:
    write_dialogues(tmp_path, PEOPLE)
    first = job_in(tmp_path, "makers={extract: {min_entailment: 0}}", f"corpus={tmp_path}/donors", "select={}")
    Rehearsal().run(first)
    held = {
        (fact.source_id, fact.text) for row in rows_of(first).values() for one in row.speakers for fact in one.facts
    }
    assert len(held) > 40
    Corpus(first.corpus).table.shards()
    job = with_donors(tmp_path, Corpus(first.corpus).table.history()[0]["version"])
    for name, donors in donors_by_seed(job).items():
        assert len(donors) == 12
        assert set(donors) < held
        assert name not in {seed for seed, _ in donors}
    Rehearsal().run(job)
    assert settled(job)
    for row in rows_of(job).values():
        offered = {(one.source_id, one.text) for side in row.donors for one in side}
        distracting = {(one.source_id, one.text) for by in row.speakers for one in by.facts if one.origin == "augment"}
        assert distracting
        assert distracting <= offered


def test_nobody_is_given_facts_of_their_own_other_dialogues(tmp_path: Path) -> None:
    speakers = {f"d{number}": (f"person_{number % 5}", f"person_{(number + 1) % 5}") for number in range(10)}
    write_dialogues(tmp_path, speakers)
    rows = [talk(name, both, [[f"I am {one} of {name}."] for one in both]) for name, both in speakers.items()]
    found = donors_by_seed(with_donors(tmp_path, commit(tmp_path / "donors", *rows)))
    for name, both in speakers.items():
        assert found[name]
        assert not [text for _, text in found[name] if any(f"am {one} " in text for one in both)]
        assert not [text for _, text in found[name] if f"of {name}." in text]


def test_only_facts_of_accepted_rows_are_given_and_no_distractors(tmp_path: Path) -> None:
    write_dialogues(tmp_path, {"d0": ("a", "b"), "d1": ("c", "d")})
    good = talk("x", ("e", "f"), [["I sew."], []], None)
    good.speakers[0].facts += [Fact("I ski.", "augment", "y"), Fact("I sew.", "seed", "x")]
    bad = talk("z", ("g", "h"), [["I lie."], ["I steal."]], "reject")
    found = donors_by_seed(with_donors(tmp_path, commit(tmp_path / "donors", good, bad)))
    assert found == {name: [("x", "I sew.")] * 2 for name in ("d0", "d1")}


@settings(max_examples=6, deadline=None)
@given(at=st.integers(0, 39), what=st.sampled_from(["fact", "person"]))
def test_one_more_moves_only_the_draws_of_its_own_donor(at: int, what: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        one_more_moves_few(Path(place), at, what)


def one_more_moves_few(folder: Path, at: int, what: str) -> None:
    write_dialogues(folder, PEOPLE)
    rows = [talk(name, both, [[f"I am {one}.", f"I like {one}."] for one in both]) for name, both in PEOPLE.items()]
    before = donors_by_seed(with_donors(folder, commit(folder / "donors", *rows)))
    if what == "fact":
        rows[at].speakers[0].facts.append(Fact("I am new.", "extract", f"d{at}", 1))
    else:
        rows.append(talk("new", ("eve", "carl"), [[f"I am new, {at}."], []]))
    after = donors_by_seed(with_donors(folder, commit(folder / "donors", *rows)))
    moved = [name for name in before if before[name] != after[name]]
    theirs = {f"I am ann_{at}.", f"I like ann_{at}.", "I am new."} if what == "fact" else {f"I am new, {at}."}
    for name in moved:
        assert not theirs.isdisjoint(text for _, text in (*before[name], *after[name]))
    assert len(moved) < len(before)


def test_a_newer_version_changes_nothing_and_a_stated_one_what_is_drawn(tmp_path: Path) -> None:
    write_dialogues(tmp_path, PEOPLE)
    rows = [talk(name, both, [[f"I am {one}."] for one in both]) for name, both in PEOPLE.items()]
    job = with_donors(tmp_path, first := commit(tmp_path / "donors", *rows))
    Rehearsal().run(job)
    rows += [talk(f"new{number}", (f"eve{number}", "carl"), [["I am new."], []]) for number in range(4)]
    second = commit(tmp_path / "donors", *rows)
    assert (first, settled(job)) == (second - 1, True)
    before, newer = donors_by_seed(job), with_donors(tmp_path, second)
    summary, after = plan(newer).summary, donors_by_seed(newer)
    moved = sum(before[name] != after[name] for name in before)
    assert 0 < moved < 40
    assert summary.remake == {"augment": moved}
    assert summary.reasons["augment"] == {"distractor donors changed": moved}


def test_another_corpus_in_the_same_place_is_not_taken_for_it(tmp_path: Path) -> None:
    write_dialogues(tmp_path, PEOPLE)
    rows = [talk(name, both, [[f"I am {one}."] for one in both]) for name, both in PEOPLE.items()]
    job = with_donors(tmp_path, commit(tmp_path / "donors", *rows))
    Rehearsal().run(job)
    assert settled(job)
    (tmp_path / "donors").rename(tmp_path / "away")
    others = [talk(name, both, [[f"I was {one}."] for one in both]) for name, both in PEOPLE.items()]
    assert commit(tmp_path / "donors", *others) == 0
    assert plan(job).summary.remake == {"augment": 40}


def test_donors_that_are_not_there(tmp_path: Path) -> None:
    write_dialogues(tmp_path, PEOPLE)
    with pytest.raises(PlanError, match=r"name a corpus to take them from: pairing\.donors"):
        plan(job_in(tmp_path, *AUGMENT))
    with pytest.raises(CorpusError, match="there is no corpus"):
        plan(with_donors(tmp_path, 0))
    version = commit(tmp_path / "donors", talk("x", ("a", "b"), [[], []]))
    with pytest.raises(PlanError, match=rf"no accepted row of donors at version {version} holds any"):
        plan(with_donors(tmp_path, version))
    with pytest.raises(CorpusError, match="no version 7"):
        plan(with_donors(tmp_path, 7))
    with pytest.raises(PlanError, match="no maker takes facts of others"):
        plan(job_in(tmp_path, "makers={extract: {}}", f"pairing.donors={{corpus: donors, version: {version}}}"))
