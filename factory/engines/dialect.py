"""How one server wants to be asked: which fields it takes, and under which names.

It is asked as OpenAI's own documentation says; what it refuses by name is asked otherwise, or left out. Limitations: a
server that ignores a field in silence is not found out, but for `n`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from factory.engines import Request
from factory.engines.answers import Refusal

_REFUSED = re.compile(
    r"unsupported|not (?:be )?support|n[o']t support|unknown|unrecogni[sz]ed|not permitted|not allowed|extra "
    r"|unexpected|deprecated|not available|not enabled|not implemented|invalid (?:parameter|field|argument)|instead"
    r"|must be 1\b|only (?:one|n ?=|the default)|cannot (?:both )?be",
    re.IGNORECASE,
)
_ONE = re.compile(r"one completion|multiple (?:completions|choices)", re.IGNORECASE)
_FIELDS = frozenset(
    {"max_tokens", "max_completion_tokens", "response_format", "temperature", "top_p", "top_k", "n", "stream"}
)
_TOO_LONG = re.compile(r"context|too (?:large|long|many)|exceed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server takes. `many`: several completions of one request. `longest`: the field of the most tokens, none if
    there is no such one. `form`: how JSON is asked for. `without`: fields of sampling that it refuses."""

    many: bool = True
    longest: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    form: Literal["json_schema", "json_object"] | None = "json_schema"
    without: frozenset[str] = frozenset()

    def arguments(self, model: str, request: Request, n: int) -> dict[str, Any]:
        """A request for `n` completions, for the client's `create`."""
        sampling = request.sampling
        said: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p, "stream": False}
        if self.longest is not None:
            said[self.longest] = sampling.max_tokens
        if n > 1 and self.many:
            said["n"] = n
        if request.json_schema is not None and self.form == "json_schema":
            schema = {"name": "answer", "schema": request.json_schema, "strict": True}
            said["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.json_schema is not None and self.form is not None:
            said["response_format"] = {"type": self.form}
        said = {name: value for name, value in said.items() if name not in self.without}
        if sampling.top_k > 0 and "top_k" not in self.without:  # not OpenAI's own, so its client knows no such field
            said["extra_body"] = {"top_k": sampling.top_k}
        return {"model": model, "messages": list(request.messages), **said}

    def after(self, refusal: Refusal, sent: dict[str, Any]) -> tuple[Dialect, str] | None:
        """How to ask instead, and a line that says what was found out; none if no field is to blame."""
        said = str(refusal)
        if not (_REFUSED.search(said) or _REFUSED.search(refusal.code)) or _TOO_LONG.search(said):
            return None
        fields = {**sent, **sent.get("extra_body", {})}
        named = next((name for name in refusal.named if name in fields and name in _FIELDS), None)
        if named == "temperature" and "top_p" in refusal.named and "top_p" in fields:  # it takes one of them
            named = "top_p"
        if named is None and "n" in fields and _ONE.search(said):
            named = "n"
        return self._instead_of(named) if named else None

    def _instead_of(self, name: str) -> tuple[Dialect, str]:
        match name:
            case "max_tokens":
                return replace(self, longest="max_completion_tokens"), "takes max_completion_tokens, not max_tokens"
            case "max_completion_tokens":
                return replace(self, longest=None), "takes no max_completion_tokens: answers may be longer than asked"
            case "response_format" if self.form == "json_schema":
                return replace(self, form="json_object"), "takes no JSON schema: JSON is asked for without one"
            case "response_format":
                return replace(self, form=None), "takes no response_format: JSON is asked for by the prompt alone"
            case "n":
                return replace(self, many=False), "gives one completion at a time: candidates are asked for one by one"
            case _:
                return replace(self, without=self.without | {name}), f"takes no {name}: its own value is used"
