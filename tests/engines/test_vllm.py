"""The real engine with the tiny model, on whatever platform vLLM finds."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from factory.engines import (
    EngineDeadError,
    EngineStartError,
    LanguageModel,
    Message,
    Reply,
    Request,
    RequestError,
    Sampling,
    vllm,
    vllm_process,
)
from factory.engines.vllm import VllmEngine
from tests.engines.reference import constrained
from tests.tiny import tiny_model

NUMBERS = {"type": "array", "items": {"type": "integer"}, "minItems": 1500}
MODEL = LanguageModel(name=tiny_model(), max_num_seqs=32)
SYSTEM = Message(
    role="system",
    content="You are a person chatting with someone. Speak for yourself.\nAbout you:\n- I have two cats.\n- I bake.",
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def engine(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmEngine]:
    """Started where there is no C++ compiler, and nothing that was compiled before."""
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("CXX", "no-such-compiler")
        variables.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        engine = VllmEngine(MODEL)
    yield engine
    loop.run(engine.close())


@pytest.fixture
def run(loop: asyncio.Runner) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    return lambda work: loop.run(asyncio.wait_for(work, 60))


def request(*said: str, sampling: Sampling | None = None, **fields: Any) -> Request:
    turns = [Message(role="assistant" if n % 2 else "user", content=text) for n, text in enumerate(said)]
    return Request((SYSTEM, *turns), sampling or Sampling(max_tokens=16), **fields)


def test_many_requests_at_once_each_get_their_own_answer(engine: VllmEngine, run: Callable[..., Any]) -> None:
    texts = [f"Hello, I am number {n}. " + "How are you? " * n for n in range(80)]

    async def ask() -> list[Reply]:
        return list(await asyncio.gather(*(engine.generate(request(text)) for text in texts)))

    replies = run(ask())
    lengths = [reply.prompt_tokens for reply in replies]
    assert lengths == sorted(lengths) != lengths[::-1]
    for reply in replies:
        (completion,) = reply.completions
        assert 1 <= completion.tokens <= 16
        assert completion.finish_reason in ("stop", "length")
        assert "<|" not in completion.text


def test_sampled_candidates_differ(engine: VllmEngine, run: Callable[..., Any]) -> None:
    reply = run(engine.generate(request("Hi!", n=8, sampling=Sampling(temperature=1.5, top_p=1))))
    assert len(reply.completions) == 8
    assert len({completion.text for completion in reply.completions}) > 1


def test_greedy_candidates_are_refused(engine: VllmEngine, run: Callable[..., Any]) -> None:
    with pytest.raises(RequestError, match="greedy"):
        run(engine.generate(request("Hi!", n=2, sampling=Sampling(temperature=0))))


def test_a_completion_that_is_cut_says_so(engine: VllmEngine, run: Callable[..., Any]) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 50}
    reply = run(engine.generate(request("Count.", sampling=Sampling(max_tokens=5), json_schema=schema)))
    assert (reply.completions[0].tokens, reply.completions[0].finish_reason) == (5, "length")


def test_guided_json_fits_its_schema(engine: VllmEngine, run: Callable[..., Any]) -> None:
    schema = {
        "type": "object",
        "properties": {"speaker": {"enum": [1, 2]}, "mood": {"enum": ["glad", "sad"]}, "sure": {"type": "boolean"}},
        "required": ["speaker", "mood", "sure"],
        "additionalProperties": False,
    }
    reply = run(engine.generate(request("Hi!", n=4, json_schema=schema, sampling=Sampling(max_tokens=60))))
    for completion in reply.completions:
        value = json.loads(completion.text)
        assert value.keys() == {"speaker", "mood", "sure"}
        assert value["speaker"] in (1, 2)
        assert value["mood"] in ("glad", "sad")


def test_a_schema_that_is_none_fails_its_request_only(engine: VllmEngine, run: Callable[..., Any]) -> None:
    with pytest.raises(RequestError, match="nonsense"):
        run(engine.generate(request("Hi!", json_schema={"type": "nonsense"})))
    assert run(engine.generate(request("Hi!"))).completions


def test_a_prompt_that_does_not_fit_names_the_lengths(engine: VllmEngine, run: Callable[..., Any]) -> None:
    with pytest.raises(RequestError, match=r"prompt of \d{4} tokens .* 16 .* max_model_len \d{4}"):
        run(engine.generate(request("I like trains. " * 1500)))


def test_the_second_turn_finds_the_first_in_the_cache(engine: VllmEngine, run: Callable[..., Any]) -> None:
    opening = "My grandmother taught me to restore old clocks, and now I own forty of them. " * 3
    first = run(engine.generate(request(opening)))
    second = run(engine.generate(request(opening, "Wow, forty!", "They all ring at noon.")))
    assert second.prompt_tokens > first.prompt_tokens
    assert second.cached_tokens > first.prompt_tokens // 2


def test_a_cancelled_request_frees_its_place(engine: VllmEngine, run: Callable[..., Any]) -> None:
    async def cancel() -> Reply:
        long = request("Count.", sampling=Sampling(max_tokens=1500), json_schema=NUMBERS)
        tasks = [asyncio.create_task(engine.generate(long)) for _ in range(MODEL.max_num_seqs)]
        await engine.generate(request("Hi!", sampling=Sampling(max_tokens=1)))
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        return await engine.generate(request("Hi!"))

    assert run(cancel()).completions
    assert engine._calls == {}


@pytest.mark.parametrize(
    ("choices", "prompts"),
    [
        (("Yes", "No"), 1),
        (("good", "good enough", "bad"), 2),
        (("strongly disagree", "disagree", "neither", "agree", "strongly agree"), 2),
        (tuple(map(str, range(1, 31))), 4),
    ],
    ids=str,
)
def test_choices_are_as_probable_as_transformers_says(
    choices: tuple[str, ...], prompts: int, engine: VllmEngine, run: Callable[..., Any]
) -> None:
    asked = request("Do you like tea?", choices=choices)
    reply = run(engine.generate(asked))
    assert reply.probabilities == pytest.approx(constrained(asked), rel=0.1, abs=0.002)
    assert sum(reply.probabilities) == pytest.approx(1)
    assert (reply.source, reply.samples, reply.unmatched) == ("logprobs", 0, 0)
    assert reply.calls == prompts
    assert sum(completion.tokens for completion in reply.completions) == prompts
    assert reply.prompt_tokens >= prompts * run(engine.generate(request("Do you like tea?"))).prompt_tokens


def test_completions_are_drawn_from_the_choices_as_sampling_says(engine: VllmEngine, run: Callable[..., Any]) -> None:
    choices = ("I do", "I", "No", "We")
    greedy = run(engine.generate(request("Do you?", choices=choices, n=20, sampling=Sampling(temperature=0))))
    likeliest = max(range(4), key=greedy.probabilities.__getitem__)
    assert {(one.text, one.choice) for one in greedy.completions} == {(choices[likeliest], likeliest)}
    wild = run(engine.generate(request("Do you?", choices=choices, n=200, sampling=Sampling(temperature=2, top_p=1))))
    assert wild.probabilities == pytest.approx(greedy.probabilities, abs=0.02)
    assert len({one.choice for one in wild.completions}) > 1
    assert all(one.text == choices[one.choice] for one in wild.completions)


def test_choices_and_texts_at_once_each_get_their_own_answer(engine: VllmEngine, run: Callable[..., Any]) -> None:
    wanted = [("I", "My"), ("Yes", "No", "Maybe"), (), tuple(map(str, range(1, 31)))] * 10

    async def ask() -> list[Reply]:
        return list(await asyncio.gather(*(engine.generate(request("Well?", choices=one)) for one in wanted)))

    for reply, choices in zip(run(ask()), wanted, strict=True):
        assert len(reply.probabilities or ()) == len(choices)
        if choices:
            alone = run(engine.generate(request("Well?", choices=choices)))
            assert reply.probabilities == pytest.approx(alone.probabilities, abs=0.02)


def test_a_prompt_without_room_for_its_choices_names_the_lengths(engine: VllmEngine, run: Callable[..., Any]) -> None:
    with pytest.raises(RequestError, match=r"prompt of \d{4} tokens and a choice of \d .* max_model_len \d{4}"):
        run(engine.generate(request("I like trains. " * 1500, choices=("Yes", "No"))))


FAILING = """
import os, sys

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
from vllm.v1.engine.llm_engine import LLMEngine
from factory.engines.vllm_process import main

def step(_):
    raise RuntimeError("the device has fallen off the bus")

LLMEngine.step = step
main(int(sys.argv[1]), int(sys.argv[2]))
"""


def test_an_engine_that_fails_fails_what_waits_and_what_comes(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm, "_MAIN", FAILING)
    engine = VllmEngine(MODEL)

    async def ask() -> None:
        for ends in await asyncio.gather(*(engine.generate(request("Hi!")) for _ in range(5)), return_exceptions=True):
            assert isinstance(ends, EngineDeadError)
            assert "fallen off the bus" in str(ends)
        with pytest.raises(EngineDeadError, match="fallen off the bus"):
            await engine.generate(request("Anybody there?"))
        await engine.close()
        with pytest.raises(EngineDeadError, match="closed"):
            await engine.generate(request("Anybody there?"))

    run(ask())


def test_an_engine_whose_process_is_killed_says_so(run: Callable[..., Any]) -> None:
    engine = VllmEngine(MODEL)
    (process,) = children()

    async def ask() -> None:
        endless = request("Count.", sampling=Sampling(max_tokens=1500), json_schema=NUMBERS)
        waiting = asyncio.create_task(engine.generate(endless))
        await engine.generate(request("Hi!"))
        process.kill()
        with pytest.raises(EngineDeadError, match="process died .*SIGKILL"):
            await waiting
        with pytest.raises(EngineDeadError, match="process died .*SIGKILL"):
            await engine.generate(request("Anybody there?"))

    run(ask())


def test_a_process_that_dies_as_it_starts_is_no_error_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "_MAIN", "import os; os.abort()")
    with pytest.raises(EngineDeadError, match="as it started .*SIGABRT"):
        VllmEngine(MODEL)


def test_an_engine_dies_with_its_worker() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, MODEL.model_dump_json()], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    engine = psutil.Process(int(worker.stdout.readline()))
    os.kill(engine.pid, signal.SIGSTOP)  # busy, and deaf to the pipe
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    assert psutil.wait_procs([engine], timeout=10)[1] == []


def test_an_engine_whose_worker_died_before_it_began_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        code = f"from factory.engines.vllm_process import main; main({theirs.fileno()}, {os.getpid() + 1})"
        subprocess.run([sys.executable, "-c", code], pass_fds=[theirs.fileno()], timeout=60, check=True)


WORKER = """
import sys, time
import psutil
from factory.engines import LanguageModel
from factory.engines.vllm import VllmEngine

engine = VllmEngine(LanguageModel.model_validate_json(sys.argv[1]))
(process,) = [child for child in psutil.Process().children() if "vllm_process" in " ".join(child.cmdline())]
print(process.pid, flush=True)
time.sleep(600)
"""


def test_a_tokenizer_is_taken_while_a_scorer_begins_the_import_of_its_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOTH, MODEL.model_dump_json()], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("both\n", 0), done.stderr


BOTH = """
import asyncio, sys, threading, time
from factory.engines import LanguageModel
from factory.engines.vllm import VllmEngine
from factory.scorers.nli import Nli, NliModel

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "transformers.dependency_versions_check":
            time.sleep(3)

sys.meta_path.insert(0, Slow())
scorers = []
thread = threading.Thread(target=lambda: scorers.append(Nli(NliModel(name="nli-small"))))
thread.start()
while "transformers" not in sys.modules:
    time.sleep(0.01)
engine = VllmEngine(LanguageModel.model_validate_json(sys.argv[1]))
thread.join()
asyncio.run(scorers[0].score([("I have a dog.", "I own a dog.")]))
print("both")
asyncio.run(engine.close())
"""


def children() -> list[psutil.Process]:
    """The engines' processes that this one has started and not closed, but the module's own."""
    started = [child for child in psutil.Process().children() if "vllm_process" in " ".join(child.cmdline())]
    return sorted(started, key=lambda child: child.create_time())[-1:]


def changed_model(folder: Path, drop: str | None = None, **config: Any) -> str:
    shutil.copytree(tiny_model(), folder, dirs_exist_ok=True)
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    if drop is not None:
        (folder / drop).unlink()
    return str(folder)


def start(**fields: Any) -> str:
    with pytest.raises(EngineStartError) as caught:
        vllm_process.start(LanguageModel(**fields))
    return str(caught.value)


def test_start_errors_are_one_readable_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "no such directory" in start(name=str(tmp_path / "nothing"))
    hub = start(name="nobody/nothing")
    assert all(words in hub for words in ("hub has none of that name", "cannot be reached"))
    assert "more than the model was made for" in start(name=tiny_model(), max_model_len=10**6)
    odd = start(name=tiny_model(), engine_args={"kv_cache_dtpye": "fp8"})
    assert odd.endswith("engine_args.kv_cache_dtpye: vLLM has no such argument; did you mean kv_cache_dtype?")
    long = changed_model(tmp_path / "long", max_position_embeddings=5 * 10**6)
    memory = start(name=long, max_num_seqs=1, gpu_memory_utilization=0.01)
    assert "not enough memory for the KV cache; lower max_model_len" in memory
    assert "architecture" in start(name=changed_model(tmp_path / "odd", architectures=["OddForCausalLM"]))
    assert "\n" not in hub + memory


@pytest.mark.parametrize(
    ("folder", "error"), [("base", "its tokenizer has no chat template"), ("none", "no such directory")]
)
def test_a_model_that_cannot_be_opened_is_one_readable_line(tmp_path: Path, folder: str, error: str) -> None:
    changed_model(tmp_path / "base", drop="chat_template.jinja")
    with pytest.raises(EngineStartError, match=error) as caught:
        VllmEngine(LanguageModel(name=str(tmp_path / folder)))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_the_model_s_own_code_is_opened_where_that_is_allowed(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    name = changed_model(tmp_path / "own-code")
    config = json.loads((tmp_path / "own-code" / "tokenizer_config.json").read_text())
    config |= {
        "tokenizer_class": "OwnTokenizer",
        "auto_map": {"AutoTokenizer": [None, "tokenization_own.OwnTokenizer"]},
    }
    (tmp_path / "own-code" / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "own-code" / "tokenization_own.py").write_text(OWN_TOKENIZER)
    engine = VllmEngine(LanguageModel(name=name, trust_remote_code=True))
    assert type(engine._chat._tokenizer).__name__ == "OwnTokenizer"

    async def ask() -> Reply:
        reply = await engine.generate(request("Hi!"))
        await engine.close()
        return reply

    assert run(ask()).completions[0].tokens


OWN_TOKENIZER = """
from transformers import PreTrainedTokenizerFast
from tests.tiny import tiny_model

class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""
