"""The sources of a job: files of seeds, personas of other corpora, methods that make seeds, and donors of facts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from factory.base.fingerprint import blake
from factory.methods.registry import MethodError, found, named
from factory.methods.sources import SourceParams
from factory.methods.sources.tables import placed, tables_of
from factory.seeds.corpora import CorpusSource, source_of
from factory.seeds.made import MadeSource
from factory.seeds.source import SeedSource

_FILES, _CORPUS = "files", "corpus"
"""What tells sources that are files, or a corpus, from those that are made, none of which has these names."""


class DonorCorpus(BaseModel):
    """A corpus whose speakers give facts that distract others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str = Field(min_length=1, description="Where it lies: a path (from the job file) or a URI.")
    version: int = Field(ge=0, description="Its version, from `factory log`.")


def _known(value: Any) -> Any:
    """What is to be made is there, and can be used."""
    if isinstance(value, dict) and "make" in value:
        try:
            named("sources", str(value["make"]))
        except MethodError as error:
            raise ValueError(str(error)) from error
    return value


def _which(value: Any) -> str:
    given = value if isinstance(value, dict) else vars(value)
    return str(given.get("make", _CORPUS if _CORPUS in given else _FILES))


def _entry() -> Any:
    """Files, a corpus, or the parameters of whichever method an entry names."""
    union: Any = Annotated[SeedSource, Tag(_FILES)] | Annotated[CorpusSource, Tag(_CORPUS)]
    for name, one in found("sources").items():
        union = union | Annotated[one.Params, Tag(name)]
    return Annotated[union, Discriminator(_which), BeforeValidator(_known)]


if TYPE_CHECKING:
    SeedEntry: TypeAlias = SeedSource | CorpusSource | SourceParams
else:
    SeedEntry = _entry()


def sources_of(entries: Sequence[SeedEntry], base: Path, corpus: str) -> list[SeedSource | MadeSource]:
    """The sources of these entries, those that are no files with what makes or reads them; paths start at `base`, and
    the job's own corpus is `corpus`. Raises SourceError for a file that one of these reads and that cannot be had,
    CorpusError or StorageError for such a corpus."""
    found: list[SeedSource | MadeSource] = []
    for entry in entries:
        if isinstance(entry, CorpusSource):
            found.append(source_of(entry, base, corpus))
        else:
            found.append(entry if isinstance(entry, SeedSource) else _made(entry, base))
    return found


def _made(params: SourceParams, base: Path) -> MadeSource:
    source = named("sources", params.make)
    params = placed(params, base)
    stamps = [stamp for table in tables_of(params) for stamp in table.stamps()]
    version = str(source.version)
    recipe = blake("made seeds", source.__module__, source.name, version, params.model_dump_json(), *stamps)
    return MadeSource(source.name, recipe, source(params))
