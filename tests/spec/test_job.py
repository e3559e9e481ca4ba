"""Makers, scores, models and workers by name: a mistake is told once, at its place, with what would be right."""

# ruff: noqa: E501 - a mistake and what is said of it stand on one line

from __future__ import annotations

from pathlib import Path

import pytest

from factory.spec.jobfile import load_job
from tests.spec.parts import GOOD, complaint, write

SCRIPTED = "{engine: scripted, name: scripted}"
SCORED = GOOD + "scores:\n  consistency: {}\n"
ENTRIES = [
    (GOOD.replace("converse:", "convers:"), "line 9: makers.convers: there is no method convers; did you mean converse? There are: augment, conv"),
    (GOOD.replace("converse:", "talk:"), "line 9: makers.talk: there is no method talk. There are: augment, converse"),
    (GOOD.replace("converse:", "talk:\n    method: converse"), "line 9: makers.talk: a maker stands by its own name, converse, once"),
    (GOOD.replace("select: {}", "  converse: {}"), "line 12: makers.converse is given twice (line 9)"),
    (GOOD.replace("select: {}", "  extract: 3"), "line 12: makers.extract: give the parameters of a method"),
    (GOOD.replace("select: {}", "  extract: {truns: 3}"), "makers.extract.truns; did you mean trained? Allowed here: method, form, relations, max"),
    (SCORED.replace("consistency:", "consistenci:"), "line 16: scores.consistenci: there is no method consistenci; did you mean consistency?"),
    (SCORED.replace("consistency: {}", "consistency: {relevanc: 1}"), "scores.consistency.relevanc; did you mean relevance? Allowed here: method, relevance, turn_"),
    (SCORED.replace("consistency: {}", "Turns: {method: consistency}"), "line 16: scores.Turns: no score can have this name, in whatever case, nor "),
    (SCORED.replace("consistency: {}", "SELECT: {method: consistency}"), "scores.SELECT: no score can have this name"),
    (SCORED.replace("consistency: {}", "Augment: {method: consistency}"), "scores.Augment: no score can have this name"),
    (SCORED.replace("consistency: {}", "a b: {method: consistency}"), "scores.a b: a score's name is that of a column: letters, digits and _"),
    (SCORED + "  Consistency: {method: consistency}\n", "line 17: scores.Consistency: the score consistency has this name but for its case"),
    (SCORED.replace("consistency: {}", "consistency: {nli: writer}"), "line 16: scores.consistency.nli: models.writer is of kind language, and one of kind nli is asked; there is nli"),
    (SCORED.replace("consistency: {}", "consistency: {nli: other}"), "line 16: scores.consistency.nli: models.other is missing; of kind nli there is nli"),
    (GOOD.replace("writer: {engine", "dialogue: {engine"), "line 9: makers.converse.model: models.writer is missing; of kind language there is dialogue"),
    (GOOD.replace(f"writer: {SCRIPTED}", "writer:"), "line 9: makers.converse.model: models.writer is missing; of kind language there is none"),
    (GOOD.replace("{engine: scripted, name: scripted}", "scripted"), "line 7: models.writer: give the fields of a model"),
    (GOOD.replace("{engine:", "{kind: nly, engine:"), "line 7: models.writer: there is no kind nly; did you mean nli? There are: language, nli, embedding, classifier"),
    (GOOD.replace("{engine: scripted", "{kind: nli, engine: scripted"), "unknown field models.writer.engine. Allowed here: name, revision, max_length"),
    (GOOD.replace("{engine:", "{tensor_parallel: 2, engine:"), "line 7: models.writer.tensor_parallel: is 2, so run.workers.writer.gpus must be 2"),
    (GOOD + "  workers: {writr: {max: 2}}\n", "line 15: run.workers.writr: no language model has this name; there are writer, scorers"),
    (GOOD + "  workers: {nli: {max: 2}}\n", "line 15: run.workers.nli: no language model has this name"),
    (GOOD + "  workers: {writer: {mx: 2}}\n", "run.workers.writer.mx; did you mean max? Allowed here: min, max, cpus, gpus"),
    (GOOD + "  verify: {max: 2}\n", "line 15: unknown field run.verify, which run.workers.scorers replaced."),
    (GOOD.replace("makers:", "stages:"), "line 8: unknown field stages, which makers, scores and select replaced. Allowed here: corpus"),
    (SCORED.replace("select: {}", "select: {reject: {low: consistency.coverge < 1}}"), "line 12: select.reject.low: consistency has no column coverge; did you mean coverage? It has: contr"),
    (GOOD.replace("select: {}", "select: {flag: {low: consistency.coverage < 1}}"), "line 12: select.flag.low: there is no score consistency. There are: row"),
    (GOOD.replace("select: {}", "select: {flag: {low: row.turns}}"), "line 12: select.flag.low: 'row.turns' is a Int64, not true or false"),
    (GOOD.replace("select: {}", "select: {flag: {low: row.turns <}}"), "line 12: select.flag.low: 'row.turns <' is not a condition ("),
    (GOOD.replace("select: {}", "select: {rejct: {}}"), "line 12: unknown field select.rejct; did you mean reject? Allowed here: reject, flag"),
]  # fmt: skip
"""What may be wrong with makers, scores, models by name, and conditions."""


@pytest.mark.parametrize(("text", "said"), ENTRIES)
def test_a_mistake_in_an_entry_is_told_once_with_what_would_be_right(tmp_path: Path, text: str, said: str) -> None:
    message = complaint(write(tmp_path, text))
    assert message.count("FILE") == 1
    assert said in message


def test_a_model_that_has_the_name_of_a_role_takes_it(tmp_path: Path) -> None:
    with_extract = GOOD.replace("select: {}", "  extract: {}")
    path = write(tmp_path, with_extract)
    assert load_job(path).makers["extract"].model == "writer"
    path = write(tmp_path, with_extract.replace("models:", f"models:\n  extractor: {SCRIPTED}"))
    assert load_job(path).makers["extract"].model == "extractor"
    assert load_job(path, ["makers.extract.model=writer"]).makers["extract"].model == "writer"
    path = write(tmp_path, with_extract.replace("models:", "models:\n  extractor: {kind: nli, name: nli-small}"))
    assert "makers.extract.model: models.extractor is of kind nli, and one of kind language is asked" in complaint(path)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("makers.convers.turns=4", "FILE, --set makers.convers.turns: makers.convers: there is no method convers"),
        ("scores.strict={method: consistency, relevance: 3}", "FILE, --set scores.strict: scores.strict.relevance: "),
        (
            "scores.turns.method=consistency",
            "FILE, --set scores.turns.method: scores.turns: no score can have this name",
        ),
        ("models.judge={kind: nli, nme: x}", "FILE, --set models.judge: unknown field models.judge.nme; did you mean"),
        ("run.workers.judge.max=2", "FILE, --set run.workers.judge.max: run.workers.judge: no language model has this"),
        ("select.reject.short=row.trns < 3", "FILE, --set select.reject.short: select.reject.short: row has no column"),
        ("makers.converse.nli=writer", None),
    ],
)
def test_an_override_that_makes_a_wrong_entry_is_named(tmp_path: Path, override: str, said: str | None) -> None:
    if said is None:  # without candidates, nobody asks it
        assert load_job(write(tmp_path, GOOD), [override]).makers["converse"].nli == "writer"
    else:
        assert said in complaint(write(tmp_path, GOOD), override)


def test_what_is_null_is_left_out(tmp_path: Path) -> None:
    text = SCORED.replace("models:\n", "models:\n  nli:\n") + "  strict:\n"
    job = load_job(write(tmp_path, text), ["makers.extract=null", "scores.consistency=null"])
    assert (list(job.makers), list(job.scores), set(job.models)) == (
        ["converse"],
        [],
        {"writer", "nli", "embedding", "talk"},
    )


def test_of_a_bundled_model_any_field_may_be_given(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, SCORED), ["models.nli.batch_size=8", "models.embedding.name=org/embedding"])
    assert (job.models["nli"].name, job.models["nli"].batch_size) == ("nli-small", 8)
    assert (job.models["embedding"].kind, job.models["embedding"].name) == ("embedding", "org/embedding")


def test_several_scores_of_a_method_and_models_of_other_names(tmp_path: Path) -> None:
    text = SCORED + "  strict: {method: consistency, nli: large}\n"
    job = load_job(write(tmp_path, text), ["models.large={kind: nli, name: org/large}", "makers.converse.model=writer"])
    assert {name: params.method for name, params in job.scores.items()} == dict.fromkeys(
        ("consistency", "strict"), "consistency"
    )
    assert (job.scores["strict"].nli, job.models["large"].name) == ("large", "org/large")
    assert job.score_columns().keys() == {"consistency", "strict"}


def test_scores_that_a_package_offers_and_that_cannot_be_used_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factory.spec.job.faults", lambda section: {"opinions": f"opinions of {section} is torn"})
    message = complaint(write(tmp_path, SCORED.replace("consistency", "opinions")))
    assert message == "FILE, line 16: scores.opinions: opinions of scores is torn"
