from __future__ import annotations

from pathlib import Path

from factory.corpus import Corpus
from factory.garbage import gc
from factory.history import log, restore
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, settled, some_personas, write_seeds


def bad_seeds(corpus: str) -> list[tuple[int, str]]:
    return sorted((letter.line, letter.reason) for letter in Corpus(corpus).dead_letters() if letter.row_id is None)


def test_unreadable_seeds_are_those_of_the_last_reading(tmp_path: Path) -> None:
    write_seeds(tmp_path, {"bad": []} | some_personas(3) | {"worse": [""]})
    job = job_in(tmp_path)
    Rehearsal().run(job)
    assert bad_seeds(job.corpus) == [(1, "empty"), (5, "empty")]
    version = Corpus(job.corpus).dead.shards()
    Rehearsal().run(job)
    assert Corpus(job.corpus).dead.shards() == version
    write_seeds(tmp_path, some_personas(3))
    Rehearsal().run(job)
    assert bad_seeds(job.corpus) == []


def test_a_letter_goes_when_its_row_is_no_longer_wanted(tmp_path: Path) -> None:
    personas, rehearsal = some_personas(6), Rehearsal()
    write_seeds(tmp_path, personas)
    job = job_in(tmp_path)
    rehearsal.talker.mute = {"*p4*"}
    rehearsal.run(job)
    assert letters_of(job)
    del personas["p4"]
    write_seeds(tmp_path, personas)
    rehearsal.run(job)
    assert not letters_of(job)
    assert settled(job)


def test_a_row_that_fails_anew_leaves_the_corpus_for_the_letters(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(5))
    rehearsal = Rehearsal()
    rehearsal.run(job_in(tmp_path))
    before = rows_of(job_in(tmp_path))
    rehearsal.talker.mute = {"*p1*"}
    job = job_in(tmp_path, "stages.converse.turns=4")
    rehearsal.run(job)
    assert letters_of(job)
    assert rows_of(job).keys() | letters_of(job).keys() == before.keys()
    assert not rows_of(job).keys() & letters_of(job).keys()
    assert settled(job)
    rehearsal.talker.mute = set()
    rehearsal.run(job_in(tmp_path))
    assert not letters_of(job)
    assert rows_of(job).keys() == before.keys()


def test_an_interrupt_keeps_the_letters_of_rows_it_did_not_reach(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path, "run.dialogues_in_flight=1"), Rehearsal()
    rehearsal.talker.mute = {"pets"}
    rehearsal.run(job)
    assert len(letters_of(job)) == 6
    rehearsal.run(job, retry_failed=True, stop_after=1)
    attempts = sorted(letter.attempts for letter in letters_of(job).values())
    assert attempts == [1] * 5 + [2]


def test_the_newest_version_belongs_with_the_newest_letters(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*p1*"}
    rehearsal.run(job)
    rehearsal.run(job, retry_failed=True)
    rows, letters = rows_of(job), letters_of(job)
    corpus = Corpus(job.corpus)
    gc(corpus, 0, delete=True)
    restore(corpus, log(corpus)[0].version)
    assert (rows_of(job), letters_of(job)) == (rows, letters)
    assert {letter.attempts for letter in letters.values()} == {2}
