"""Every command of README.md and of docs/ runs, in order, page by page; what their tables say is what the code says."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pyarrow as pa
import pytest
import yaml
from pydantic import BaseModel
from ray.autoscaler._private.commands import _bootstrap_config
from ray.autoscaler._private.providers import _get_node_provider

from factory.engines import LanguageModel, Sampling
from factory.scorers.classifier import ClassifierModel
from factory.scorers.embeddings import EmbeddingModel
from factory.scorers.nli import NliModel
from factory.seeds.corpora import CorpusSource
from factory.seeds.source import SeedSource
from factory.spec.budget import Budget, Price
from factory.spec.job import Run, Workers
from factory.spec.jobfile import load_job
from factory.spec.pairing import Cross, Match, Pairing
from factory.store.corpus import Corpus
from factory.store.dead_letters import DEAD_LETTER_SCHEMA
from factory.store.records import ROW_SCHEMA
from factory.training.labelled import LABELS
from tests import faulty_s3
from tests.model_server import ModelServer, completions, serving
from tests.pages import PAGES, ROOT, PageError, blocks_of, environment, run_page
from tests.tiny import write_tiny

pytestmark = pytest.mark.timeout(600)

DOCS = ROOT / "docs"
GENERATE = runpy.run_path(str(DOCS / "generate.py"))
STEPS = {"steps": 2, "batch": 2, "learning_rate": 1e-4, "checkpoint_every": 2, "report_every": 1}
SYNOPSIS = {
    "train-lm CONFIG --to FOLDER": "train-lm lm.yaml --to trained/lm",
    "train-nli CONFIG --to FOLDER": "train-nli nli.yaml --to trained/nli",
    "train-extractor CONFIG --to FOLDER": "train-extractor extractor.yaml --to trained/extractor",
    "eval-lm MODEL DIALOGUES": "eval-lm tiny examples/ppds/persona_dialogues.jsonl",
    "init FILE": "init jobs/personas/quickstart.jsonl",
    "FOLDER": "made",
    "JOB": "jobs/quickstart.yaml",
    "CORPUS": "out/quickstart",
    "PAIRS": "pairs.jsonl",
    "SEED": "ada",
    "compare A B": "compare talk.jsonl talk.jsonl",
    "V1": "0",
    "V2": "1",
    "V": "0",
}
"""What words of a synopsis stand for; ROW is put in when there is one."""
SCRIPTED = "--set models.writer.engine=scripted --set select.reject={}"
INSTEAD = {
    "extraction.md": {
        "factory export out/quickstart": "factory run read.yaml --set models.extractor.engine=scripted "
        "--set models.extractor.adapter=null\nfactory export out/read",
    },
    "tutorial.md": {
        **{f"factory {name}": f"factory {name} {SCRIPTED}" for name in ("plan", "run")},
        "chat --to out/chat": "chat --to out/chat --decision accept --decision flag",
        "factory train-lm lm.yaml": "factory train-lm lm.yaml --set model=tiny --set training.steps=2",
    },
}
"""What a page's commands are replaced by, so that no large model runs, of whose talk nothing would be accepted, and so
that there are dialogues enough to compare."""
INSTALL = "pip install --quiet --no-index --no-deps --no-build-isolation --upgrade --target"
"""How a page's own package is installed: into a folder on the path, so that the environment stays as it is."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every page starts from: the repository's jobs, smaller and with the scripted engine, their quick start's
    corpus in two versions, and a dead letter."""
    folder = tmp_path_factory.mktemp("ground") / "page"
    for name in ("jobs", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    shutil.copytree(ROOT / "schemas", folder / "schemas", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "cluster.yaml", folder)
    (folder / "docs").mkdir()
    for name in ("generate.py", "methods.md"):
        shutil.copy(DOCS / name, folder / "docs")
    personas = folder / "jobs" / "personas" / "quickstart.jsonl"
    lines = personas.read_text(encoding="utf-8").splitlines()
    personas.write_text("\n".join([*lines[:4], "{broken"]), encoding="utf-8")
    job = yaml.safe_load((folder / "jobs" / "quickstart.yaml").read_text(encoding="utf-8"))
    job["models"]["writer"] = {"engine": "scripted", "name": "scripted"}
    job["makers"]["converse"] |= {"turns": 4, "candidates": 2}
    for band in job["select"].values():  # of talk without sense all is rejected, and nothing exported
        band |= {reason: f"{condition.split()[0]} > 1" for reason, condition in band.items()}
    (folder / "jobs" / "quickstart.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    pairs = [{"premise": f"I have {n} dogs.", "hypothesis": f"Hi {n}.", "label": LABELS[n % 3]} for n in range(30)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    said = [
        {"turns": [{"speaker": "AB"[turn % 2], "text": f"I have {n + turn} dogs."} for turn in range(6)]}
        for n in range(12)
    ]
    (folder / "talk.jsonl").write_text("\n".join(map(json.dumps, said)))
    write_tiny(folder / "tiny")
    decisions = ["accept", "flag", "reject"]
    lm = {"model": "tiny", "data": {"corpus": "out/quickstart", "decisions": decisions}, "training": STEPS}
    (folder / "lm.yaml").write_text(yaml.safe_dump(lm))
    told = [{"utterance": f"I have {n} dogs.", "facts": [f"I have {n} dogs."]} for n in range(30)]
    (folder / "told.jsonl").write_text("\n".join(map(json.dumps, told)))
    extractor = {"model": "tiny", "files": ["told.jsonl"], "held": 0.2, "training": STEPS}
    (folder / "extractor.yaml").write_text(yaml.safe_dump(extractor))
    nli = {"model": "nli-small", "files": [{"path": "pairs.jsonl"}], "held": 0.2, "training": STEPS}
    (folder / "nli.yaml").write_text(yaml.safe_dump(nli))
    start = folder.parent / "start.md"
    start.write_text("```sh\nfactory run jobs/quickstart.yaml\nfactory restore out/quickstart 0\n```\n")
    with environment(folder.parent / "home", ROOT) as env:
        run_page(start, folder, env, {})
    return folder


@pytest.fixture
def addresses() -> Iterator[dict[str, str]]:
    """What addresses of a page stand for: the bucket of the S3 server, a model server that never repeats itself,
    and free ports, so that another Ray on this machine is left alone."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    ray, dashboard, client, agent = (str(free.getsockname()[1]) for free in sockets)
    for free in sockets:
        free.close()
    apart = f"--port={ray} --ray-client-server-port={client} --dashboard-agent-listen-port={agent}"
    asked = itertools.count()
    with serving(ModelServer(lambda _: completions(f"I saw {next(asked)} boats today."))) as server:
        yield {
            "s3://my-bucket": "s3://corpora", "http://localhost:8000/v1": server.url, "my-model": "m",
            "--port=6379": apart, "6379": ray, "8265": dashboard,
        }  # fmt: skip


def changes_the_factory(page: Path) -> bool:
    return any((block.file or block.text).startswith(("factory/", "--- a/factory/")) for block in blocks_of(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_runs(
    page: Path, ground: Path, addresses: dict[str, str], s3_server: str, tmp_path: Path
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(ground, folder)
    packages = ROOT
    if changes_the_factory(page):
        packages = folder
        for package in ("factory", "tests"):
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    row = next(Corpus(str(ground / "out" / "quickstart")).rows()).row_id
    installed = tmp_path / "installed"
    path = f"{installed}:{packages}"
    with environment(tmp_path / "home", packages, PYTHONPATH=path, **faulty_s3.environment(s3_server)) as env:
        before = BEFORE[page.name](tmp_path / "home", s3_server) if page.name in BEFORE else None
        words = {"ROW": row, "pip install": f"{INSTALL} {installed}"}
        said = run_page(page, folder, env, SYNOPSIS | words | INSTEAD.get(page.name, {}) | addresses)
        if page.name in AFTER:
            AFTER[page.name](folder, said, before)


def test_what_is_not_run_says_why() -> None:
    marked = [block for page in PAGES for block in blocks_of(page) if block.not_run]
    assert marked
    for block in marked:
        assert block.language in ("sh", "python"), block
        assert re.search(r"GPU|AWS|head node|every Ray|no token|account|from nothing|hours", str(block.not_run)), block


def test_every_page_has_commands_and_is_linked_to_what_is_there() -> None:
    for page in PAGES:
        assert any(block.language in ("sh", "python") and not block.not_run for block in blocks_of(page)), page.name
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```sh\ntrue\nfalse\ntrue\n```\n", "line 1: exit code 1"),
        ("\n```python\nassert 1 == 2\n```\n", "line 2: exit code 1"),
        ("```yaml\nmakers: {converse: {turn: 4}}\n```\n", "'turn' was unexpected"),
        ("```diff\n--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-b\n+c\n```\n", "x does not hold these lines once:\nb"),
        ("<!-- no run: GPUs -->\n```sh\nfalse\n```\n", "not `file: PATH` or `not run: REASON`"),
        ("<!-- not run: -->\n```sh\nfalse\n```\n", "not `file: PATH` or `not run: REASON`"),
        ("<!-- file: a.yaml -->\n```yaml\nx: 1\n```\n", "no later block uses a.yaml"),
    ],
)
def test_a_block_that_does_not_hold_fails_its_page(text: str, why: str, tmp_path: Path) -> None:
    page, folder = tmp_path / "page.md", tmp_path / "page"
    folder.mkdir()
    (folder / "x").write_text("a\n")
    page.write_text(text)
    with environment(tmp_path / "home", ROOT) as env, pytest.raises(PageError, match=re.escape(why)):
        run_page(page, folder, env, {})


TABLES: list[tuple[str, type[BaseModel]]] = [
    ("job-file.md", model)
    for model in (
        *(
            CorpusSource,
            Pairing,
            Match,
            Cross,
            LanguageModel,
            NliModel,
            ClassifierModel,
            EmbeddingModel,
            Sampling,
            Run,
            Workers,
            Budget,
            Price,
        ),
    )
]


@pytest.mark.parametrize(("page", "model"), TABLES, ids=lambda value: getattr(value, "__name__", value))
def test_a_table_states_the_fields_and_defaults_of_the_code(page: str, model: type[BaseModel]) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    table = "".join(
        rf"\| `{name}` \| {re.escape(GENERATE['default_of'](field))} \| .*\n"
        for name, field in model.model_fields.items()
    )
    assert re.search(rf"\| --- \|.*\n{table}(?!\|)", text)


def test_the_table_of_seeds_has_their_fields() -> None:
    text = (DOCS / "job-file.md").read_text(encoding="utf-8")
    for name, field in SeedSource.model_fields.items():
        assert f"| `{name}` | {GENERATE['default_of'](field)} |" in text or f"| `{name}.facts` |" in text


def test_the_page_of_methods_is_what_they_declare() -> None:
    written = (DOCS / "methods.md").read_text(encoding="utf-8")
    assert GENERATE["MARK"] in written
    assert written == GENERATE["page"](), "docs/methods.md is out of date; run: python docs/generate.py"


def columns(prefix: str, kind: pa.DataType) -> Iterator[str]:
    while pa.types.is_list(kind):
        kind, prefix = kind.value_type, f"{prefix}[]"
    for field in kind if pa.types.is_struct(kind) else ():
        yield f"{prefix}.{field.name}"
        yield from columns(f"{prefix}.{field.name}", field.type)


@pytest.mark.parametrize("schema", [ROW_SCHEMA, DEAD_LETTER_SCHEMA], ids=["rows", "dead letters"])
def test_every_column_is_in_the_formats(schema: pa.Schema) -> None:
    wanted = [name for field in schema for name in (field.name, *columns(field.name, field.type))]
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    assert re.search("".join(rf"\| `{re.escape(name)}` \| .*\n" for name in wanted), text)


@dataclass
class Aws:
    """A mock of AWS: the environment that leads to it, and what was asked of `ssh` and `rsync`."""

    env: dict[str, str]
    asked: Path


def mock_of_aws(home: Path, address: str) -> Aws:
    """An account that has used Ray before (it waits 15 s for a new profile), and an `ssh` that does nothing."""
    aws = Aws(faulty_s3.environment(address) | {"HOME": str(home)}, home / "asked")
    (home / "bin").mkdir()
    for program in ("ssh", "rsync"):
        stub = home / "bin" / program
        stub.write_text(f'#!/bin/sh\necho "{program} $*" >> {aws.asked}\n')
        stub.chmod(0o755)
    with leading_to(aws):
        iam = boto3.client("iam")
        iam.create_role(RoleName="ray-autoscaler-v1", AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName="ray-autoscaler-v1")
        iam.add_role_to_instance_profile(InstanceProfileName="ray-autoscaler-v1", RoleName="ray-autoscaler-v1")
    return aws


@contextmanager
def leading_to(aws: Aws) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as variables:
        for name, value in aws.env.items():
            variables.setenv(name, value)
        yield


def bare(command: str) -> str:
    return command.replace("'", "").replace('"', "")


def the_cluster_is_as_its_file_says(folder: Path, said: str, aws: Aws) -> None:
    """Both jobs ran; the head node was asked for and told what the file says; workers would be spot machines, with room
    for a worker of the reference job."""
    assert len(set(re.findall(r"Job '([\w-]+)' succeeded", said))) == 2
    file = yaml.safe_load((folder / "cluster.yaml").read_text())
    told = bare(aws.asked.read_text())
    for command in (*file["head_setup_commands"], *file["head_start_ray_commands"]):
        assert bare(command) in told
    with leading_to(aws):
        config = _bootstrap_config(file, no_config_cache=True)
        provider = _get_node_provider(config["provider"], config["cluster_name"])
        types, job = config["available_node_types"], load_job(folder / "jobs" / "persona_dialogues.yaml")
        for name in ("writer", "scorers"):
            provider.create_node(types[name]["node_config"], {"ray-user-node-type": name}, 1)
            assert types[name]["resources"]["CPU"] >= job.workers(name).cpus
            assert types[name]["resources"]["GPU"] >= job.workers(name).gpus
        machines = boto3.client("ec2").describe_instances()["Reservations"]
    kinds = {one["InstanceType"]: one.get("InstanceLifecycle") for found in machines for one in found["Instances"]}
    assert kinds == {"m7i.2xlarge": None, "g6e.2xlarge": "spot", "g5.xlarge": "spot"}


def the_score_is_in_the_rows(folder: Path, said: str, _: object) -> None:
    corpus = Corpus(str(folder / "out" / "quickstart"))
    rows = pl.read_delta(corpus.root).to_dicts()
    assert rows
    assert any(row["copying"]["share"] > 0 for row in rows)
    assert {reason for row in rows for reason in row["reasons"]} == {"copies"}
    plans = re.findall(r"^rows +what.*\n((?:\d.*\n)+)", said, re.MULTILINE)
    redone = [re.sub(r"\s+", " ", plan.splitlines()[0]) for plan in plans]
    assert redone == [
        f"{len(rows)} to redo from {why}"
        for why in (
            "copying copying added",
            "copying copying.words",
            "long_copies long_copies added",
            "copying the code of copying",
        )
    ]


BEFORE: dict[str, Callable[[Path, str], Aws]] = {"cluster.md": mock_of_aws}
AFTER: dict[str, Callable[[Path, str, Any], None]] = {
    "cluster.md": the_cluster_is_as_its_file_says,
    "own-method.md": the_score_is_in_the_rows,
}
