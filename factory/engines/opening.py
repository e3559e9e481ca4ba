"""Opening an engine: what each needs is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from factory.engines import Engine, Health, LanguageModel


def open_engine(
    model: LanguageModel, patience_s: float, health: Health, adapters: Sequence[str | None] = (None,)
) -> Engine:
    """Start the engine that the model names, with the adapters that requests may ask for; imports only what that engine
    needs. A server that is away is waited for, `patience_s` seconds. Raises EngineStartError or ServerError."""
    if model.engine == "vllm":
        from factory.engines.vllm import VllmEngine

        return VllmEngine(model, adapters)
    if model.engine == "openai":
        from factory.engines.openai import OpenAIEngine

        return OpenAIEngine(model, patience_s, health)
    from factory.engines.scripted import ScriptedEngine

    return ScriptedEngine(model)
