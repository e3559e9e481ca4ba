"""A run of the factory that only talks, on a local Ray, with what its worker asks of vLLM recorded.

Limitations: all other makers and scores, and workers on other machines.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import ray
import yaml

from benchmarks import recording
from benchmarks.personas import write_personas
from benchmarks.recording import Asked, read
from benchmarks.shapes import DUMMY, SHAPES, write_shape
from factory.engines import LanguageModel
from factory.running.run import run
from factory.spec.jobfile import load_job

TURNS, MAX_TOKENS = 6, 24


def arguments(description: str | None, dialogues: int) -> argparse.ArgumentParser:
    """What all of these benchmarks can be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=dialogues)
    parser.add_argument("--in-flight", type=int, default=64, help="requests that the engine runs at once")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="threads of the engine, on either side")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of the engine, on either side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--shape", choices=list(SHAPES), help="a model of random weights instead")
    return parser


def settle_model(given: argparse.Namespace, folder: Path) -> None:
    """Make the model of random weights, if one is asked for, and have all processes know of it."""
    if given.shape:
        given.model = write_shape(folder, given.shape)
        os.environ[DUMMY] = "1"


def model_of(given: argparse.Namespace) -> LanguageModel:
    """The model as the job names it."""
    return LanguageModel(name=given.model, max_model_len=1024, max_num_seqs=given.in_flight)


def job_of(folder: Path, given: argparse.Namespace, **converse: Any) -> Path:
    """A job that only talks, with a persona for each dialogue."""
    write_personas(folder / "personas.jsonl", range(given.dialogues))
    talk = {"turns": TURNS, "min_turns": TURNS, "sampling": {"max_tokens": MAX_TOKENS, "temperature": 0.5}}
    content = {
        "corpus": str(folder / "corpus"),
        "seeds": [{"path": "personas.jsonl"}],
        "models": {"writer": model_of(given).model_dump(include={"name", "max_model_len", "max_num_seqs"})},
        "run": {"workers": {"writer": {"cpus": given.cores, "gpus": given.gpus}}},
        "makers": {"converse": talk | converse},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(content))
    return folder / "job.yaml"


def factory_run(job: Path, cores: int) -> list[Asked]:
    """Run the factory, and read what its worker asked, which is kept beside the job."""
    record = job.parent / "record"
    record.mkdir()
    told = {name: os.environ[name] for name in (DUMMY,) if name in os.environ}
    variables = told | {recording.FOLDER: str(record), "PYTHONPATH": str(Path(__file__).parents[1])}
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=cores + 1,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _system_config={"worker_niceness": 0},
        runtime_env=recording.RUNTIME | {"env_vars": variables},
    )
    try:
        run(load_job(job))
    finally:
        ray.shutdown()
    return read(record)
