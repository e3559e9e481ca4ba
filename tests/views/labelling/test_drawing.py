from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from factory.methods.scores.consistency import ScoredPair, scored_pairs
from factory.models import REVISIONS
from factory.store.corpus import Corpus
from factory.store.records import Row
from factory.store.table import CorpusError
from factory.views.labelling import Drawn, draw, write
from tests.views.report.corpora import commit, dialogue, imported


def all_pairs(rows: list[Row], check: str = "turn_persona") -> dict[tuple[str, str, str], ScoredPair]:
    return {
        (row.row_id, one.pair.premise, one.pair.hypothesis): one
        for row in rows
        for one in scored_pairs(row)
        if one.pair.check == check
    }


def keys(drawn: Drawn) -> list[tuple[str, str, str]]:
    return [(pair.record["row_id"], pair.record["premise"], pair.record["hypothesis"]) for pair in drawn.pairs]


def test_every_pair_of_the_corpus_is_in_one_stratum(corpus: Corpus, rows: list[Row]) -> None:
    drawn = draw(corpus, count=30)
    assert drawn.near == [0.6, 0.9]
    assert [stratum.low for stratum in drawn.strata] == [0, 0.3, 0.6, 0.75, 0.9, 0.95]
    values = [pair.found.contradiction for pair in all_pairs(rows).values()]
    for stratum in drawn.strata:
        assert stratum.pairs == sum(stratum.low <= value < stratum.high for value in values)
    assert sum(stratum.pairs for stratum in drawn.strata) == len(values) == 160
    assert sum(stratum.drawn for stratum in drawn.strata) == len(drawn.pairs) == len(set(keys(drawn))) == 30


def test_a_drawn_pair_is_told_as_the_corpus_has_it(corpus: Corpus, rows: list[Row]) -> None:
    drawn, known = draw(corpus, count=30), all_pairs(rows)
    strata = {str(stratum): stratum for stratum in drawn.strata}
    for key, pair in zip(keys(drawn), drawn.pairs, strict=True):
        told, stored = pair.record, known[key]
        assert [told["entailment"], told["neutral"], told["contradiction"]] == pytest.approx(
            [stored.found.entailment, stored.found.neutral, stored.found.contradiction]
        )
        assert (told["turn"], told["speaker"]) == (stored.pair.turn, stored.pair.speaker)
        assert (told["label"], told["labelled_by"]) == (None, None)
        assert told["scored_by"] == f"nli-small@{REVISIONS['nli-small']}"
        stratum = strata[told["stratum"]]
        assert stratum.low <= told["contradiction"] < stratum.high
        assert (told["stratum_pairs"], told["all_pairs"]) == (stratum.pairs, 160)
    assert Counter(pair.record["stratum"] for pair in drawn.pairs) == {
        str(stratum): stratum.drawn for stratum in drawn.strata if stratum.drawn
    }


def test_a_seed_draws_the_same_again_and_another_seed_others(corpus: Corpus) -> None:
    first, again, other = draw(corpus, count=30), draw(corpus, count=30), draw(corpus, count=30, seed=1)
    assert (keys(first), first.id) == (keys(again), again.id)
    assert set(keys(first)) != set(keys(other))
    assert first.id != other.id


def test_weighted_pairs_tell_what_the_corpus_holds(corpus: Corpus, rows: list[Row]) -> None:
    """Of a fact that the strata do not know: how many pairs are of speaker A."""
    true = sum(pair.pair.speaker == 0 for pair in all_pairs(rows).values())
    estimates = []
    for seed in range(25):
        drawn = draw(corpus, count=40, seed=seed)
        taken = {str(stratum): stratum.drawn for stratum in drawn.strata}
        told = [pair.record for pair in drawn.pairs if pair.record["speaker"] == 0]
        estimates.append(sum(one["stratum_pairs"] / taken[one["stratum"]] for one in told))
    assert sum(estimates) / len(estimates) == pytest.approx(true, rel=0.08)


def test_thresholds_and_a_check_can_be_given(corpus: Corpus, rows: list[Row]) -> None:
    drawn = draw(corpus, near=[0.5], count=1000)
    assert [(stratum.low, stratum.high) for stratum in drawn.strata] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]
    assert set(keys(drawn)) == all_pairs(rows).keys()
    turns = draw(corpus, check="turn_turn", count=1000)
    assert turns.near == [0.8]
    assert set(keys(turns)) == all_pairs(rows, "turn_turn").keys()


def test_what_cannot_be_drawn_says_why(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="extracted_contradiction with a number; give thresholds: --near"):
        draw(corpus, check="extracted_persona")
    with pytest.raises(CorpusError, match="stored no pairs of the check extracted_persona"):
        draw(corpus, check="extracted_persona", near=[0.5])
    with pytest.raises(CorpusError, match="a threshold lies between 0 and 1"):
        draw(corpus, near=[0.5, 1.5])
    with pytest.raises(CorpusError, match="there is no other; name one with --score: consistency"):
        draw(corpus, score="other")
    with pytest.raises(CorpusError, match="no score of its rows stored pairs"):
        draw(commit(tmp_path / "bare", [[imported(1), imported(2)]]))
    with pytest.raises(CorpusError, match=r"pairs.csv: give the file a name that ends in .html"):
        write(corpus, tmp_path / "pairs.csv")
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match=r"cannot be written: .*; give another place with --to"):
        write(corpus, tmp_path / "file" / "pairs.html")


def test_of_two_scores_one_is_named(tmp_path: Path) -> None:
    rows = [dialogue(number) for number in range(4)]
    for row in rows:
        row.stages.append(type(row.stages[0])("strict", "m", ""))
    root = tmp_path / "corpus"
    Corpus(str(root)).save_recipe("m", {"stage": "strict", "method": "consistency", "models": {}})
    corpus = commit(root, [rows])
    with pytest.raises(CorpusError, match="several scores stored pairs; name one with --score: consistency, strict"):
        draw(corpus)
    with pytest.raises(CorpusError, match="strict stored no pairs"):
        draw(corpus, score="strict", near=[0.5])
