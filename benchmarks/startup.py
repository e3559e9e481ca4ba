"""Time to the first generated token of `factory run`, over that of bare vLLM.

    python -m benchmarks.startup [--rounds 3] [--gpus 0] [--model smollm2]

Each side is a process of its own, timed from the moment it is started to the moment its first token is there. The
factory starts from nothing: a corpus that is not there yet, seeds that nobody has parsed, a Ray that is not running.
Its job talks, a token a turn, so each dialogue ends with its first answer, as a dead letter with the time. Bare vLLM
imports vLLM, builds the engine with the same arguments and answers one prompt, once with the engine in the process, as
the factory has it, and once with the engine in a process of its own, which is vLLM's default. Sides take turns; a round
before the first fills the page cache and compiles modules. Limitations: the cold start of a machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

from benchmarks.machine import print_machine
from benchmarks.personas import facts_of
from factory.models import resolve
from factory.store.corpus import Corpus

DIALOGUES = 8
ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
BARE = """
import json, sys, time
from vllm import LLM, SamplingParams
from vllm.platforms import current_platform

cpu = {"block_size": 32, "enable_chunked_prefill": False, "enforce_eager": True} if current_platform.is_cpu() else {}
llm = LLM(
    sys.argv[1], max_model_len=1024, max_num_seqs=64, enable_prefix_caching=True, disable_log_stats=True, **cpu,
    structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
)
llm.chat(json.loads(sys.argv[2]), SamplingParams(max_tokens=1), use_tqdm=False)
print(time.time())
"""


def bare(given: argparse.Namespace, own_process: int) -> float:
    """Seconds to the first token of vLLM alone."""
    messages = [
        {"role": "system", "content": "You talk.\n" + "\n".join(facts_of(0))},
        {"role": "user", "content": "Hi."},
    ]
    command = [sys.executable, "-c", BARE, resolve(given.model), json.dumps(messages)]
    began = time.time()
    done = run(command, VLLM_ENABLE_V1_MULTIPROCESSING=str(own_process))
    return float(done.splitlines()[-1]) - began


def factory(given: argparse.Namespace, candidates: int) -> float:
    """Seconds to the first token of a run. With candidates, the worker opens the NLI model and the embedder too."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lines = (json.dumps({"id": f"p{number}", "facts": facts_of(number)}) for number in range(DIALOGUES))
        (folder / "personas.jsonl").write_text("\n".join(lines))
        corpus = str(folder / "corpus")
        content = {
            "corpus": corpus,
            "seeds": [{"path": "personas.jsonl"}],
            "models": {"writer": {"name": given.model, "max_model_len": 1024, "max_num_seqs": 64}},
            "run": {"max_failed_share": 1, "workers": {"writer": {"cpus": os.cpu_count(), "gpus": given.gpus}}},
            "makers": {"converse": {"candidates": candidates, "attempts": 1, "sampling": {"max_tokens": 1}}},
        }
        (folder / "job.yaml").write_text(yaml.safe_dump(content))
        began = time.time()
        run([sys.executable, "-m", "factory", "run", str(folder / "job.yaml")])
        return min(letter.failed_at.timestamp() for letter in Corpus(corpus).dead_letters()) - began


def run(command: list[str], **more: str) -> str:
    """What a process says that is started as a person would: with compiled modules, and quietly."""
    environment = os.environ | ENVIRONMENT | more
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else sys.exit(done.stderr)


def main() -> None:
    """Measure, and print a line a round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of the factory's engine: 1 where there is one")
    parser.add_argument("--model", default="smollm2")
    given = parser.parse_args()
    print_machine()
    sides: dict[str, Callable[[], float]] = {
        "bare vLLM": partial(bare, given, 0),
        "factory run": partial(factory, given, 1),
        "bare vLLM, its engine in a process of its own": partial(bare, given, 1),
        "factory run, with NLI model and embedder": partial(factory, given, 2),
    }
    rounds: list[dict[str, float]] = []
    for number in range(given.rounds + 1):
        taken = {name: side() for name, side in sides.items()}
        print(f"round {number}: " + "; ".join(f"{name} {seconds:.2f} s" for name, seconds in taken.items()), flush=True)
        rounds += [taken] if number else []
    for name in sides:
        seconds = statistics.median(taken[name] for taken in rounds)
        ratio = statistics.median(taken[name] / taken["bare vLLM"] for taken in rounds)
        print(f"{name}: {seconds:.2f} s, {ratio:.2f} of bare vLLM (medians of {given.rounds})")


if __name__ == "__main__":
    main()
