"""What identifies an entry: its own configuration, what wrote the fields it reads, and what comes from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from factory.methods.scores.consistency import Consistency
from factory.spec.identity import Recipe, RowKind, entries, recipes, row_fingerprints
from factory.spec.job import Job
from factory.spec.jobfile import load_job
from factory.spec.layers import YamlError
from factory.store.records import Fact
from tests.methods.parts import a_row

FULL = {
    "corpus": "c",
    "seeds": [{"path": "a.jsonl"}],
    "models": {"writer": {"name": "org/writer"}},
    "makers": {"expand": {}, "converse": {}, "extract": {}, "augment": {}},
    "scores": {"consistency": {}},
    "select": {"reject": {"contradicts": "consistency.contradiction >= 0.9"}},
}


@pytest.fixture
def job(tmp_path: Path):
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(FULL, sort_keys=False), encoding="utf-8")
    return lambda *overrides: load_job(path, overrides)


def by_name(job: Job, kind: RowKind = "generated") -> dict[str, Recipe]:
    return {recipe.stage: recipe for recipe in recipes(job, kind)}


def ids(job: Job, kind: RowKind = "generated") -> dict[str, str]:
    return {name: recipe.id for name, recipe in by_name(job, kind).items()}


def redone(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name, found in after.items() if before.get(name) != found}


@pytest.mark.parametrize(
    ("kind", "entry", "upstream", "inputs"),
    [
        ("generated", "expand", set(), {"facts"}),
        ("generated", "converse", {"expand"}, {"facts"}),
        ("generated", "extract", {"converse"}, {"facts"}),
        ("generated", "augment", {"expand", "extract"}, {"facts", "donors"}),
        ("generated", "consistency", {"expand", "converse", "extract"}, {"facts"}),
        ("generated", "select", {"consistency"}, {"facts"}),
        ("imported", "extract", set(), {"turns"}),
        ("imported", "augment", {"extract"}, {"facts", "turns", "donors"}),
        ("imported", "consistency", {"extract"}, {"facts", "turns"}),
        ("imported", "select", {"consistency"}, {"facts", "turns"}),
    ],
)
def test_what_an_entry_reads_says_what_is_above_it(job, kind, entry, upstream, inputs):
    found = by_name(job(), kind)
    assert found.keys() == ({"expand", "converse"} if kind == "generated" else set()) | {
        "extract", "augment", "consistency", "select",
    }  # fmt: skip
    assert (set(found[entry].upstream), set(found[entry].inputs)) == (upstream, inputs)
    assert all(found[entry].upstream[name] == found[name].id for name in upstream)


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("makers.expand.count=4", {"expand", "converse", "extract", "augment", "consistency", "select"}),
        ("makers.converse.turns=6", {"converse", "extract", "augment", "consistency", "select"}),
        ("makers.extract.form=triple", {"extract", "augment", "consistency", "select"}),
        ("makers.augment.probability=0.5", {"augment"}),
        ("scores.consistency.relevance=0.5", {"consistency", "select"}),
        ("select.reject.contradicts=consistency.contradiction > 0.8", {"select"}),
        ("select.flag.short=row.turns < 4", {"select"}),
        ("makers.extract=null", {"augment", "consistency", "select"}),
        ("makers.augment=null", set()),
        ("scores.strict={method: consistency}", {"strict"}),
        ("models.writer.name=org/other", {"expand", "converse", "extract", "augment", "consistency", "select"}),
        ("models.embedding.revision=v2", {"expand", "converse", "extract", "augment", "consistency", "select"}),
        ("models.nli.batch_size=8", set()),
        ("models.writer.max_num_seqs=8", set()),
        ("models.other={name: org/other}", set()),
        ("makers.extract.model=other", {"extract", "augment", "consistency", "select"}),
        ("makers.converse.nli=other", set()),
        ("run.rows_per_shard=8", set()),
        ("run.workers.writer.max=8", set()),
        ("pairing.partners=3", set()),
        ("corpus=elsewhere", set()),
    ],
)
def test_a_change_redoes_what_it_touches_and_what_reads_that(job, override, changed):
    others = ("models.other={name: org/other}", "models.embedding.name=org/embedding")
    assert redone(ids(job(*others)), ids(job(*others, override))) == changed


def test_what_a_maker_reads_was_written_before_it(job, tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(FULL | {"makers": {"converse": {}, "expand": {}}}, sort_keys=False))
    found = by_name(load_job(path))
    assert list(found) == ["converse", "expand", "consistency", "select"]
    assert found["converse"].upstream == {}
    assert set(found["consistency"].upstream) == {"converse", "expand"}
    path.write_text(yaml.safe_dump(FULL | {"makers": {"expand": {}, "converse": {}}}, sort_keys=False))
    assert by_name(load_job(path))["converse"].id == by_name(job())["converse"].id != found["converse"].id


def test_a_score_keeps_its_identity_under_another_name(job):
    before = by_name(job())
    after = by_name(job("scores.consistency=null", "scores.same={method: consistency}", "select=null"))
    assert (after["same"].id, after["same"].stage) == (before["consistency"].id, "same")


def test_the_fingerprints_of_a_row_cover_the_parts_of_its_seeds_that_are_read(job):
    chain, row = recipes(job(), "generated"), a_row(["I ski."], turns=["Hi."])
    before = row_fingerprints(chain, row)
    assert row_fingerprints(chain, a_row(["I sew."], turns=["No."])) == before, "inputs are told by the digests"
    for place, changed in enumerate([set(before), set(), set()]):
        row = a_row(["I ski."])
        row.seeds[1].digests[place] = "other"
        assert redone(before, row_fingerprints(chain, row)) == changed
    row = a_row(["I ski."])
    row.donors[1] = [Fact("I sail.", "seed", "s9")]
    assert redone(before, row_fingerprints(chain, row)) == {"augment"}
    imported = recipes(job(), "imported")
    row.seeds[0].digests[1] = "other"
    assert redone(row_fingerprints(imported, a_row()), row_fingerprints(imported, row)) == {
        "extract", "augment", "consistency", "select",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("turns", "{{ attributes.age }}"),
        ("turns", "{% for key in attributes %}{{ key }}{% endfor %}"),
        ("script", "{{ speakers[0].attributes | tojson }}"),
        ("script", "{{ speakers[0]['attributes'] | tojson }}"),
    ],
)
def test_a_prompt_that_speaks_of_attributes_reads_them(job, tmp_path, mode, told):
    for name, text in {"with": told, "without": "Talk."}.items():
        (tmp_path / f"{name}.j2").write_text(
            f"{{% block system %}}{text}{{% endblock %}}{{% block user %}}{{% endblock %}}"
        )
    inputs = {
        name: by_name(job(f"makers.converse={{mode: {mode}, prompt: {name}.j2}}"))["extract"].inputs
        for name in ("with", "without")
    }
    assert inputs == {"with": ("facts", "attributes"), "without": ("facts",)}


READS = {0.1: {"turns"}, 0.2: {"first.coverage"}, 0.3: {"second", "turns"}, 0.4: {"third"}, 0.5: {"fourth", "fifth"}}
NAMES = ("first", "second", "third", "fourth", "fifth")


@pytest.fixture
def graph(job, monkeypatch):
    """A job whose scores read each other, told apart by a parameter: `second` reads a value of `first`, and so on."""
    monkeypatch.setattr(Consistency, "reads", property(lambda self: frozenset(READS[self.params.relevance])))

    def load(*wanted: str) -> Job:
        scores = {name: {"method": "consistency", "relevance": (NAMES.index(name) + 1) / 10} for name in wanted}
        return job("select=null", f"scores={yaml.safe_dump(scores, default_flow_style=True, sort_keys=False)}")

    return load


def test_scores_stand_after_those_they_read_whatever_their_order_in_the_file(graph):
    job = graph("fourth", "third", "second", "first")
    assert list(entries(job))[-4:] == ["first", "second", "third", "fourth"]
    found = by_name(job)
    assert [set(found[name].upstream) for name in NAMES[:4]] == [
        {"converse"}, {"first"}, {"converse", "second"}, {"third"},
    ]  # fmt: skip
    assert found["fourth"].inputs == found["converse"].inputs


def test_a_score_that_is_left_out_is_read_by_nobody(graph):
    found = by_name(graph("third", "fourth"))
    assert set(found["third"].upstream) == {"converse"}
    assert found["third"].id != by_name(graph("first", "second", "third"))["third"].id


def test_scores_that_read_each_other_in_a_circle_are_named(graph, monkeypatch):
    monkeypatch.setitem(READS, 0.1, {"third"})
    with pytest.raises(YamlError, match=r"job.yaml: scores: first, second, third read each other in a circle"):
        graph(*NAMES[:3])
    with pytest.raises(YamlError, match="scores: fifth read"):
        graph("fifth")


def test_a_model_is_what_it_can_say_wherever_it_lies(job, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    placed = [ids(job(f"models.nli={{kind: nli, name: ./{name}}}")) for name in ("one", "two")]
    assert placed[0] == placed[1]
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "config.json").write_text("{ }")
    assert "consistency" in redone(placed[0], ids(job("models.nli={kind: nli, name: ./three}")))
    renamed = ("models.judge={name: org/writer}", *(f"makers.{name}.model=judge" for name in ("expand", "converse")))
    assert ids(job(*renamed, "makers.extract.model=judge")) == ids(job()), "its name in the job says nothing"


def test_a_scripted_engine_is_one_whatever_it_is_commanded(job):
    def scripted(name: str) -> dict[str, str]:
        return ids(job(f"models.writer={{engine: scripted, name: '{name}'}}"))

    assert scripted("scripted") == scripted("scripted?fail=poison")
    assert redone(scripted("scripted"), ids(job())) >= {"expand", "converse"}


def test_an_argument_of_the_engine_redoes_rows_unless_it_is_known_as_a_knob(job) -> None:
    before = ids(job())
    assert (
        redone(before, ids(job("models.writer.engine_args={enforce_eager: true, max_num_batched_tokens: 512}")))
        == set()
    )
    changed = redone(before, ids(job("models.writer.engine_args={enforce_eager: true, kv_cache_dtype: fp8}")))
    assert {"expand", "converse", "extract"} <= changed


def test_an_adapter_identifies_what_is_said_by_its_content(job, tmp_path: Path) -> None:
    def with_adapter(folder: str, content: str) -> dict[str, str]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "adapter_model.safetensors").write_text(content)
        (tmp_path / folder / "README.md").write_text(folder)
        return ids(job(f"models.writer.adapter=./{folder}"))

    without, first = ids(job()), with_adapter("first", "weights")
    assert {"expand", "converse", "extract"} <= redone(without, first)
    assert with_adapter("copy", "weights") == first
    assert redone(first, with_adapter("other", "other weights")) >= {"expand", "converse", "extract"}
    assert ids(job("models.writer.adapter=org/a")) != ids(job("models.writer.adapter=org/b"))


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["models.writer.adapter=./nowhere"], r"models.writer.adapter: ./nowhere: there is no folder .*nowhere"),
        (
            ["models.writer.adapter=org/a", "models.writer.engine=openai", "models.writer.base_url=http://host/v1"],
            "adapter: engine openai takes none; a server lists it under its own name",
        ),
        (["models.writer.engine_args={enable_lora: true}"], "enable_lora: the factory sets this argument itself"),
    ],
)
def test_an_adapter_that_no_engine_could_use_is_refused(job, overrides: list[str], why: str) -> None:
    with pytest.raises(YamlError, match=why):
        job(*overrides)


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("max_num_seqs: 3", "max_num_seqs: this is the field max_num_seqs of the model"),
        ("seed: 3", "seed: the factory sets this argument itself"),
        ("hf_token: abc", "hf_token: a token does not belong in a job file"),
    ],
)
def test_an_argument_that_is_not_the_job_s_to_pass_is_refused(job, argument: str, why: str) -> None:
    with pytest.raises(YamlError, match=why) as caught:
        job(f"models.writer.engine_args={{{argument}}}")
    assert "abc" not in str(caught.value)


def test_a_score_whose_name_ends_as_a_field_begins_is_read_as_a_score(tmp_path: Path) -> None:
    question = {"name": "fits", "ask": "consistency", "only": "own_facts.contradiction > 0.5"}
    scores = {"judge": {"model": "writer", "questions": [question]}, "own_facts": {"method": "consistency"}}
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(FULL | {"scores": scores, "select": {}}, sort_keys=False), encoding="utf-8")
    assert [name for name in entries(load_job(path)) if name in scores] == ["own_facts", "judge"]
