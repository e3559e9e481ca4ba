"""What `datasets` reads back of each format, held against the rows of the corpus."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, get_args

import datasets
import pytest

from factory.export import Form, export, formats, schema_of
from factory.methods.example import dialogue as example_dialogue
from factory.methods.example import records
from factory.methods.exports.extraction import Extraction as ExtractionExport
from factory.methods.exports.ranking import Ranking
from factory.methods.scores.consistency import scored_pairs
from factory.models import REVISIONS
from factory.spec.identity import Recipe
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.records import Extraction, Fact, Row, StageRecord, rows_to_table, score_columns
from factory.views.explain import sent_prompts
from tests.methods.parts import a_row
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds
from tests.training.corpora import dialogue, write_corpus

SPLITS = {"test": 0.4}


def accepted(job: Job) -> dict[str, Row]:
    return {row_id: row for row_id, row in rows_of(job).items() if row.decision == "accept"}


def read(folder: Path, kind: str, form: Form = "parquet", corpus: str | None = None) -> datasets.DatasetDict:
    builder = "parquet" if form == "parquet" else "json"
    features = datasets.Features.from_arrow_schema(schema_of(kind, corpus)) if form == "jsonl" else None
    cache = f"{folder}.cache"
    return datasets.load_dataset(builder, data_dir=str(folder), cache_dir=cache, features=features)  # type: ignore[no-any-return]


def examples(job: Job, kind: str, folder: Path, **options: Any) -> list[dict[str, Any]]:
    """All that is exported without splits, as `datasets` reads it."""
    export(job.corpus, kind, str(folder), **options)
    return list(read(folder, kind)["train"])


@pytest.mark.parametrize("kind", formats())
def test_each_format_is_read_back_by_split_from_either_form(job: Job, tmp_path: Path, kind: str) -> None:
    found = {}
    for form in get_args(Form):
        told = export(job.corpus, kind, str(tmp_path / form), form=form, splits=SPLITS, rows_per_file=20)
        found[form] = read(tmp_path / form, kind, form, job.corpus)
        assert {split: len(part) for split, part in found[form].items()} == told.rows
        assert told.rows.keys() == {"train", "test"}
        assert len(told.files["train"]) == -(-told.rows["train"] // 20)
    for split, part in found["parquet"].items():
        assert part.features == datasets.Features.from_arrow_schema(schema_of(kind, job.corpus))
        assert part.to_list() == found["jsonl"][split].to_list()


def test_json_lines_need_no_schema(job: Job, tmp_path: Path) -> None:
    told = export(job.corpus, "chat", str(tmp_path / "chat"), form="jsonl")
    files = {"train": f"{tmp_path}/chat/train-*.jsonl.gz"}
    loaded = datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert len(loaded["train"]) == told.rows["train"]
    assert loaded["train"].features == datasets.Features.from_arrow_schema(schema_of("chat"))


def test_chats_hold_the_prompts_that_generation_sent(job: Job, tmp_path: Path) -> None:
    rows, corpus = accepted(job), Corpus(job.corpus)
    chats = examples(job, "chat", tmp_path / "chat")
    assert Counter(chat["row_id"] for chat in chats) == dict.fromkeys(rows, 2)
    for chat in chats:
        row = rows[chat["row_id"]]
        (record,) = (record for record in row.stages if record.stage == "converse")
        content = corpus.recipe(record.recipe)
        assert content is not None
        recipe = Recipe.model_validate({name: value for name, value in content.items() if name != "made_with"})
        sent = [list(messages) for _, messages in sent_prompts(recipe, row)]
        own = [number for number, turn in enumerate(row.turns) if turn.speaker == chat["speaker"]]
        replies = [place for place, message in enumerate(chat["messages"]) if message["role"] == "assistant"]
        assert [chat["messages"][:place] for place in replies] == [sent[number] for number in own]
        assert [chat["messages"][place]["content"] for place in replies] == [row.turns[number].text for number in own]
        assert chat["messages"][-1]["role"] == "assistant"


def test_prompts_hold_the_facts_that_are_asked_for(job: Job, tmp_path: Path) -> None:
    rows = accepted(job)
    for chat in examples(job, "chat", tmp_path / "chat", facts=("seed", "augment")):
        speaker = rows[chat["row_id"]].speakers[chat["speaker"]]
        system = chat["messages"][0]["content"]
        assert all(fact in system for fact in speaker.facts_of("seed", "augment"))
        assert not any(fact in system for fact in speaker.facts_of("expand"))


def test_plain_rows_are_flat(job: Job, tmp_path: Path) -> None:
    export(job.corpus, "plain", str(tmp_path / "plain"), decisions=("accept", "reject"))
    found = {row["row_id"]: row for row in read(tmp_path / "plain", "plain")["train"]}
    rows = rows_of(job)
    assert found.keys() == rows.keys()
    assert {row.decision for row in rows.values()} == {"accept", "reject"}
    assert any(flat["distractors_a"] for flat in found.values())
    for row_id, flat in found.items():
        row = rows[row_id]
        assert (flat["decision"], flat["reasons"]) == (row.decision, row.reasons)
        assert flat["seeds"] == [seed.id for seed in row.seeds]
        assert flat["turns"] == [turn.text for turn in row.turns]
        assert flat["turn_speakers"] == ["ab"[turn.speaker] for turn in row.turns]
        assert flat["expanded_b"] == row.speakers[1].facts_of("expand")
        assert flat["distractors_a"] == row.speakers[0].facts_of("augment")
        scores = row.scores["consistency"]
        assert (flat["apc"], flat["scored_pairs"]) == (scores["apc"], scores["pairs"])


def test_flat_lines_hold_all_scores_that_the_corpus_has(job: Job, tmp_path: Path) -> None:
    """Also those of an entry that is not called like its method."""
    corpus = Corpus(job.corpus)
    moved = list(corpus.rows())
    columns = {"near": score_columns(corpus.table.layout)["consistency"]}
    renamed = Corpus(str(tmp_path / "renamed"))
    renamed.table.shards()
    renamed.table.grow(columns, "test")
    for row in moved:
        row.scores = {"near": row.scores["consistency"]}
    renamed.table.commit([renamed.table.write(rows_to_table(moved, columns))], [], "test")
    for one, score in ((corpus, "consistency"), (renamed, "near")):
        to = tmp_path / score
        export(one.root, "flat", str(to), decisions=("accept", "reject"))
        found = {line["row_id"]: line for line in read(to, "flat")["train"]}
        rows = {row.row_id: row for row in one.rows()}
        assert found.keys() == rows.keys()
        for row_id, line in found.items():
            row = rows[row_id]
            assert line["text"] == "\n".join(f"{'AB'[turn.speaker]}: {turn.text}" for turn in row.turns)
            assert (line["decision"], line["reasons"]) == (row.decision, ", ".join(row.reasons))
            values = {name.removeprefix(f"{score}_"): line[name] for name in line if name.startswith(f"{score}_")}
            assert values == row.scores[score]
            assert values["apc"] is not None


def test_extraction_pairs_a_turn_with_its_facts_or_none(job: Job, tmp_path: Path) -> None:
    rows = accepted(job)
    found = {(one["row_id"], one["turn"]): one for one in examples(job, "extraction", tmp_path / "extraction")}
    left_out = 0
    for row in rows.values():
        for number, turn in enumerate(row.turns):
            lines = [line for line in row.extracted if line.turn == number]
            passed = [line.text for line in lines if line.gate == "accepted"]
            if lines and not passed:
                left_out += 1
                assert (row.row_id, number) not in found
                continue
            one = found.pop((row.row_id, number))
            assert (one["utterance"], one["facts"]) == (turn.text, passed)
            assert one["target"] == ("\n".join(passed) if passed else "[None]")
    assert not found
    assert left_out


def test_a_turn_that_tells_nothing_by_its_words_is_an_empty_pair() -> None:
    row = example_dialogue()
    row.extracted = [Extraction(0, 0, "", "telling"), Extraction(1, 1, "Sew?", "format")]
    assert [(one["turn"], one["target"]) for one in records(ExtractionExport, [row])] == [(0, "[None]"), (2, "[None]")]


def test_nli_pairs_have_the_likeliest_label(job: Job, tmp_path: Path) -> None:
    scores = [score for row in Corpus(job.corpus).rows() if row.decision == "accept" for score in scored_pairs(row)]
    found = examples(job, "nli", tmp_path / "nli")
    assert len(found) == len(scores) > 0
    for one, score in zip(found, scores, strict=True):
        pair = score.pair
        assert (one["premise"], one["hypothesis"], one["check"]) == (pair.premise, pair.hypothesis, pair.check)
        likelihoods = {name: getattr(score.found, name) for name in ("entailment", "neutral", "contradiction")}
        assert one["label"] == max(likelihoods, key=lambda name: likelihoods[name])
        assert one["probability"] == max(likelihoods.values())
        assert one["labelled_by"] == f"nli-small@{REVISIONS['nli-small']}"
    assert {one["label"] for one in found} == {"entailment", "neutral", "contradiction"}


def test_ranking_has_one_true_reply_among_twenty(job: Job, tmp_path: Path) -> None:
    rows = accepted(job)
    saying: dict[str, list[Row]] = {}
    for row in rows.values():
        for turn in row.turns[1:]:
            saying.setdefault(turn.text, []).append(row)
    found = examples(job, "ranking", tmp_path / "ranking")
    assert len(found) == sum(len(row.turns) - 1 for row in rows.values())
    places = Counter(one["label"] for one in found)
    assert len(places) == 20
    for one in found:
        row = rows[one["row_id"]]
        assert len(set(one["candidates"])) == len(one["candidates"]) == 20
        assert one["candidates"][one["label"]] == row.turns[one["turn"]].text
        assert one["prompt"][-1]["content"] == row.turns[one["turn"] - 1].text
        own = {seed.id for seed in row.seeds}
        for place, text in enumerate(one["candidates"]):
            if place != one["label"]:
                assert any(own.isdisjoint(seed.id for seed in other.seeds) for other in saying[text])


def test_others_come_from_a_window_and_never_say_what_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranking, "block", 20)
    write_corpus(tmp_path / "corpus", [dialogue(number) for number in range(50)])
    told = export(str(tmp_path / "corpus"), "ranking", str(tmp_path / "ranking"))
    found = read(tmp_path / "ranking", "ranking")["train"]
    assert (len(found), told.left_out) == (3 * 50, {})
    assert {one["candidates"][one["label"]] for one in found} > {"Hello.", "Nice."}
    assert all(len(set(one["candidates"])) == 20 for one in found)


def test_no_prompt_tells_what_was_read_off_the_reply(tmp_path: Path) -> None:
    rows = [imported(number, "0101") for number in range(30)]
    for number, row in enumerate(rows):
        for seed, speaker in zip(row.seeds, row.speakers, strict=False):
            seed.id = speaker.id = speaker.seed_id = f"{seed.id} {number}"
        for place, turn in enumerate(row.turns):
            turn.text += f" {number}."
            row.speakers[turn.speaker].facts.append(Fact(turn.text, "extract", "s", place))
    write_corpus(tmp_path / "corpus", rows)
    export(str(tmp_path / "corpus"), "ranking", str(tmp_path / "ranking"))
    found = read(tmp_path / "ranking", "ranking")["train"]
    for one in found:
        told = one["prompt"][0]["content"]
        facts = [line for line in told.splitlines() if line.startswith("- Line ")]
        assert [line[7] for line in facts] == [str(place) for place in range(one["turn"] % 2, one["turn"], 2)]
    assert len(found) == 90


def test_a_corpus_without_decisions_is_exported_as_a_whole(tmp_path: Path) -> None:
    rows = [dialogue(number) for number in range(3)]
    for row in rows:
        row.decision = None
    write_corpus(tmp_path / "corpus", rows)
    assert export(str(tmp_path / "corpus"), "plain", str(tmp_path / "plain")).rows == {"train": 3}


def test_a_split_ranks_among_its_own(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranking, "block", 12)
    export(job.corpus, "ranking", str(tmp_path / "ranking"), splits=SPLITS)
    rows, loaded = accepted(job), read(tmp_path / "ranking", "ranking")
    for part in loaded.values():
        said = {turn.text for row_id in part["row_id"] for turn in rows[row_id].turns}
        assert {text for texts in part["candidates"] for text in texts} <= said


def imported(number: int, speakers: str, given: tuple[str, ...] = ()) -> Row:
    """A dialogue that people held, with what was read off it; speaker 0 comes with a persona, if any."""
    row = a_row(given, turns=[f"Line {place}." for place in range(len(speakers))], row_id=f"{number:032x}")
    row.kind, row.decision = "imported", "accept"
    for turn, speaker in zip(row.turns, speakers, strict=True):
        turn.speaker = int(speaker)
    row.stages = [StageRecord("extract", "r", "f")]
    row.extracted = [Extraction(0, 0, "I own it.", "accepted", "I", "own", "a boat"), Extraction(1, 1, "?", "format")]
    for speaker in row.speakers:
        speaker.facts += [Fact("I own a boat.", "extract", "s", 0), Fact("I sew.", "augment", "other")]
    return row


def test_dialogues_of_people_are_told_by_what_was_read_off_them(tmp_path: Path) -> None:
    rows = [imported(1, "0101"), imported(2, "0101", ("I ski.",)), imported(3, "0011")]
    write_corpus(tmp_path / "corpus", rows)
    told = export(str(tmp_path / "corpus"), "chat", str(tmp_path / "chat"))
    systems = [chat["messages"][0]["content"] for chat in read(tmp_path / "chat", "chat")["train"]]
    facts = [[line[2:] for line in system.splitlines() if line.startswith("- ")] for system in systems]
    assert facts == [["I own a boat.", "I sew."], ["I own a boat.", "I sew."], ["I ski."], ["I own a boat.", "I sew."]]
    assert told.left_out == {"rows whose speakers do not alternate": 1}


def test_a_turn_without_a_line_is_one_without_facts(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", [imported(1, "010")])
    told = export(str(tmp_path / "corpus"), "extraction", str(tmp_path / "out"))
    first, none = read(tmp_path / "out", "extraction")["train"]
    assert (first["utterance"], first["facts"], first["target"]) == ("Line 0.", ["I own a boat."], "I own a boat.")
    assert (none["utterance"], none["facts"], none["target"]) == ("Line 2.", [], "[None]")
    assert told.left_out == {"turns whose lines the gates stopped": 1}


def test_a_format_reads_a_score_by_its_method_whatever_the_job_calls_it(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(6))
    names = ("scores.consistency=null", "scores.judged={method: consistency}", "select={}")
    made = job_in(tmp_path, *names, "pairing.samples=2")
    Rehearsal().run(made)
    rows = rows_of(made)
    flat = examples(made, "plain", tmp_path / "plain", decisions=("accept", "flag"))
    expected = {row.row_id: row.scores["judged"]["coverage"] for row in rows.values()}
    assert {one["row_id"]: one["coverage"] for one in flat} == pytest.approx(expected)
    assert any(expected.values())
    pairs = export(made.corpus, "preference", str(tmp_path / "pairs"), of="slot", decisions=("accept", "flag"))
    assert not [why for why in pairs.left_out if "without scores" in why]
