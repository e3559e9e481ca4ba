"""Sources: methods that make the seeds of a job instead of reading them from files.

A source is a class in a file of this folder, or of another package that names it in an entry point of the group
`persona_factory.sources`. A job file asks for it by `make`, beside sources that are files:

    seeds: [{path: personas.jsonl}, {make: name, ...}]

It is made from its parameters, and its `rows` yields what the rows of a JSON Lines file of seeds would hold: `facts`,
`turns`, attributes under their own names, an `id` where a row has one. The same parameters give the same rows, in the
same order, on every machine; so rows are kept, and remade only when the parameters or the `version` change. Without
an `id` a row is known by its content, so that changed parameters concern those seeds alone that they change. A row that
it could not read, where it makes rows of others, it yields as a BadRow. Parameters of the type `tables.Table` are
files; their content counts as the parameters do. Its docstring is for people, with an example. Limitations: a source
asks no model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from factory.seeds.files import BadRow

PARTS = {
    "name": "what a job file calls it, in `make`",
    "version": "a whole number, raised when the code would make other rows of the same parameters",
    "Params": "its parameters, a `factory.methods.sources.SourceParams` with the literal of its name as `make`",
    "rows": "yields what the rows of a JSON Lines file of seeds would hold",
}
"""What each class has, and what it is for."""

TAKEN: frozenset[str] = frozenset()


def _made_by_name(schema: dict[str, Any]) -> None:
    """In the JSON Schema: what tells a source from files is never left out."""
    schema["required"] = ["make", *schema.get("required", [])]


class SourceParams(BaseModel):
    """Parameters of a source. Each source declares `make` as the literal of its name, which is what tells the entries
    of `seeds` apart."""

    # What a person writes in the wrong field may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra=_made_by_name)

    make: str


class Source(Protocol):
    """A method that makes seeds. Made from its parameters."""

    name: ClassVar[str]
    version: ClassVar[int]
    Params: ClassVar[type[SourceParams]]

    def __init__(self, params: Any) -> None: ...

    def rows(self) -> Iterator[dict[str, Any] | BadRow]:
        """The rows. Raises ValueError, with what to do, where the parameters allow none."""
