"""The real NLI and embedding models, a real vLLM server and an S3 server, started once."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import psutil
import pytest
from hypothesis import settings

from factory.scorers.embeddings import EmbeddingModel, Embeddings
from factory.scorers.nli import Nli, NliModel
from tests.faulty_s3 import Faults, environment, process
from tests.tiny import tiny_model

KEY = "sk-very-secret-key"

# On a busy machine any example may take longer than the 200 ms that hypothesis allows.
settings.register_profile("untimed", parent=settings(), deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """The longest files first, so that neither of the two processes is left with one at the end."""
    first = ("tests.test_kill", "tests.test_real_path")
    items.sort(key=lambda item: item.module.__name__ not in first)


@pytest.fixture(autouse=True)
def no_worker_stays() -> Iterator[None]:
    """Fails if a worker of a Ray that this process started outlives the test by ten seconds."""
    yield
    workers = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a browser's come and go
            if child.name().startswith("ray::Worker"):
                workers.append(child)
    assert psutil.wait_procs(workers, timeout=10)[1] == []


@pytest.fixture(scope="session")
def nli() -> Nli:
    return Nli(NliModel(name="nli-small"))


@pytest.fixture(scope="session")
def embedder() -> Embeddings:
    return Embeddings(EmbeddingModel(name="minilm"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server on loopback with the bucket `corpora`. It is a process of its own: a client that waits
    for it inside native code may hold the interpreter's lock."""
    with process("moto.server", "-H", "127.0.0.1", "-p") as address, pytest.MonkeyPatch.context() as variables:
        for name, value in environment(address).items():
            variables.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="corpora")
        variables.undo()
        yield address


@pytest.fixture(scope="module")
def bucket(s3_server: str) -> Iterator[str]:
    """An S3 bucket, and the environment that leads to it."""
    with pytest.MonkeyPatch.context() as variables:
        for name, value in environment(s3_server).items():
            variables.setenv(name, value)
        yield "s3://corpora"


@pytest.fixture(scope="module")
def faults(s3_server: str) -> Iterator[Faults]:
    """The proxy before the S3 server, and the environment that leads to it."""
    with (
        process("tests.faulty_s3", s3_server.rpartition(":")[2]) as address,
        pytest.MonkeyPatch.context() as variables,
    ):
        for name, value in environment(address).items():
            variables.setenv(name, value)
        yield Faults(address)


@contextmanager
def vllm_serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An OpenAI-compatible server of the tiny model, which wants KEY: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = (
        f"--model {tiny_model()} --served-model-name tiny --host 127.0.0.1 --port {port} "
        f"--block-size 32 --api-key {KEY} --enforce-eager --max-model-len 512 --max-num-seqs 16 "
        "--enable-prompt-tokens-details "
        '--structured-outputs-config {"backend":"guidance","disable_any_whitespace":true}'
    )
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "1", "HF_HUB_OFFLINE": "1"}
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *options.split()],
            env=os.environ | env | {"VLLM_NO_USAGE_STATS": "1"},
            stdout=file,
            stderr=file,
        )
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.2)
        assert process.poll() is None, log.read_text()[-3000:]
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of such a server."""
    with vllm_serving(tmp_path_factory.mktemp("vllm")) as (address, _):
        yield address
