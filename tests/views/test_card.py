from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import persona_factory_models
import pytest
from huggingface_hub import DatasetCard, constants
from typer.testing import CliRunner

from factory.cli import app
from factory.models import licence_of
from factory.spec.job import Job
from factory.store.corpus import Corpus
from factory.store.records import ROW_SCHEMA
from factory.store.table import CorpusError
from factory.views.card import COLUMNS, card, write_card
from tests.rehearsal import Rehearsal, job_in, letters_of, rows_of, some_personas, write_seeds


@dataclass
class Made:
    """A corpus of two versions, with files of the older one beside it, and its card."""

    job: Job
    corpus: Corpus
    card: DatasetCard


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("card")
    write_seeds(folder, some_personas(7) | {"bad": []})
    rehearsal = Rehearsal()
    rehearsal.talker.mute = {"*p5*"}
    rehearsal.run(job_in(folder))
    job = job_in(folder, "select={reject: {contradicts: 'consistency.contradiction >= 0.5'}, flag: {}}")
    rehearsal.run(job)
    corpus = Corpus(job.corpus)
    write_card(corpus, card(corpus, licence="cc-by-4.0"))
    return Made(job, corpus, DatasetCard.load(Path(job.corpus) / "README.md"))


def loaded(corpus: str, cache: Path) -> list[dict[str, Any]]:
    import datasets

    return list(datasets.load_dataset(corpus, split="train", cache_dir=str(cache)))


def line(text: str, start: str) -> str:
    """The one line of a card that begins so."""
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return found


def test_it_says_what_was_screened_and_by_what(made: Made, tmp_path: Path) -> None:
    assert "- Nothing was screened for toxicity, bias, copyright or personal data." in made.card.text
    write_seeds(tmp_path, some_personas(3))
    job = job_in(tmp_path, "scores={checks: {method: screen}}", "select=null")
    Rehearsal().run(job)
    text = card(Corpus(job.corpus))
    assert line(text, "- For safety").endswith(
        "by checks.personal_data, checks.address: what these do not know of is still in it."
    )
    assert [one.split()[2] for one in text.splitlines() if one.startswith("- For ")] == [
        "adherence", "fairness", "robustness", "safety",
    ]  # fmt: skip
    assert "- Nothing else was screened." in text


def test_the_header_is_that_of_the_corpus(made: Made) -> None:
    from datasets import DatasetInfo, Features
    from datasets.utils.metadata import MetadataConfigs

    data, rows = made.card.data, rows_of(made.job)
    assert (data.license, data.language, data.pretty_name) == ("cc-by-4.0", ["en"], "corpus")
    assert data.size_categories == ["n<1K"]
    assert data.language_creators == ["machine-generated"]
    info = DatasetInfo._from_yaml_dict(data["dataset_info"])
    assert info.features == Features.from_arrow_schema(made.corpus.table.layout)
    assert info.splits["train"].num_examples == len(rows)
    assert info.splits["train"].num_bytes == sum(
        made.corpus.table.read(shard).nbytes for shard in made.corpus.table.shards()
    )
    (files,) = MetadataConfigs.from_dataset_card_data(data)["default"]["data_files"]
    assert [f"{made.job.corpus}/{path}" for path in files["path"]] == made.corpus.files()


def test_datasets_reads_the_rows_of_the_newest_version_and_no_others(made: Made, tmp_path: Path) -> None:
    assert len(list(Path(made.job.corpus, "shards").iterdir())) > len(made.corpus.files())
    rows = rows_of(made.job)
    assert {row["row_id"]: row["decision"] for row in loaded(made.job.corpus, tmp_path)} == {
        name: row.decision for name, row in rows.items()
    }


def test_the_counts_are_those_of_the_rows(made: Made) -> None:
    text, rows = made.card.text, list(rows_of(made.job).values())
    decisions = Counter(row.decision for row in rows)
    for decision, count in decisions.items():
        assert line(text, f"| decided {decision} |").endswith(f"| {count} |")
    origins = Counter(fact.origin for row in rows for speaker in row.speakers for fact in speaker.facts)
    for origin, count in origins.items():
        assert line(text, f"| facts of origin {origin} |").endswith(f"| {count} |")
    assert f"\n| turns | {sum(len(row.turns) for row in rows)} |\n" in text
    assert line(text, "| rows that failed, converse/turn_empty").endswith(f"| {len(letters_of(made.job))} |")
    assert line(text, "| seeds that could not be read, empty").endswith("| 1 |")
    assert line(text, "- seeds/a.jsonl") == f"- seeds/a.jsonl: {len({seed.id for row in rows for seed in row.seeds})}"
    coverage = sum(row.scores["consistency"]["coverage"] for row in rows) / len(rows)
    assert line(text, "| consistency | coverage |").endswith(f"| {coverage:.2f} |")
    assert line(text, "| consistency | {").startswith("| consistency | {contradiction: double, ")
    assert "coverage: Share of the facts that some own turn expresses;" in text


def test_each_stage_stands_there_with_what_is_not_its_default(made: Made) -> None:
    made_by = made.card.text.partition("## How it was made")[2].partition("## Models")[0]
    for record in rows_of(made.job).popitem()[1].stages:
        told = [one for one in made_by.splitlines() if one.startswith(f"| {record.stage} |")]
        assert any(one.endswith(f"| {record.recipe[:8]} |") for one in told)
        assert sum(int(one.split(" | ")[2]) for one in told) == len(rows_of(made.job))
        assert len(told) == 1 or record.stage == "select", "rows that are decided alike are left alone"
    assert "| turns: 3, min_turns: 3, attempts: 1 |" in line(made.card.text, "| converse |")
    assert "| relevance: -1.0, turn_relevance: -1.0 |" in line(made_by, "| consistency |")


def test_the_columns_that_all_rows_have_are_explained() -> None:
    assert list(COLUMNS) == ROW_SCHEMA.names


def test_models_stand_there_with_the_licences_of_their_cards(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "not stated" in line(made.card.text, "| org/talker | main | language | expand, converse, extract |")
    snapshot = tmp_path / "models--org--talker" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "README.md").write_text("---\nlicense: apache-2.0\n---\nA model.\n")
    (tmp_path / "models--org--talker" / "refs").mkdir()
    (tmp_path / "models--org--talker" / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert line(card(made.corpus), "| org/talker | main |").endswith("| apache-2.0 |")


def test_an_adapter_stands_in_the_rows_and_in_the_card(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path, "models.writer.adapter=org/voice")
    Rehearsal().run(job)
    told = {record.stage: record.models for record in rows_of(job).popitem()[1].stages}
    assert told["converse"] == ["org/talker@main + org/voice@main"]
    text = card(Corpus(job.corpus))
    assert "not stated" in line(text, "| org/voice | main | language adapter | expand, converse, extract |")
    assert "not stated" in line(text, "| org/talker | main | language | expand, converse, extract |")


def test_a_licence_is_that_of_the_card_at_hand(tmp_path: Path) -> None:
    cards = Path(str(persona_factory_models.__file__)).parent.glob("*/README.md")
    assert {licence_of(str(card.parent)) for card in cards} == {licence_of("smollm2"), licence_of("minilm")}
    (tmp_path / "bare").mkdir()
    assert licence_of(str(tmp_path / "bare")) is None
    (tmp_path / "bare" / "README.md").write_text("No header.")
    assert licence_of(str(tmp_path / "bare")) is None
    (tmp_path / "bare" / "README.md").write_text("---\nlicense: [mit, cc0-1.0]\n---\n")
    assert licence_of(str(tmp_path / "bare")) == "mit, cc0-1.0"
    assert licence_of("gpt: a server's / name") is None


def test_the_limits_are_those_of_the_corpus(made: Made, tmp_path: Path) -> None:
    text = made.card.text
    assert "The NLI model that chose facts or candidates is also the one" in text
    assert f"{len(letters_of(made.job))} rows that the job wanted could not be made" in text
    assert "small bundled model" not in text
    write_seeds(tmp_path, some_personas(4))
    judged = "scores.consistency.nli=report", "models.report={kind: nli, name: nli-small}"
    apart = job_in(tmp_path, *judged, "makers.augment=null")
    Rehearsal().run(apart)
    text = card(Corpus(apart.corpus))
    assert "The NLI model that chose" not in text
    assert "could not be made and are missing" not in text
    assert "nli-small is a small bundled model" in text
    assert "distractors" not in text.partition("## Known limits")[2]


def test_without_scores_and_decisions_it_says_so(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    left_out = [f"makers.{maker}=null" for maker in ("expand", "extract", "augment")]
    scripted = "models.writer={engine: scripted, name: 'scripted?latency_ms=1'}"
    job = job_in(tmp_path, *left_out, "scores={}", "select=null", scripted)
    Rehearsal().run(job)
    text = card(Corpus(job.corpus))
    assert "No row was decided about" in text
    assert "Consistency was not scored" in text
    assert "Nothing was scored" in text
    assert "it rehearses a job and means nothing" in text
    assert line(text, "| scripted |").endswith("| no model |")
    assert "No language model wrote in it" in text


def test_existing_dialogues_are_no_synthetic_ones(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    talk = {"turns": [{"speaker": "A", "text": "I ski."}, {"speaker": "B", "text": "So do I."}]}
    (tmp_path / "seeds" / "a.jsonl").write_text(json.dumps(talk))
    job = job_in(tmp_path, "makers.augment=null")
    Rehearsal().run(job)
    write_card(Corpus(job.corpus), card(Corpus(job.corpus)))
    data = DatasetCard.load(Path(job.corpus) / "README.md").data
    assert (data.language_creators, "synthetic" in data.tags, data.license) == (["found"], False, "unknown")


def test_a_corpus_without_a_row_has_a_card_without_files(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job, rehearsal = job_in(tmp_path), Rehearsal()
    rehearsal.talker.mute = {"*"}
    rehearsal.run(job)
    write_card(Corpus(job.corpus), card(Corpus(job.corpus)))
    held = DatasetCard.load(Path(job.corpus) / "README.md")
    assert held.data["dataset_info"]["splits"][0]["num_examples"] == 0
    assert "configs" not in held.data
    assert "A corpus without rows" in held.text
    assert line(held.text, "| rows that failed, converse/turn_empty").endswith("| 4 |")


def test_without_a_corpus_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus here yet"):
        card(Corpus(str(tmp_path)))


def test_what_comes_from_the_corpus_is_text_and_no_markup(tmp_path: Path) -> None:
    file = "x|y <img src=z> `b`.jsonl"
    write_seeds(tmp_path, {f"p{n}": [f"I like [this](http://evil) and <b>{n}</b> | *so*"] for n in range(4)}, file)
    job = job_in(tmp_path)
    Rehearsal().run(job)
    text = card(Corpus(job.corpus)).partition("\n---\n\n")[2]
    assert r"x\|y \<img src=z\> \`b\`.jsonl: 4" in text
    assert r"\[this\](http://evil) and \<b\>" in text
    assert "<img" not in text.replace(r"\<", "")
    assert "<b>" not in text


def test_a_card_that_people_edited_is_kept(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    readme = Path(job.corpus) / "README.md"
    for _ in range(2):
        assert CliRunner().invoke(app, ["card", job.corpus, "--license", "mit"]).exit_code == 0
    assert DatasetCard.load(readme).data.license == "mit"
    mine = readme.read_text().replace("mit", "cc0-1.0")
    readme.write_text(mine)
    result = CliRunner().invoke(app, ["card", job.corpus])
    assert isinstance(result.exception, CorpusError)
    assert "edited since" in str(result.exception)
    assert readme.read_text() == mine
    other = tmp_path / "drafts" / "card.md"
    assert CliRunner().invoke(app, ["card", job.corpus, "--to", str(other)]).exit_code == 0
    assert DatasetCard.load(other).data.license == "unknown"


def test_a_corpus_in_an_object_store_has_its_card_there(bucket: str, tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(4))
    job = job_in(tmp_path, f"corpus={bucket}/with-card")
    Rehearsal().run(job)
    corpus = Corpus(job.corpus)
    assert write_card(corpus, card(corpus)) == f"{bucket}/with-card/README.md"
    held = DatasetCard(corpus.storage.read_bytes("README.md").decode())
    (split,) = held.data["configs"][0]["data_files"]
    assert [f"{job.corpus}/{path}" for path in split["path"]] == corpus.files()
    assert held.data["dataset_info"]["splits"][0]["num_examples"] == 4
