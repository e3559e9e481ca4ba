"""Preference pairs: who is chosen, by what, and with what prompt."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.export import ExportError, export
from factory.methods.exports.preference import By
from factory.methods.exports.preference.choosing import Scored, best_and_worst, diversity, most_and_least_diverse
from factory.methods.exports.preference.scoring import apc_of
from factory.scorers.embeddings import Embeddings
from factory.scorers.nli import Nli
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.records import Candidate, Row, Turn
from tests.export.test_formats import accepted, examples
from tests.methods.parts import a_row
from tests.rehearsal import HashEmbedder, HashNli
from tests.training.corpora import write_corpus


def scored(*replies: tuple[str, float]) -> list[Scored]:
    return [Scored(place, text, score) for place, (text, score) in enumerate(replies)]


def said(message: list[dict[str, str]]) -> str:
    (one,) = message
    assert one["role"] == "assistant"
    return one["content"]


def test_the_best_is_chosen_over_the_worst() -> None:
    assert best_and_worst(scored(("a", 0.2), ("b", 0.9), ("c", -0.5))) == (1, 2)
    assert best_and_worst(scored(("a", 0.2), ("b", 0.2))) is None


def test_a_word_that_fewer_say_counts_more() -> None:
    assert diversity(["I ski", "I swim", "I ski!"]) == pytest.approx(
        [(1 / 3 + 1 / 2) / 2, (1 / 3 + 1) / 2, (1 / 3 + 1 / 2) / 2]
    )
    assert diversity(["same", "Same", "..."]) == [0.5, 0.5, 0]


def test_divpo_takes_the_most_diverse_of_the_good_and_the_least_diverse_of_the_bad() -> None:
    replies = scored(
        ("I like tea", 1.0), ("I sail old boats", 0.8), ("strange purple words", 0.5), ("wholly other things", 0.2),
        ("I like me", 0.0),
    )  # fmt: skip
    assert most_and_least_diverse(replies) == (1, 4)
    assert most_and_least_diverse(scored(("a", 0.3), ("b", 0.3))) is None


@given(st.lists(st.tuples(st.text("abc ", max_size=8), st.floats(-1, 1)), min_size=2, max_size=8))
def test_divpo_never_rejects_what_it_might_choose(replies: list[tuple[str, float]]) -> None:
    found = most_and_least_diverse(scored(*replies))
    scores = [score for _, score in replies]
    if found is None:
        assert len(set(scores)) == 1
    else:
        assert scores[found[0]] > scores[found[1]]
        assert scores[found[0]] >= max(scores) - 0.3001 * (max(scores) - min(scores))


@pytest.mark.parametrize("by", ["nli", "divpo"])
def test_candidates_of_a_turn_are_paired_by_what_was_stored(job: Job, tmp_path: Path, by: By) -> None:
    rows, chats = accepted(job), examples(job, "chat", tmp_path / "chat")
    prompts = {
        (chat["row_id"], place - 1 - (chat["speaker"] == 0)): chat["messages"][:place]
        for chat in chats
        for place, message in enumerate(chat["messages"])
        if message["role"] == "assistant"
    }
    export(job.corpus, "preference", str(tmp_path / "pairs"), by=by)
    found = load(tmp_path / "pairs")
    assert len(found) > 100
    for pair in found:
        candidates = {one.text: one for one in rows[pair["chosen_row_id"]].turns[pair["turn"]].candidates}
        worth = {
            text: one.entailment - one.contradiction for text, one in candidates.items() if one.entailment is not None
        }  # type: ignore[operator]
        chosen, rejected = said(pair["chosen"]), said(pair["rejected"])
        assert (pair["chosen_score"], pair["rejected_score"]) == (worth[chosen], worth[rejected])
        assert pair["margin"] == worth[chosen] - worth[rejected] > 0
        assert pair["prompt"] == prompts[pair["chosen_row_id"], pair["turn"]]
        if by == "nli":
            assert (worth[chosen], worth[rejected]) == (max(worth.values()), min(worth.values()))
        else:
            assert pair["chosen_diversity"] == diversity(list(worth))[list(worth).index(chosen)]


def load(folder: Path) -> list[dict[str, Any]]:
    return list(datasets.load_dataset("parquet", data_dir=str(folder), cache_dir=f"{folder}.cache")["train"])


def test_apc_of_a_candidate_is_the_sum_over_the_facts() -> None:
    row = a_row(["I ski.", "I swim."], ["I sew."], turns=["Hi.", "Hello.", "I ski a lot."])
    row.turns[2].candidates = [
        Candidate("I ski a lot.", chosen=True, entailment=0.9, contradiction=0.0),
        Candidate("I hate snow.", chosen=False, entailment=0.0, contradiction=0.9),
        Candidate("Hello.", chosen=False),
    ]
    nli, embedder = HashNli(), HashEmbedder()
    ((number, scores),) = asyncio.run(apc_of(row, nli, embedder))
    assert number == 2
    assert scores[2] is None
    vectors = {
        text: asyncio.run(embedder.encode([text]))[0]
        for text in ("I ski.", "I swim.", "Hello.", "I ski a lot.", "I hate snow.")
    }
    for place, text in enumerate(("I ski a lot.", "I hate snow.")):
        expected = 0.0
        for fact in ("I ski.", "I swim."):
            relevance = max(0.0, float(vectors[fact] @ vectors["Hello."]))
            (judged,) = asyncio.run(nli.score([(fact, text)]))
            near = float(vectors[fact] @ vectors[text]) >= 0.12
            entailed, contradicted = (judged.entailment, judged.contradiction) if near else (0.0, 0.0)
            expected += (1 - relevance) * (1 - contradicted) + relevance * entailed
        assert scores[place] == pytest.approx(expected, abs=1e-5)


def test_apc_prefers_what_the_persona_entails(nli: Nli, embedder: Embeddings) -> None:
    row = a_row(["I have two dogs.", "I live in Boston."], turns=["Hi.", "Do you have any pets?", ""])
    texts = ["Yes, I have two dogs.", "It is a nice day.", "No, I have no dogs."]
    row.turns[2] = Turn(0, texts[0], candidates=[Candidate(text, text == texts[0], 0.1, 0.5, 0.1) for text in texts])
    ((_, scores),) = asyncio.run(apc_of(row, nli, embedder))
    good, neutral, bad = (score for score in scores if score is not None)
    assert good > neutral > bad


def test_apc_of_turns_opens_the_models_that_chose(job: Job, tmp_path: Path) -> None:
    pairs = examples(job, "preference", tmp_path / "pairs", by="apc")
    rows = accepted(job)
    assert len(pairs) > 50
    assert statistics.fmean(pair["margin"] for pair in pairs) > 0
    facts = max(len(speaker.facts_of("seed", "expand")) for row in rows.values() for speaker in row.speakers)
    for pair in pairs:
        assert 0 <= pair["rejected_score"] < pair["chosen_score"] <= facts


@pytest.mark.parametrize("by", ["apc", "nli", "divpo"])
def test_dialogues_of_a_slot_are_paired_wherever_they_stand(job: Job, tmp_path: Path, by: By) -> None:
    rows, corpus = accepted(job), Corpus(job.corpus)
    export(job.corpus, "preference", str(tmp_path / "pairs"), by=by, of="slot")
    shard_of = {
        row_id: shard.path
        for shard in corpus.table.shards()
        for row_id in corpus.table.read(shard, ["row_id"])["row_id"].to_pylist()
    }
    found = load(tmp_path / "pairs")
    assert any(shard_of[pair["chosen_row_id"]] != shard_of[pair["rejected_row_id"]] for pair in found)
    slots: dict[tuple[str, ...], list[Row]] = {}
    for row in rows.values():
        slots.setdefault(tuple(seed.id for seed in row.seeds), []).append(row)
    both = [own for own in slots.values() if len(own) == 2]
    assert len(found) == sum(worth(one, by) != worth(other, by) for one, other in both) > 10
    for pair in found:
        chosen, rejected = rows[pair["chosen_row_id"]], rows[pair["rejected_row_id"]]
        assert [seed.id for seed in chosen.seeds] == [seed.id for seed in rejected.seeds]
        assert worth(chosen, by) == pair["chosen_score"] > pair["rejected_score"] == worth(rejected, by)
        number = pair["turn"]
        assert [one["content"] for one in pair["prompt"][-number:] if number] == [
            turn.text for turn in chosen.turns[:number]
        ]
        assert pair["chosen"][0]["content"] == chosen.turns[number].text != rejected.turns[number].text
        own, other = (set(row.speakers[number % 2].facts_of("seed", "expand")) for row in (chosen, rejected))
        facts = own & other
        system = pair["prompt"][0]["content"]
        assert facts
        assert all(fact in system for fact in facts)
        assert not any(fact in system for fact in own ^ other)


def worth(row: Row, by: By) -> float:
    scores: Any = row.scores["consistency"]
    if by == "apc":
        return float(scores["apc"] / scores["profile_length"])
    return float(scores["entailed_share"] - scores["contradicted_share"])


def sample(number: int, turns: list[str], score: float, topic: str = "hens") -> Row:
    row = a_row(["I ski."], ["I sew."], turns=turns, row_id=str(number))
    row.sample, row.topic, row.decision = number, topic, "accept"
    row.scores["consistency"] = (
        dict.fromkeys(("profile_length", "pairs"), 1)
        | dict.fromkeys(("apc", "entailed_share"), score)
        | dict.fromkeys(("c_score", "contradicted_share", "coverage"), 0)
    )
    return row


def test_a_slot_begins_where_its_dialogues_part_and_ends_with_who_speaks_there(tmp_path: Path) -> None:
    rows = [
        sample(0, ["Hi.", "I sew.", "Nice.", "Bye."], 0.5),
        sample(1, ["Hi.", "I do not sew.", "Oh.", "Bye.", "Bye."], 0.1),
        sample(2, ["Hi.", "I ski."], 0.9, topic="tea"),
    ]
    write_corpus(tmp_path / "corpus", rows)
    told = export(str(tmp_path / "corpus"), "preference", str(tmp_path / "pairs"), of="slot")
    (pair,) = load(tmp_path / "pairs")
    assert told.left_out == {"rows that are the only one of their slot": 1}
    assert pair["turn"] == 1
    assert pair["prompt"][-1] == {"role": "user", "content": "Hi."}
    assert "I sew." in pair["prompt"][0]["content"]
    assert [one["content"] for one in pair["chosen"]] == ["I sew.", "Nice.", "Bye."]
    assert [one["content"] for one in pair["rejected"]] == ["I do not sew.", "Oh.", "Bye."]
    assert [one["role"] for one in pair["rejected"]] == ["assistant", "user", "assistant"]


def test_candidates_of_unknown_models_cannot_be_scored_anew(tmp_path: Path) -> None:
    row = sample(0, ["Hi.", "Hello."], 0.5)
    row.turns[1].candidates = [Candidate("Hello.", True, 0.1, 0.2, 0.1), Candidate("Hey.", False, 0.1, 0.1, 0.1)]
    write_corpus(tmp_path / "corpus", [row])
    with pytest.raises(ExportError, match="which models chose its candidates; use --by nli"):
        export(str(tmp_path / "corpus"), "preference", str(tmp_path / "pairs"), by="apc")
    assert not (tmp_path / "pairs").exists()
