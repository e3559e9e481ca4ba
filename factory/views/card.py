"""The dataset card of a corpus in the Hugging Face form: a YAML header for machines, the text for people.

Everything in it is read from the corpus: rows, recipes, dead letters. The header lists the files of the newest version
one by one, since files of old versions lie beside them until `factory gc`; write the card again after a run. It needs
no library of Hugging Face's.
Limitations: what only people know (why the corpus was made, what its seeds may be used for) is not in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from factory.base.fingerprint import blake
from factory.base.frontmatter import joined
from factory.store import versions as history
from factory.store.corpus import Corpus
from factory.store.shards import Shard
from factory.store.storage import Storage
from factory.store.table import CorpusError
from factory.views.card_facts import card_facts
from factory.views.scores import described
from factory.views.status import status

UNSTATED = "unknown"
"""The Hugging Face name of a licence that nobody has chosen."""

COLUMNS = {
    "row_id": "the slot: a hash of the two seeds and the sample's number; the same in every version",
    "kind": "generated from personas, or an imported dialogue",
    "sample": "which dialogue of its pair, from 0",
    "seeds": "where it comes from: id, digests of content, file and line",
    "speakers": "both sides: id, name, role, attributes, and facts with origin (seed, or the maker that wrote them)",
    "topic": "the topic drawn, if the job has topics",
    "opening": "the first turn, if the job draws one or a seed is one",
    "donors": "facts of other speakers that distractors were chosen from",
    "turns": "speaker (0 or 1), text, tokens, attempts, and the candidates it was chosen from",
    "memory": "what speakers remember after a session, for dialogues of several",
    "extracted": "lines written for each turn, with the gate that stopped them, or accepted",
    "details": "what scores say of parts of a dialogue: pairs, turns, speakers",
    "decision": "accept, flag or reject",
    "reasons": "names of the conditions that flagged or rejected it",
    "stages": "how each stage made its part: recipe, models, calls, tokens, time, and why a score failed",
}
"""What each column that all rows have holds, in a line; of the others their methods say it."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))  # fmt: skip
_SIGNED = re.compile(r"\n<!-- written by factory card; digest ([0-9a-f]{32}) -->\n$")
_SPACE = re.compile(r"\s+")
_MARKUP = re.compile(r"([\\`*\[\]<>|&~$#])")


def write_card(corpus: Corpus, text: str, to: str | None = None) -> str:
    """Write a card, into the corpus's folder as README.md unless `to` names another place. Returns its address.
    Raises CorpusError rather than overwrite a file that people wrote or edited."""
    address = to or f"{corpus.root.rstrip('/')}/README.md"
    folder, name = os.path.split(address)
    place = Storage(folder or ".")
    if place.exists(name) and not is_ours(place.read_bytes(name).decode("utf-8", "replace")):
        raise CorpusError(f"{address}: not written by factory card, or edited since; move it, or give --to FILE")
    place.write_bytes(name, signed(text).encode())
    return address


def signed(text: str) -> str:
    """A card with the line by which `is_ours` knows it."""
    return f"{text}\n<!-- written by factory card; digest {blake(text)} -->\n"


def is_ours(text: str) -> bool:
    """Whether a card was written by `factory card`, and nobody has edited it since."""
    found = _SIGNED.search(text)
    return found is not None and found[1] == blake(text[: found.start()])


def card(
    corpus: Corpus,
    *,
    version: int | None = None,
    licence: str = UNSTATED,
    language: str = "en",
    report: Callable[[str, int], None] = lambda *_: None,
) -> str:
    """The card of a version (the newest without it), as Markdown. `licence` is a Hugging Face licence id, `language` a
    code. Raises CorpusError if there is no corpus or no such version."""
    corpus.scan()
    pinned = corpus.table.version() if version is None else version
    corpus = corpus if pinned is None else history.at(corpus, pinned)
    shards = corpus.table.shards()
    layout = corpus.table.layout
    facts = card_facts(corpus, status(corpus)) | {"licence": licence, "shards": len(shards)}
    facts["columns"] = [
        (one.name, _type(one.type), COLUMNS.get(one.name) or described(one.name, facts["methods"])) for one in layout
    ]
    header = _header(facts, layout, shards, _arrow_bytes(corpus, shards, report), language)
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, finalize=_plain, trim_blocks=True)
    template = environment.from_string(Path(__file__).with_name("card.md.j2").read_text(encoding="utf-8"))
    return joined(header, f"\n{template.render(facts)}")


def _plain(value: object) -> object:
    """A corpus's text with Markdown's marks escaped."""
    return _MARKUP.sub(r"\\\1", _SPACE.sub(" ", value)) if isinstance(value, str) else value


def _arrow_bytes(corpus: Corpus, shards: list[Shard], report: Callable[[str, int], None]) -> int:
    total = 0
    for number, shard in enumerate(shards):
        report("shards read", number)
        total += corpus.table.read(shard).nbytes
    return total


def _header(facts: dict[str, Any], layout: pa.Schema, shards: list[Shard], size: int, language: str) -> dict[str, Any]:
    generated = "generated" in facts["kinds"]
    found = "imported" in facts["kinds"]
    data: dict[str, Any] = {
        "pretty_name": facts["name"],
        "license": facts["licence"],
        "language": [language],
        "task_categories": ["text-generation"],
        "task_ids": ["dialogue-generation"],
        "size_categories": [next((name for most, name in _SIZES if facts["rows"] < most), "n>1B")],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"] * generated + ["found"] * found,
        "tags": ["persona", "dialogue", *facts["scores"], *["synthetic"] * generated],
        "dataset_info": {
            "features": [{"name": field.name} | _feature(field.type) for field in layout],
            "splits": [{"name": "train", "num_bytes": size, "num_examples": facts["rows"]}],
            "download_size": sum(shard.size for shard in shards),
            "dataset_size": size,
        },
    }
    if shards:
        files = [{"split": "train", "path": [shard.path for shard in shards]}]
        data["configs"] = [{"config_name": "default", "data_files": files}]
    return data


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A column's type in the words of `datasets`, which is slow to import and looks for torch then."""
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": inner.get("struct") or inner.get("dtype") or inner}
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name} | _feature(field.type) for field in kind]}
    return {"dtype": {"float": "float32", "double": "float64"}.get(str(kind), str(kind))}


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return f"{{{', '.join(f'{field.name}: {_type(field.type)}' for field in kind)}}}"
    return str(kind)
