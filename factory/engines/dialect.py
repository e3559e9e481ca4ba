"""How one server wants to be asked: which fields it takes, and under which names.

It is asked as OpenAI's own documentation says; what it refuses by name is asked otherwise, or left out. Limitations: a
server that ignores a field in silence is not found out, but for `n` and for choices and their probabilities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from factory.engines import LanguageModel, Request
from factory.engines.answers import Refusal
from factory.engines.choices import JSON_FIELD

_REFUSED = re.compile(
    r"unsupported|not (?:be )?support|n[o']t support|unknown|unrecogni[sz]ed|not permitted|not allowed|extra "
    r"|unexpected|deprecated|not available|not enabled|not implemented|invalid (?:parameter|field|argument)|instead"
    r"|must be 1\b|only (?:one|n ?=|the default)|cannot (?:both )?be",
    re.IGNORECASE,
)
_ONE = re.compile(r"one completion|multiple (?:completions|choices)", re.IGNORECASE)
_SAMPLED = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "stop")
_SAMPLED_BY_SOME = ("top_k", "min_p", "repetition_penalty")
"""Fields of sampling that OpenAI does not have, and vLLM and others do."""
_OUR_OWN = frozenset({"logprobs", "top_logprobs"})
"""Fields whose values no job sets: a refusal that names one is of the server's making, in whatever words."""
_FIELDS = _OUR_OWN | {
    *("max_tokens", "max_completion_tokens", "response_format", "n", "stream", *_SAMPLED, *_SAMPLED_BY_SOME),
    *("structured_outputs", "guided_choice", "chat_template_kwargs"),
}
_TOO_LONG = re.compile(r"context|too (?:large|long|many)|exceed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server takes. `many`: several completions of one request. `longest`: the field of the most tokens, none if
    there is no such one. `form`: how JSON is asked for. `top`: how many alternatives of a token it gives, with their
    log probabilities. `choice`: the field that holds an answer to some choices, as vLLM has it now and had it before
    0.12; none if JSON must do. `without`: fields of sampling that it refuses."""

    many: bool = True
    longest: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    form: Literal["json_schema", "json_object"] | None = "json_schema"
    top: Literal[20, 5, 0] = 20
    choice: Literal["structured_outputs", "guided_choice"] | None = "structured_outputs"
    without: frozenset[str] = frozenset()

    def arguments(self, model: LanguageModel, request: Request, n: int, *, probe: bool = False) -> dict[str, Any]:
        """A request for `n` completions, for the client's `create`; with `probe`, for the alternatives of the first
        token alone, where the server gives them."""
        sampling, extra = request.sampling, dict(model.extra_body)  # OpenAI's client knows no such fields
        if model.chat_template_kwargs:
            extra["chat_template_kwargs"] = model.chat_template_kwargs
        set_ = sampling.told()
        said: dict[str, Any] = {"stream": False} | {name: set_[name] for name in _SAMPLED if name in set_}
        if self.longest is not None:
            said[self.longest] = sampling.max_tokens
        if n > 1 and self.many:
            said["n"] = n
        extra |= {name: set_[name] for name in _SAMPLED_BY_SOME if name in set_}
        if request.choices and self.choice is not None:
            extra[self.choice] = {"choice": request.choices} if self.choice == "structured_outputs" else request.choices
        if probe and self.top:
            said |= {"logprobs": True, "top_logprobs": self.top}
            if self.longest is not None:
                said[self.longest] = 1
        elif form := self._form(request):
            said["response_format"] = form
        said = {name: value for name, value in said.items() if name not in self.without}
        extra = {name: value for name, value in extra.items() if name not in self.without}
        return {
            "model": model.name,
            "messages": list(request.messages),
            **said,
            **({"extra_body": extra} if extra else {}),
        }

    def _form(self, request: Request) -> dict[str, Any] | None:
        """The response format: JSON that fits the schema; of choices, JSON with one of them, where no other field holds
        the answer to them and the prompt need not speak of JSON."""
        schema = request.json_schema
        if request.choices and self.choice is None and self.form == "json_schema":
            schema = {
                "type": "object",
                "properties": {JSON_FIELD: {"enum": request.choices}},
                "required": [JSON_FIELD],
                "additionalProperties": False,
            }
        if schema is None or self.form is None:
            return None
        described = {"name": "answer", "schema": schema, "strict": True}
        return {"type": self.form} | ({"json_schema": described} if self.form == "json_schema" else {})

    def after(self, refusal: Refusal, sent: dict[str, Any]) -> tuple[Dialect, str] | None:
        """How to ask instead, and a line that says what was found out; none if no field is to blame."""
        said = str(refusal)
        fields = {**sent, **sent.get("extra_body", {})}
        if ours := next((name for name in refusal.named if name in fields and name in _OUR_OWN), None):
            return self.instead_of(ours)
        if not (_REFUSED.search(said) or _REFUSED.search(refusal.code)) or _TOO_LONG.search(said):
            return None
        named = next((name for name in refusal.named if name in fields and name in _FIELDS), None)
        if named == "temperature" and "top_p" in refusal.named and "top_p" in fields:  # it takes one of them
            named = "top_p"
        if named is None and "n" in fields and _ONE.search(said):
            named = "n"
        return self.instead_of(named) if named else None

    def instead_of(self, name: str) -> tuple[Dialect, str]:
        """How to ask without a field that the server does not take, and a line that says so."""
        change: dict[str, Any]
        match name:
            case "max_tokens":
                change, note = {"longest": "max_completion_tokens"}, "takes max_completion_tokens, not max_tokens"
            case "max_completion_tokens":
                change, note = {"longest": None}, "takes no max_completion_tokens: answers may be longer than asked"
            case "response_format" if self.form == "json_schema":
                change, note = {"form": "json_object"}, "takes no JSON schema: JSON is asked for without one"
            case "response_format":
                change, note = {"form": None}, "takes no response_format: JSON is asked for by the prompt alone"
            case "n":
                change, note = {"many": False}, "gives one completion at a time: candidates are asked for one by one"
            case "top_logprobs" if self.top == 20:
                change, note = {"top": 5}, "gives no 20 alternatives of a token: 5 are asked for"
            case "top_logprobs" | "logprobs":
                change, note = {"top": 0}, "gives no log probabilities: answers to choices are sampled and counted"
            case "structured_outputs":
                change, note = {"choice": "guided_choice"}, "takes no structured_outputs: guided_choice is tried"
            case "guided_choice":
                change, note = {"choice": None}, "takes no guided_choice: choices are asked for as JSON"
            case _:
                change, note = {"without": self.without | {name}}, f"takes no {name}: its own value is used"
        return replace(self, **change), note
