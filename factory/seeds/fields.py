"""Which columns of a seed file hold what."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SeedFields(BaseModel):
    """Names of columns, where they are not the usual ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(None, description="Column of the seed's id; `id` if there is one, unless set.")
    facts: str | None = Field(
        None, description="Column of the persona; `facts`, `persona` or `input persona` unless set."
    )
    attributes: tuple[str, ...] | None = Field(
        None, description="Columns kept as attributes of the speaker; all that hold nothing else, unless set."
    )
    name: str = Field("name", description="Column of a persona's name, or key of it in turns.")
    speaker: str | Literal[False] | None = Field(
        None,
        description="Column of a persona's speaker id, or key of it in turns. Unless set, `speaker` in turns, but for "
        "labels that tell only the sides apart (`A`, `user`, `Speaker 1`); false if all its labels are such.",
    )

    partner: str | None = Field(
        None, description="Column of the id, or ids, of whom a persona talks to, with `pairing.partners: file`."
    )
    opening: str | None = Field(
        None, description="Column of a first turn, such as a question, that characters answer, with `pairing.cross`."
    )

    @property
    def facts_columns(self) -> tuple[str, ...]:
        """Columns of the persona, the first that has one counts."""
        return (self.facts,) if self.facts else ("facts", "persona", "input persona")

    @property
    def speaker_key(self) -> str:
        """What tells the speaker of a turn."""
        return self.speaker or "speaker"

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read, but for attributes; the id first."""
        others = [name for name in (self.speaker, self.partner, self.opening) if name]
        return (self.id or "id", *self.facts_columns, self.name, *others, "turns", "personas", "speakers")
