"""Pairing: who talks to whom, as the job file says it.

Conditions over personas are in SQL's words, as in `select` (`factory.base.rowwise`). Limitations: whether there are
such attributes and such personas is known only once the seeds are read, by planning.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from factory.base.rowwise import RowExpression, row_expression
from factory.methods.passes.near_duplicates import NearDuplicatesParams
from factory.spec.sources import DonorCorpus
from factory.spec.yamlfile import mistake

ATTRIBUTES, SEED = "attributes", "seed"
FILE = "file"
"""What conditions read: `attributes.NAME`, and `seed.file`."""
_EXAMPLE = f"{ATTRIBUTES}.role = 'doctor'"


class _Config(BaseModel):
    # What a person writes in the wrong field may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Match(_Config):
    """Partners who are alike, or unlike."""

    by: str = Field(
        pattern=rf"^{ATTRIBUTES}\..+$",
        description="`attributes.NAME`. Numbers are compared by how far they are apart, texts by whether they are the "
        "same, lists by how many of their values are in both.",
    )
    want: Literal["near", "far"] = Field("near", description="Whether partners are to be alike or unlike in it.")
    at_least: int | None = Field(
        None,
        ge=1,
        description="near: values that both have, at least, of texts and lists; who finds no such partner has none. "
        "Synthetic-Persona-Chat pairs personas that share more than 2 clusters (arXiv 2312.10007).",
    )

    @model_validator(mode="after")
    def _near_at_least(self) -> Self:
        if self.want == "far" and self.at_least is not None:
            raise mistake("is for partners who are alike; leave it out, or set want: near", "at_least")
        return self

    @property
    def attribute(self) -> str:
        """The name of the attribute."""
        return self.by.partition(".")[2]


class Cross(_Config):
    """Each opening with so many characters: a product and not a draw of rows."""

    openings: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        description="Different characters who answer each opening of the seeds (`fields.opening`), or `all` of them. "
        "OpenCharacter gives each question 3 (arXiv 2501.15427)."
    )


def _partners(value: object) -> object:
    if value != FILE and not (str(value).isdecimal() and int(str(value)) >= 1):
        raise ValueError("a whole number from 1 is wanted, or `file`")
    return value if value == FILE else int(str(value))


class Pairing(_Config):
    """Who talks to whom."""

    partners: Annotated[Annotated[int, Field(ge=1)] | Literal["file"], BeforeValidator(_partners)] = Field(
        1, description="Partners drawn for each persona; `file`: those that `fields.partner` of the seeds names."
    )
    samples: int = Field(1, ge=1, description="Dialogues per pair.")
    pools: dict[str, str] | None = Field(
        None,
        description="A pool for each of the two roles, the one who opens first: the role, and a condition over "
        "`attributes.NAME` and `seed.file` that says whose it is. Partners are drawn for the personas of the first "
        "pool, from the second.",
    )
    match: Match | None = Field(None, description="Partners who are alike or unlike, instead of any.")
    cross: Cross | None = Field(None, description="Openings that are seeds, each with so many characters.")
    near_duplicates: NearDuplicatesParams | None = Field(
        None, description="Leave out personas that nearly repeat an earlier one of the seeds."
    )
    donors: DonorCorpus | None = Field(None, description="Take distracting facts from a corpus, not from the seeds.")

    @field_validator("pools")
    @classmethod
    def _of_two_roles(cls, pools: dict[str, str] | None) -> dict[str, str] | None:
        if pools is None:
            return None
        if len(pools) != 2:
            raise ValueError(f"two roles are wanted, the one who opens first; there is {', '.join(pools) or 'none'}")
        for role, text in pools.items():
            try:
                pool_condition(text)
            except ValueError as error:
                raise mistake(str(error), role) from error
        return pools

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        for one, other in (("cross", "pools"), ("cross", "match")):
            if getattr(self, one) and getattr(self, other):
                raise mistake(f"leave it out: with pairing.{one}, any persona is drawn for an opening", other)
        given = [one for one in ("cross", "match", "pools") if getattr(self, one)]
        if self.partners == FILE and given:
            raise mistake(f"leave it out: with pairing.partners: {FILE}, the seeds say who talks to whom", given[0])
        return self


def pool_condition(text: str) -> RowExpression:
    """The condition of a pool. Raises ValueError for what it may not read."""
    found = row_expression(text, _EXAMPLE)
    for path, _ in found.reads:
        if (path[0] != ATTRIBUTES or len(path) != 2) and path != (SEED, FILE):
            raise ValueError(
                f"{text!r} reads {'.'.join(path)}; a pool reads {ATTRIBUTES}.NAME and {SEED}.{FILE}, and text stands "
                "in single quotes"
            )
    return found
