"""The makers of a job: which may stand together, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from factory.methods import Params
from factory.methods.registry import found
from factory.spec.yamlfile import mistake


def in_order(makers: Mapping[str, Params], pools: Iterable[str] = ()) -> dict[str, Params]:
    """Those that must come before language models first, the others as they are given; roles that are left open are
    the names of `pools`. Raises PydanticCustomError for one that has not its own name, and for one that makes personas
    beside one that makes dialogues."""
    kinds = found("makers")
    for name, params in makers.items():
        if name != params.method:
            raise mistake(f"a maker stands by its own name, {params.method}, once", name)
    alone = next((name for name in makers if hasattr(kinds[name], "personas")), None)
    talking = next((name for name in makers if "turns" in kinds[name].writes), None)
    if alone and talking:
        do = f"give {alone} a job of its own, and this one the seeds [{{corpus: what that job makes}}]"
        raise mistake(f"it makes personas, and {talking} dialogues: {do}", alone)
    new = next((name for name in makers if getattr(kinds[name], "personas", "same") == "new"), None)
    others = (name for name in makers if name != new and not getattr(kinds[name], "before_language", False))
    if new and (other := next(others, None)):
        do = "give it a job of its own, with the seeds [{corpus: what this job makes}]"
        raise mistake(f"{new} makes new personas, of which {other} knows nothing: {do}", other)
    if roles := tuple(pools):
        makers = {
            name: params.model_copy(update={"roles": roles}) if getattr(params, "roles", 0) is None else params
            for name, params in makers.items()
        }
    return dict(sorted(makers.items(), key=lambda one: not getattr(kinds[one[0]], "before_language", False)))
