from __future__ import annotations

import json
from pathlib import Path

import pytest

from factory.store.corpus import Corpus
from factory.store.table import CorpusError
from factory.views.explain import explain, find_row
from tests.rehearsal import Rehearsal, job_in, rows_of, some_personas, write_seeds


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["makers.converse.roles=[guest, host]", "makers.converse.topics=[pets, work]", "makers.extract.form=triple"],
        ["makers.converse.openings=['Hello, who are you?']"],
        ["makers.converse.mode=script"],
    ],
)
def test_the_prompts_are_those_that_the_engine_saw(tmp_path: Path, overrides: list[str]) -> None:
    write_seeds(tmp_path, some_personas(3))
    job, rehearsal = job_in(tmp_path, *overrides), Rehearsal()
    rehearsal.run(job)
    sent = sorted(str(list(request.messages)) for request in rehearsal.talker.requests)
    explained = [explain(Corpus(job.corpus), row) for row in rows_of(job).values()]
    prompts = [prompt["messages"] for one in explained for stage in one["stages"] for prompt in stage["prompts"]]
    assert sorted(map(str, prompts)) == sent


def test_rows_are_found_by_their_first_digits(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(3))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    corpus = Corpus(job.corpus)
    for row_id, row in rows_of(job).items():
        assert find_row(corpus, row_id[:10]) == row
    for prefix, said in (("zzzzzzzzzz", "no row zzzzzzzzzz"), ("", "3 rows begin with")):
        with pytest.raises(CorpusError, match=said):
            find_row(corpus, prefix)


def test_a_recipe_that_was_lost_is_missed_by_name(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    row = next(iter(rows_of(job).values()))
    (Path(job.corpus) / "_recipes" / f"{row.stages[0].recipe}.json").unlink()
    with pytest.raises(CorpusError, match=f"recipe {row.stages[0].recipe} is missing"):
        explain(Corpus(job.corpus), row)


def test_a_recipe_of_another_version_is_shown_though_its_prompts_cannot_be(tmp_path: Path) -> None:
    write_seeds(tmp_path, some_personas(2))
    job = job_in(tmp_path)
    Rehearsal().run(job)
    row = next(iter(rows_of(job).values()))
    file = Path(job.corpus) / "_recipes" / f"{row.stages[0].recipe}.json"
    recipe = json.loads(file.read_text())
    recipe["params"]["politeness"] = 3
    file.write_text(json.dumps(recipe))
    first, second, *_ = explain(Corpus(job.corpus), row)["stages"]
    assert first["recipe"]["params"]["politeness"] == 3
    assert (first["prompts"], second["note"]) == ([], None)
    assert "Extra inputs" in first["note"]
