"""Seeds as columns: what `_seeds/` keeps of a file's seeds, and the keys that planning compares.

Limitations: keys are 64 bits of no cryptographic hash (`factory.base.arrays`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.base.arrays import arrow, lists, mapped, offsets_of, text_keys, texts
from factory.base.fingerprint import Keys, blake, mix
from factory.seeds.digests import (
    DIGITS,
    NO_TURNS,
    NOTHING_TOLD,
    facts_digests,
    no_facts_digest,
    speakers_digests,
    turns_digests,
)
from factory.seeds.plain import PlainRows
from factory.seeds.plain_dialogues import PlainDialogues
from factory.store.records import PARTS, Seed

DIGESTS = pa.list_(pa.uint64(), len(PARTS))
KEYS = pa.schema(
    [
        ("key", pa.uint64()),
        ("digests", DIGESTS),
        ("facts", pa.list_(pa.uint64())),
        ("characters", pa.int32()),
        ("turns", pa.int32()),
        ("pair", pa.int8()),
        ("partners", pa.list_(pa.uint64())),
    ]
)
"""`pair` is 1 for two personas who are to talk; `partners` are keys of the seeds that a persona is to talk to."""
_TURN = pa.struct([("speaker", pa.int32()), ("text", pa.string())])
_SPEAKER = pa.struct([("id", pa.string()), ("name", pa.string()), ("attributes", pa.map_(pa.string(), pa.string()))])
CONTENT = pa.schema(
    [
        ("id", pa.string()),
        ("digests", pa.list_(pa.string())),
        ("line", pa.int64()),
        ("personas", pa.list_(pa.list_(pa.string()))),
        ("turns", pa.list_(_TURN)),
        ("speakers", pa.list_(_SPEAKER)),
        ("partners", pa.list_(pa.string())),
        ("candidates", pa.list_(pa.list_(pa.string()))),
    ]
)


def seed_keys(ids: pa.StringArray) -> Keys:
    """Keys of seeds, by their ids."""
    return text_keys("seed", ids)


def fact_keys(facts: pa.StringArray) -> Keys:
    """Keys of facts, by what they say."""
    return text_keys("fact", facts)


def digest_keys(digests: pa.StringArray) -> Keys:
    """Keys of digests."""
    return text_keys("digest", digests)


def said_keys(seed: Keys, fact: Keys) -> Keys:
    """Keys of facts as facts of seeds."""
    return mix(seed, fact)


def content_of(seeds: Sequence[Seed], plain: PlainRows | PlainDialogues | None = None) -> pa.RecordBatch:
    """Seeds of a file, with those of plain rows among them, in the order of their lines."""
    if plain is None:
        return _content_of_seeds(seeds)
    found = _content_of_plain(plain) if isinstance(plain, PlainRows) else _content_of_dialogues(plain)
    if not seeds:
        return found
    both = pa.Table.from_batches([_content_of_seeds(seeds), found]).combine_chunks()
    order = np.argsort(mapped(both["line"].chunk(0)), kind="stable")
    return both.take(arrow(order)).combine_chunks().to_batches()[0]


def _content_of_seeds(seeds: Sequence[Seed]) -> pa.RecordBatch:
    personas = [persona for seed in seeds for persona in seed.personas]
    turns = [turn for seed in seeds for turn in seed.turns]
    speakers = [speaker for seed in seeds for speaker in seed.speakers]
    candidates = [some for seed in seeds for some in seed.candidates]
    others = _lists_of(candidates, texts([one for some in candidates for one in some]))
    attributes = [one for speaker in speakers for one in speaker.attributes.items()]
    facts = _lists_of(personas, texts([fact for persona in personas for fact in persona]))
    numbers = arrow(np.array([speaker for speaker, _ in turns], np.int32))
    said = pa.StructArray.from_arrays([numbers, texts([text for _, text in turns])], fields=list(_TURN))
    told = pa.MapArray.from_arrays(
        arrow(offsets_of([len(speaker.attributes) for speaker in speakers])).cast(pa.int32()),
        texts([name for name, _ in attributes]),
        texts([value for _, value in attributes]),
    )
    named = [texts([speaker.id for speaker in speakers]), texts([speaker.name for speaker in speakers])]
    about = pa.StructArray.from_arrays([*named, told], fields=list(_SPEAKER))
    return _content(
        texts([seed.id for seed in seeds]),
        texts([digest for seed in seeds for digest in seed.digests]),
        np.array([seed.line for seed in seeds], np.int64),
        _lists_of([seed.personas for seed in seeds], facts),
        _lists_of([seed.turns for seed in seeds], said),
        _lists_of([seed.speakers for seed in seeds], about),
        _lists_of([seed.partners for seed in seeds], texts([one for seed in seeds for one in seed.partners])),
        _lists_of([seed.candidates for seed in seeds], others),
    )


def _content_of_plain(plain: PlainRows) -> pa.RecordBatch:
    facts, ids = facts_digests(plain.facts), plain.ids
    if ids.null_count:
        told = [facts[start : start + DIGITS] for start in range(0, len(facts), DIGITS)]
        given = zip(ids.to_pylist(), told, strict=True)
        ids = texts([one or blake("seed", digest, NO_TURNS, NOTHING_TOLD) for one, digest in given])
    digests = _digests(len(plain), facts, NO_TURNS, NOTHING_TOLD)
    none, nothing = _content_of_seeds([]), np.zeros(len(plain) + 1, np.int64)
    return _content(
        ids,
        digests,
        plain.lines,
        lists(np.arange(len(plain) + 1), plain.facts),
        lists(nothing, none["turns"].values),
        lists(nothing, none["speakers"].values),
        lists(nothing, none["partners"].values),
        lists(nothing, none["candidates"].values),
    )


def _content_of_dialogues(plain: PlainDialogues) -> pa.RecordBatch:
    size, turns, speakers = len(plain), plain.rows["turns"], plain.rows["speakers"]
    none = _content_of_seeds([])
    ids = speakers.flatten().field("id")
    names = pa.nulls(len(ids), pa.string())
    attributes = pa.MapArray.from_arrays(arrow(np.zeros(len(ids) + 1, np.int32)), texts([]), texts([]))
    about = pa.StructArray.from_arrays([ids, names, attributes], fields=list(_SPEAKER))
    nothing = np.zeros(2 * size + 1, np.int64)
    return _content(
        plain.rows["id"],
        _digests(size, no_facts_digest(), turns_digests(turns), speakers_digests(speakers)),
        plain.lines,
        lists(2 * np.arange(size + 1), lists(nothing, none["personas"].values.values)),
        lists(offsets_of(mapped(turns.value_lengths())), turns.flatten()),
        lists(2 * np.arange(size + 1), about),
        lists(nothing[: size + 1], none["partners"].values),
        lists(nothing[: size + 1], none["candidates"].values),
    )


def _digests(size: int, *parts: str) -> pa.StringArray:
    """The digests of seeds: of each part one for all, or those of all, one after the other."""
    digits = np.empty((size, len(PARTS), DIGITS), np.uint8)
    for place, told in enumerate(parts):
        digits[:, place] = np.frombuffer(told.encode(), np.uint8).reshape(-1, DIGITS)
    ends = arrow(np.arange(0, digits.size + 1, DIGITS, dtype=np.int32))
    return pa.StringArray.from_buffers(digits.size // DIGITS, ends.buffers()[1], pa.py_buffer(digits))


def _content(ids: pa.Array, digests: pa.StringArray, line: Any, *others: pa.Array) -> pa.RecordBatch:
    held = lists(np.arange(0, len(digests) + 1, len(PARTS)), digests)
    return pa.RecordBatch.from_arrays([ids, held, arrow(line), *others], schema=CONTENT)


def _lists_of(items: Sequence[Sequence[object]], values: pa.Array) -> pa.ListArray:
    return lists(offsets_of([len(one) for one in items]), values)


def keys_of(content: pa.RecordBatch) -> pa.RecordBatch:
    """The keys of seeds."""
    personas = content["personas"]
    facts = personas.values.values
    ends = mapped(personas.values.offsets)[mapped(personas.offsets)]
    characters = offsets_of(mapped(pc.utf8_length(facts)))[ends]
    turns = content["turns"].value_lengths()
    pair = (mapped(personas.value_lengths()) > 1) & (mapped(turns) == 0)
    columns = [
        arrow(seed_keys(content["id"])),
        pa.FixedSizeListArray.from_arrays(arrow(digest_keys(content["digests"].values)), type=DIGESTS),
        lists(ends, arrow(fact_keys(facts))),
        arrow(np.diff(characters).astype(np.int32)),
        turns,
        arrow(pair.astype(np.int8)),
        lists(mapped(content["partners"].offsets), arrow(seed_keys(content["partners"].values))),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=KEYS)
