"""The figures of a corpus are those that its rows, read one by one, add up to."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from factory.planning.garbage import gc
from factory.store.corpus import Corpus
from factory.store.table import CorpusError
from factory.store.versions import log
from factory.views.report.changes import changes
from factory.views.report.figures import PARTS, figures
from factory.views.report.summary import findings
from tests.rehearsal import JOB, Rehearsal, job_in, some_personas, write_seeds
from tests.views.report.conftest import Made
from tests.views.report.corpora import commit, dialogue, imported, letter


def test_the_corpus_is_counted(made: Made) -> None:
    about = made.figures["about"]
    assert (about["rows"], about["imported"]) == (80, 0)
    assert about["turns"] == sum(len(row.turns) for row in made.rows)
    assert about["words"] == sum(len(turn.text.split()) for row in made.rows for turn in row.turns)
    assert about["personas"] == len({speaker.seed_id for row in made.rows for speaker in row.speakers}) == 82
    assert about["tokens"] == {"prompt": 80 * 400 + 180, "cached": 80 * 240 + 60, "completion": 80 * 40 + 3}
    assert about["thresholds"] == {
        "consistency.contradiction": [
            {"band": "reject", "sign": ">=", "at": 0.9},
            {"band": "flag", "sign": ">=", "at": 0.6},
        ],
        "consistency.self_contradiction": [{"band": "flag", "sign": ">=", "at": 0.8}],
    }
    assert about["made_with"] == {"persona-factory": "9"}
    assert [one["version"] for one in about["versions"]] == [3, 2, 1, 0]


def test_the_funnel_ends_in_the_decisions(made: Made) -> None:
    funnel = made.figures["funnel"]
    assert funnel["rows"] == {"wanted": 82, "made": 80, "failed": 2}
    assert funnel["seeds"] == {"used": 84, "unreadable": 1, "reasons": {"json": 1}}
    assert funnel["decisions"] == Counter(row.decision for row in made.rows)
    assert set(funnel["decisions"]) == {"accept", "flag", "reject"}
    assert {(one["decision"], one["reason"]): one["rows"] for one in funnel["reasons"]} == Counter(
        (row.decision, reason.split(":")[0]) for row in made.rows for reason in row.reasons
    )
    lines = Counter(line.gate for row in made.rows for line in row.extracted)
    assert {gate: one["lines"] for gate, one in funnel["gates"].items()} == lines
    assert funnel["candidates"] == {"sampled": 160, "said": 80}


def test_failures_are_told_with_examples(made: Made) -> None:
    found = {(one["stage"], one["reason"], one["kind"]): one for one in made.figures["failures"]}
    assert {key: one["count"] for key, one in found.items()} == {
        ("converse", "turn_empty", "row"): 2,
        ("seeds", "json", "seed"): 1,
    }
    assert set(found["converse", "turn_empty", "row"]["details"]) == {made.letters[1].detail, made.letters[2].detail}
    assert [found["converse", "turn_empty", "row"][name] for name in ("calls", "completion_tokens")] == [6, 3]
    assert found["seeds", "json", "seed"]["details"] == [f"personas.jsonl, line 0: {made.letters[0].detail}"]


def test_changes_are_those_since_the_run_before(made: Made) -> None:
    told = made.figures["changes"]
    assert (told["since"], told["until"], told["rows"]) == (1, 3, 30)
    assert sum(one["rows"] for one in told["changes"]) == 30
    for version, rows in (("before", made.rows[:50]), ("after", made.rows)):
        figures = told[version]
        assert (figures["rows"], figures["turns"]) == (len(rows), sum(len(row.turns) for row in rows))
        assert figures["reject"] == pytest.approx(sum(row.decision == "reject" for row in rows) / len(rows))
        for name, mean in figures["means"].items():
            values = [row.scores["consistency"][name.removeprefix("consistency.")] for row in rows]
            assert mean == pytest.approx(sum(values) / len(rows)), name
        assert len(figures["means"]) == 11


def test_changes_since_a_version_that_is_named(made: Made) -> None:
    assert changes(made.corpus, 3, 2)["rows"] == 15
    with pytest.raises(CorpusError, match="no version 9"):
        changes(made.corpus, 3, 9)


def test_versions_of_one_run_have_nothing_before_them(tmp_path: Path) -> None:
    corpus = commit(tmp_path, [[dialogue(number) for number in range(4)]])
    assert "one run" in changes(corpus, 1, None)["left_out"]


def test_without_the_files_of_the_version_before_the_rest_is_told(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    for turns in (4, 6):
        job = job_in(tmp_path, f"makers.converse.turns={turns}")
        Rehearsal().run(job)
    corpus = Corpus(job.corpus)
    newest = log(corpus)[0].version
    assert "left_out" not in changes(corpus, newest, None)
    gc(corpus, 0, delete=True)
    corpus = Corpus(job.corpus)
    assert "are gone" in changes(corpus, newest, None)["left_out"]
    with pytest.raises(CorpusError, match="are gone"):
        changes(corpus, newest, 0)


@pytest.mark.parametrize("own", [True, False])
def test_a_score_by_the_model_that_chose_the_text_is_pointed_out(tmp_path: Path, *, own: bool) -> None:
    text = JOB.replace("extract: {{min_entailment: 0}}", "extract: {{}}")
    if own:
        text = text.replace("consistency: {{", "consistency: {{nli: judge, ")
        text = text.replace("  embedding:", "  judge: {{kind: nli, name: org/other}}\n  embedding:")
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path, text=text)
    Rehearsal().run(job)
    told = figures(Corpus(job.corpus))
    assert told["about"]["shared_nli"] == ({} if own else {"org/nli": ["consistency"]})
    said = [sentence for sentence, attention in findings(told) if "flatters" in sentence and attention]
    assert len(said) == (0 if own else 1)


def test_what_a_corpus_does_not_have_is_left_out(tmp_path: Path) -> None:
    seen: list[int] = []
    told = figures(commit(tmp_path, [[imported(number) for number in range(6)]]), report=seen.append)
    assert seen == list(range(1, PARTS + 1))
    assert told["about"]["imported"] == 6
    assert told["funnel"]["decisions"] == {"undecided": 6}
    assert (told["funnel"]["gates"], told["scores"], told["failures"]) == ({}, [], [])
    assert set(told["distributions"]) == {"turns", "words"}
    assert told["groups"]["groups"] == []
    assert "too few" in told["groups"]["left_out"]


def test_dead_letters_alone_are_a_corpus(tmp_path: Path) -> None:
    told = figures(commit(tmp_path, [], [letter(1, row=True), letter(2, row=False)]))
    assert told["funnel"]["rows"] == {"wanted": 1, "made": 0, "failed": 1}
    assert told["funnel"]["seeds"]["used"] == 2
    assert (told["distributions"], told["about"]["version"]) == ({}, None)


def test_without_a_corpus_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus here yet"):
        figures(Corpus(str(tmp_path)))


def test_the_cost_has_the_dead_letters(made: Made) -> None:
    cost = made.figures["cost"]
    assert cost["dead_letters"] == {
        "rows": 2, "calls": 6, "prompt_tokens": 180, "cached_tokens": 60, "completion_tokens": 3,
    }  # fmt: skip
    assert cost["total"]["calls"] == 80 * 4 + 6
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", made.page.read_text().partition('id="cost"')[2])
    place = cells.index("dead letters")
    assert cells[place : place + 7] == ["dead letters", "2", "6", "180", "33%", "3", ""]
