"""Opening an engine: what each needs is imported only when it is asked for."""

from __future__ import annotations

from factory.engines import Engine, Health, LanguageModel


def open_engine(model: LanguageModel, patience_s: float, health: Health) -> Engine:
    """Start the engine that the model names; imports only what that engine needs. A server that is away is waited for,
    `patience_s` seconds. Raises EngineStartError or ServerError."""
    if model.engine == "vllm":
        from factory.engines.vllm import VllmEngine

        return VllmEngine(model)
    if model.engine == "openai":
        from factory.engines.openai import OpenAIEngine

        return OpenAIEngine(model, patience_s, health)
    from factory.engines.scripted import ScriptedEngine

    return ScriptedEngine(model)
