"""Where facts come from: the seeds, and the makers that write facts."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from factory.methods.registry import found

_FACTS = "facts."


def origins() -> list[str]:
    """What the `origin` of a fact may be."""
    written = {field for maker in found("makers").values() for field in maker.writes if field.startswith(_FACTS)}
    return ["seed", *sorted({field.removeprefix(_FACTS) for field in written} - {"seed"})]


def _known(origin: str) -> str:
    if origin not in origins():
        raise PydanticCustomError("origin", "should be one of {origins}", {"origins": ", ".join(origins())})
    return origin


Origin = Annotated[str, AfterValidator(_known), WithJsonSchema({"enum": origins(), "type": "string"})]
