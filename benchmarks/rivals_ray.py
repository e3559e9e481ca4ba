"""The dialogues of `benchmarks.others` with Ray Data LLM, in the two forms that several turns allow.

A processor maps each row through its engine once, so a turn is either an execution of its own, or a processor in a
chain around an engine that Ray Serve holds. Limitations: a chain of processors with an engine each, six on one machine.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from benchmarks.rivals import Dialogue, Side, engine, messages, sampling, say
from factory.models import resolve


def ray_data(dialogues: list[Dialogue], given: Namespace) -> Side:
    """Ray Data LLM, one execution of one processor a turn: each starts an engine of its own."""
    _start_ray(given)
    processor, side = _processor(given), Side(len(dialogues))
    while dialogues:
        answered = processor(_rows(dialogues)).take_all()
        _add(side, answered)
        dialogues = [one for one in answered if not one["ended"]]
    return side


def ray_data_serve(dialogues: list[Dialogue], given: Namespace) -> Side:
    """Ray Data LLM, one execution of a chain of processors, a turn each, around one engine. Needs the packages of
    ray[serve]. A row cannot leave before the end: all dialogues go through all turns."""
    from ray import serve
    from ray.data.llm import ServeDeploymentProcessorConfig, build_processor
    from ray.serve.llm import LLMConfig, build_llm_deployment
    from ray.serve.llm.openai_api_models import ChatCompletionRequest

    def answered(row: Dialogue) -> Dialogue:
        now = time.time()
        call = [float(row["usage"]["completion_tokens"]), now - row["time_taken"], now]
        return say(row, row["choices"][0]["message"]["content"] or "", given) | {"log": [*row["log"], call]}

    def processor() -> Any:
        ask = {"model": "dialogue", **sampling(given)}
        return build_processor(
            ServeDeploymentProcessorConfig(
                deployment_name="dialogue",
                app_name="dialogue",
                dtype_mapping={"ChatCompletionRequest": ChatCompletionRequest},
                batch_size=given.batch_size,
            ),
            preprocess=lambda row: (
                row
                | {"method": "chat", "dtype": "ChatCompletionRequest"}
                | {"request_kwargs": ask | {"messages": messages(row)}}
            ),
            postprocess=answered,
        )

    _start_ray(given)
    config = LLMConfig(
        model_loading_config={"model_id": "dialogue", "model_source": resolve(given.model)},
        engine_kwargs=engine(given),
        log_engine_metrics=False,
        deployment_config={"num_replicas": 1, "max_ongoing_requests": 10 * given.in_flight},
        **_placed(given),
    )
    application = build_llm_deployment(config, override_serve_options={"name": "dialogue"})
    serve.run(application, name="dialogue", logging_config={"enable_access_log": False})
    dataset, side = _rows(dialogues), Side(len(dialogues))
    for _ in range(given.turns):
        dataset = processor()(dataset)
    _add(side, dataset.take_all())
    return side


def _start_ray(given: Namespace) -> None:
    import ray.data

    ray.init(
        address="local",
        num_cpus=given.logical_cpus,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _system_config={"worker_niceness": 0},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False


def _placed(given: Namespace) -> dict[str, Any]:
    """Where an engine stands: a GPU without a word, which a CPU build has not."""
    from vllm.platforms import current_platform

    return {"placement_group_config": {"bundles": [{"CPU": given.cores}]}} if current_platform.is_cpu() else {}


def _processor(given: Namespace) -> Any:
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    def answered(row: Dialogue) -> Dialogue:
        own = row["metrics"]
        call = [float(row["num_generated_tokens"]), own["queued_ts"], own["last_token_ts"]]
        return say(row, row["generated_text"], given) | {"log": [*row["log"], call]}

    config = vLLMEngineProcessorConfig(
        model_source=resolve(given.model),
        engine_kwargs=engine(given),
        batch_size=given.batch_size,
        log_engine_metrics=False,
        **_placed(given),
    )
    return build_processor(
        config,
        preprocess=lambda row: row | {"messages": messages(row), "sampling_params": sampling(given)},
        postprocess=answered,
    )


def _rows(dialogues: list[Dialogue]) -> Any:
    import ray.data

    return ray.data.from_items([one | {"log": []} for one in dialogues])


def _add(side: Side, answered: Iterable[Dialogue]) -> None:
    """Count an execution: its calls, their tokens, and from the first one queued to the last one answered."""
    calls = [call for row in answered for call in row["log"]]
    side.calls += len(calls)
    side.tokens += int(sum(tokens for tokens, _, _ in calls))
    side.seconds += max(last for _, _, last in calls) - min(first for _, first, _ in calls)
