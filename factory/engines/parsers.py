"""vLLM's reasoning parsers by name, for models that think in a form of their own (`engine_args.reasoning_parser`).

Limitations: vLLM's modules are imported into the worker beside the engine's process, some ten seconds; parsers that
cannot read a whole answer at once, as that of gpt-oss, are refused, since the usual forms need none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from factory.engines import EngineStartError

Split = Callable[[str], tuple[str, str | None]]
"""What is said, and what was thought, of the text of an answer."""


def parser(name: str, tokenizer: Any) -> Split:
    """How the parser of this name reads answers. Raises EngineStartError."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.reasoning import ReasoningParserManager

    known = ReasoningParserManager.list_registered()
    if name not in known:
        raise EngineStartError(f"engine_args.reasoning_parser: vLLM has none called {name}; it has {', '.join(known)}")
    request = ChatCompletionRequest(messages=[])
    try:
        made = ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
        made.extract_reasoning("", request)
    except Exception as error:  # each parser asks for marks of its own in the tokenizer
        raise EngineStartError(f"engine_args.reasoning_parser: {name} does not fit the model: {error}") from error

    def split(text: str) -> tuple[str, str | None]:
        thought, said = made.extract_reasoning(text, request)
        return (said or "").strip(), thought.strip() if thought else None

    return split
