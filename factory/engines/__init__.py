"""What a method asks of a language model, and what every engine promises.

An engine takes one request at a time and answers it when it can: many requests may be in flight, and the engine
batches them as it likes. It knows chat messages and sampling, nothing of personas. Text never repeats exactly between
runs (batching changes the arithmetic), so no caller may rely on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from factory.engines.arguments import refusal

MOST_CHOICES = 100
"""Choices that one request may have: vLLM tells the probabilities of 128 tokens at once."""


class Message(TypedDict):
    """One chat message, in the form every chat template takes."""

    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(BaseModel):
    """How one request is sampled. Every field can change the text, so every field is part of a row's identity. What is
    not set is the model's own: its generation config's in vLLM, where that names no temperature UNSET, and the server's
    behind openai."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(None, ge=0, le=2, description="0 is greedy decoding.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling: the probability mass that is kept.")
    top_k: int | None = Field(None, ge=0, description="Sample from the k likeliest tokens; 0 keeps all.")
    min_p: float | None = Field(
        None, ge=0, le=1, description="Least probability of a token, as a share of the likeliest one's."
    )
    repetition_penalty: float | None = Field(
        None, gt=0, le=2, description="Above 1, tokens of the prompt and of the answer so far become less likely."
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="Above 0, tokens that the answer has become less likely."
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="The same, for each time that the answer has them."
    )
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), max_length=4, description="Texts that end the answer, and are no part of it."
    )
    max_tokens: int = Field(96, ge=1, description="Longest completion, in tokens.")

    def told(self) -> dict[str, Any]:
        """The fields that are set."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value not in (None, [])}


UNSET = {"temperature": 0.7, "top_k": 20}
"""How vLLM samples where neither the job nor the model says: at its own temperature of 1 small models lose the thread
(SmolLM2-135M drifts into no language). Not a top_p, for which vLLM sorts the vocabulary: on a processor that halves the
speed of such a model."""


_VARIABLE, _HEADER = re.compile(r"[A-Z_][A-Z0-9_]{0,63}"), re.compile(r"[A-Za-z0-9-]{1,64}")
_NO_SECRETS = PydanticCustomError(
    "secret",
    "give the name of an environment variable, in capital letters; the key itself does not belong in a job file",
)


class LanguageModel(BaseModel):
    """A language model and the engine that serves it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    IDENTITY: ClassVar = ("name", "revision", "dtype", "quantization", "chat_template_kwargs", "extra_body")
    """Fields that can change what it says; the others are knobs."""

    kind: Literal["language"] = Field("language", description="What the model is.")
    engine: Literal["vllm", "openai", "scripted"] = Field(
        "vllm", description="vllm in the worker; openai for any compatible server; scripted for rehearsals."
    )
    name: str = Field(min_length=1, description="A folder (from the job file), a bundled model or a Hugging Face id.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hugging Face model.")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="Type of the weights. auto: that of the model's files; float32 on a processor that cannot "
        "multiply bfloat16.",
    )
    adapter: str | None = Field(
        None,
        min_length=1,
        description="vllm: a LoRA adapter on its weights, as PEFT writes it: a folder (from the job file) or a Hugging "
        "Face id, of which main is taken. Models that differ in nothing else share one engine, and the workers of the "
        "first of them, but for those that have their own in run.workers.",
    )
    quantization: str | None = Field(None, description="vLLM quantization method, if the weights need one named.")
    chat_template_kwargs: dict[str, Any] = Field(
        {}, description="What its chat template is told besides the messages, such as {enable_thinking: false}."
    )
    trust_remote_code: bool = Field(False, description="Run Python code from the model's repository.")
    max_model_len: int | None = Field(None, ge=64, description="Longest prompt plus completion, in tokens.")
    max_num_seqs: int = Field(256, ge=1, description="Requests the engine runs at once.")
    tensor_parallel: int = Field(1, ge=1, description="GPUs that share one copy of the model.")
    gpu_memory_utilization: float = Field(0.9, gt=0, lt=1, description="Share of GPU memory the engine may take.")
    cpu_kv_cache_gib: int = Field(1, ge=1, description="KV cache of the CPU build, in GiB.")
    engine_args: dict[str, Any] = Field(
        {},
        description="vllm: further arguments of its engine, such as {kv_cache_dtype: fp8, enforce_eager: true}. Rows "
        "are redone when one changes, but for those that are known to change speed or memory alone.",
    )
    base_url: str | None = Field(None, description="openai: address of the server, such as http://host:8000/v1.")
    api_key_env: str = Field("OPENAI_API_KEY", description="openai: environment variable that holds the key.")
    headers_env: dict[str, str] = Field(
        {},
        description="openai: further headers of each request, each with the environment variable that holds its value, "
        "a secret, such as {X-Gateway-Token: GATEWAY_TOKEN}.",
    )
    extra_body: dict[str, Any] = Field(
        {},
        description="openai: fields of the server's own that stand in each request, such as {reasoning_effort: low}. "
        "Stored with each recipe: no place for a key.",
    )
    timeout_s: float = Field(300, gt=0, description="openai: longest wait for one answer, in seconds.")
    max_retries: int = Field(
        20,
        ge=0,
        description="openai: how often one request is asked again that the server fails on while it answers others; a "
        "time-out counts for four. 429 and a server that is away do not count: see run.server_patience_s.",
    )

    @field_validator("engine_args")
    @classmethod
    def _may_be_passed(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for name in arguments:
            if why := refusal(name):
                raise PydanticCustomError("taken", "{name}: {why}", {"name": name, "why": why})
        return arguments

    @model_validator(mode="after")
    def _adapter_of_no_server(self) -> Self:
        if self.adapter is not None and self.engine == "openai":
            raise PydanticCustomError(
                "adapter",
                "adapter: engine openai takes none; a server lists it under its own name; put that in name",
            )
        return self

    @property
    def base(self) -> LanguageModel:
        """The same without its adapter: what engines that can be shared have in common."""
        return self.model_copy(update={"adapter": None})

    @field_validator("api_key_env")
    @classmethod
    def _a_name_and_no_key(cls, name: str) -> str:
        if not _VARIABLE.fullmatch(name):
            raise _NO_SECRETS
        return name

    @field_validator("headers_env")
    @classmethod
    def _names_and_no_values(cls, headers: dict[str, str]) -> dict[str, str]:
        for header, variable in headers.items():
            if not _HEADER.fullmatch(header):
                raise ValueError("a header's name has letters, digits and hyphens")
            if not _VARIABLE.fullmatch(variable):
                raise _NO_SECRETS
        return headers

    @field_validator("base_url")
    @classmethod
    def _without_credentials(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "")
        if "@" in (url or "").partition("?")[0]:  # not of the host alone: a key may hold a slash
            raise PydanticCustomError(
                "secret", "credentials do not belong in an address; name a variable that holds the key in api_key_env"
            )
        if url is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("give an address such as http://host:8000/v1")
        return url


@dataclass(frozen=True, slots=True)
class Request:
    """One call: `n` completions of the same messages. With `json_schema`, each is JSON that fits it; with `choices`,
    each is one of these short answers, and the reply says how probable each of them is.

    Those probabilities are the model's own, at temperature 1, whatever `sampling` says; the completions are drawn from
    them by its temperature, `top_p` and `top_k`, and its `max_tokens` leaves room for each choice. An engine that is
    not shown the probabilities has the model answer `samples` times, and counts. `adapter` is one of those that the
    engine was opened with; whoever opened it names it, and no method does. Raises ValueError for choices that
    cannot be told apart.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    n: int = 1
    json_schema: dict[str, Any] | None = None
    choices: tuple[str, ...] = ()
    samples: int = 20
    adapter: str | None = None

    def __post_init__(self) -> None:
        if not self.choices:
            return
        if self.json_schema is not None:
            raise ValueError("a request has choices or a JSON schema, not both")
        if not 2 <= len(self.choices) <= MOST_CHOICES:
            raise ValueError(f"2 to {MOST_CHOICES} choices are wanted, not {len(self.choices)}")
        if any(not choice or choice != choice.strip() for choice in self.choices):
            raise ValueError(f"a choice is empty, or has blanks around it: {self.choices}")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"a choice is there twice: {self.choices}")
        if self.samples < 1:
            raise ValueError("at least one sample is wanted")


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion. `tokens` counts what the model generated, a share where several were counted together;
    `finish_reason` is `stop` or `length`. `choice` is its place among the request's choices, none where it is none of
    them. `reasoning` is what the model thought before the text, which has none of it (none if it thought nothing), and
    `reasoning_tokens` counts those of the `tokens` that this took."""

    text: str
    tokens: int
    finish_reason: str
    choice: int | None = None
    reasoning: str | None = None
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request: `n` completions, the prompt's tokens and how many of them the prefix cache had, both
    of all the `calls` that it took.

    Of a request with choices, `probabilities` has one for each choice, in their order; they sum to 1. `source` says
    whether they are the model's (`logprobs`) or were counted (`samples`). In the second case, `samples` is how often
    the model answered, and `unmatched` how many of these answers were none of the choices; where all were, there are
    no probabilities, and the completions are such answers.
    """

    completions: tuple[Completion, ...]
    prompt_tokens: int
    cached_tokens: int = 0
    calls: int = 1
    probabilities: tuple[float, ...] | None = None
    source: Literal["logprobs", "samples"] | None = None
    samples: int = 0
    unmatched: int = 0

    @property
    def completion_tokens(self) -> int:
        """Tokens of all completions."""
        return sum(completion.tokens for completion in self.completions)

    @property
    def reasoning_tokens(self) -> int:
        """Those of them that were thoughts."""
        return sum(completion.reasoning_tokens for completion in self.completions)


class EngineStartError(Exception):
    """The engine cannot start: one readable message that says why and what to do."""


class RequestError(Exception):
    """This one request cannot be answered (prompt too long, refused by the server): a matter of the row."""


class ServerError(Exception):
    """The server of a model is away, or refuses the key or the account: a matter of the run, in the server's words."""


class EngineDeadError(Exception):
    """The engine is gone, and everything in flight with it: a matter of the worker."""


@dataclass(slots=True)
class Health:
    """What an engine and the run tell each other of a model's server. `waiting` says why no answer comes, while that is
    so; `asking` counts the requests in progress, each of which ends by itself; `notes` are what was found out about the
    server, a line each. Once the run is no longer `patient`, it is stopping, and a server that is away is not waited
    for."""

    waiting: str | None = None
    asking: int = 0
    notes: list[str] = field(default_factory=list)
    patient: bool = True


class Engine(Protocol):
    """A started engine."""

    @property
    def capacity(self) -> int:
        """Requests worth having in flight at once."""

    async def generate(self, request: Request) -> Reply:
        """Answer one request. Raises RequestError, ServerError or EngineDeadError."""

    async def close(self) -> None:
        """Stop the engine and free its memory."""
