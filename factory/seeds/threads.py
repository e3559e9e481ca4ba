"""Dialogues of two, out of the comments of threads: the linear paths of their trees.

A path goes from a comment down to its answers, at most ten of them (the depth of PolyAI's conversational data sets,
Henderson et al., arXiv 1904.06472). Consecutive comments of one author are one turn. Where a third author answers, or
a path has become too long, another dialogue begins with the turn that is answered, so that no answer is lost. A
dialogue that another one goes on from is not written; branches share the turns before them. A comment whose parent is
not there, as it was deleted, say, begins a path. Limitations: what a comment answers in other threads is not seen; of a
comment that is there twice, the first one counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.base.arrays import arrow, lists, mapped, offsets_of
from factory.base.fingerprint import Indices
from factory.seeds.plain_dialogues import DIALOGUES, SPEAKER, TURN
from factory.seeds.values import MAX_FACTS, MAX_TURN

PERSONAS = pa.schema([("id", pa.string()), ("facts", pa.list_(pa.string()))])

_AT_ONCE = 1 << 16
"""Dialogues that are laid out together."""
_NONE = -1


def _distinct(
    comments: pa.RecordBatch, of: str, besides: str, counts: Counter[str]
) -> tuple[pa.RecordBatch, pa.StringArray]:
    """The comments without those that repeat an earlier one, and what tells them apart, two of their fields."""
    keys = pc.binary_join_element_wise(comments[of], comments[besides], "/").dictionary_encode()
    codes = mapped(keys.indices)
    firsts = np.empty(len(keys.dictionary), np.int64)
    firsts[codes[::-1]] = np.arange(len(codes))[::-1]
    if len(firsts) < len(codes):
        counts["repeated"] += len(codes) - len(firsts)
        comments = comments.take(arrow(firsts))
    return comments, keys.dictionary


@dataclass(slots=True)
class _Paths:
    """By comment: its parent, or none; how many comments the path to it has, of how many the last turn so far, and
    the other author of the path, or none; and whether an answer goes on from it."""

    parent: Indices
    length: Indices
    run: Indices
    mate: Indices
    goes_on: NDArray[np.bool_]


def dialogues(comments: pa.RecordBatch, depth: int, counts: Counter[str]) -> Iterator[pa.RecordBatch]:
    """The dialogues (DIALOGUES) of whole threads, sorted by id: the thread's and that of the last comment. `counts` is
    told what becomes of the comments: repeated, alone (in no dialogue), used; how many of those were merged into the
    turn before; and how many paths were cut, by depth or since a third one spoke."""
    comments, keys = _distinct(comments, "link_id", "id", counts)
    author = mapped(comments["author"].dictionary_encode().indices)
    paths = _paths(_parents(comments, keys), author, depth, counts)
    ends = np.flatnonzero((paths.mate != _NONE) & ~paths.goes_on)
    ends = ends[mapped(pc.sort_indices(keys.take(arrow(ends)))).astype(np.int64)]
    used = np.zeros(len(comments), np.bool_)
    for start in range(0, len(ends), _AT_ONCE):
        yield _laid_out(comments, keys, author, paths, ends[start : start + _AT_ONCE], used, counts)
    counts["used"] += int(used.sum())
    counts["alone"] += len(used) - int(used.sum())


def _parents(comments: pa.RecordBatch, keys: pa.StringArray) -> Indices:
    """Where the parent of each comment stands, -1 for none."""
    wanted = pc.binary_join_element_wise(comments["link_id"], comments["parent_id"], "/")
    found = pc.index_in(wanted, value_set=keys)
    valid = mapped(found.is_valid().cast(pa.uint8())).astype(np.bool_)
    places = np.full(len(comments), _NONE, np.int64)
    places[valid] = mapped(found.drop_null())
    return places


def _paths(parent: Indices, author: Any, depth: int, counts: Counter[str]) -> _Paths:
    """The paths to all comments, those nearest to the tops first. Comments that answer each other in a circle have no
    top, and get none."""
    size = len(parent)
    paths = _Paths(
        parent, np.ones(size, np.int64), np.ones(size, np.int64), np.full(size, _NONE, np.int64), np.zeros(size, bool)
    )
    by_parent = np.argsort(parent, kind="stable")
    begins = np.searchsorted(parent[by_parent], np.arange(size + 1))
    answers = by_parent[begins[0] :]
    begins -= begins[0]
    level = np.flatnonzero(parent == _NONE)
    while len(level):
        count = begins[level + 1] - begins[level]
        above = np.repeat(level, count)
        places = np.arange(len(above)) - np.repeat(offsets_of(count)[:-1], count)
        level = answers[begins[above] + places]
        _extend(paths, author, above, level, depth, counts)
    return paths


def _extend(  # noqa: PLR0917 -- one step of `_paths`
    paths: _Paths, author: Any, above: Indices, below: Indices, depth: int, counts: Counter[str]
) -> None:
    """Go on from the paths to comments, `above`, to one answer each."""
    same = author[below] == author[above]
    two = same | (paths.mate[above] == _NONE) | (paths.mate[above] == author[below])
    fits = paths.length[above] <= depth
    further = two & fits
    counts["cut_by_depth"] += int((two & ~fits).sum())
    counts["cut_by_author"] += int((~two).sum())
    paths.goes_on[above[further]] = True
    # Where another dialogue begins, it does with the turn that is answered, unless its author goes on alone.
    taken = np.where(same, 0, np.minimum(paths.run[above], depth))
    paths.length[below] = 1 + np.where(further, paths.length[above], taken)
    paths.run[below] = 1 + np.where(further & same, paths.run[above], 0)
    paths.mate[below] = np.where(same, np.where(further, paths.mate[above], _NONE), author[above])


def _laid_out(  # noqa: PLR0917 -- one part of `dialogues`
    comments: pa.RecordBatch,
    keys: pa.StringArray,
    author: Any,
    paths: _Paths,
    ends: Indices,
    used: NDArray[np.bool_],
    counts: Counter[str],
) -> pa.RecordBatch:
    """The dialogues that end with these comments."""
    starts = offsets_of(paths.length[ends])
    said = np.empty(starts[-1], np.int64)  # the comments of all dialogues, in order
    place, begin, here = starts[1:] - 1, starts[:-1], ends
    while len(here):
        said[place] = here
        more = place > begin
        place, begin, here = place[more] - 1, begin[more], paths.parent[here[more]]
    used[said] = True
    new = np.ones(len(said), np.bool_)  # whether a turn begins with it
    new[1:] = author[said[1:]] != author[said[:-1]]
    new[starts[:-1]] = True
    counts["merged"] += len(said) - int(new.sum())
    turns = np.append(np.flatnonzero(new), len(said))
    text = comments["body"].take(arrow(said))
    if len(turns) - 1 < len(said):
        text = pc.binary_join(lists(turns, text), " ")
    first = said[starts[:-1]]
    dialogue = np.repeat(np.arange(len(ends)), np.diff(starts))[turns[:-1]]
    speaker = (author[said[turns[:-1]]] != author[first[dialogue]]).astype(np.int32)
    of_turns = np.searchsorted(turns[:-1], starts)
    seconds = said[turns[of_turns[:-1] + 1]]
    authors = comments["author"].take(arrow(np.stack([first, seconds], axis=1).ravel()))
    told = pa.StructArray.from_arrays([authors], fields=list(SPEAKER))
    columns = [
        keys.take(arrow(ends)),
        lists(of_turns, pa.StructArray.from_arrays([arrow(speaker), text], fields=list(TURN))),
        lists(2 * np.arange(len(ends) + 1), told),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=DIALOGUES)
    over = np.flatnonzero(mapped(pc.utf8_length(text)) > MAX_TURN)
    if not len(over):
        return batch
    counts["too_long_turns"] += len(np.unique(dialogue[over]))
    return batch.take(arrow(np.setdiff1d(np.arange(len(ends)), dialogue[over])))


def personas(comments: pa.RecordBatch, counts: Counter[str]) -> Iterator[pa.RecordBatch]:
    """A persona (PERSONAS) of each author, sorted by author: what they wrote, each text once, in the order of time; of
    more than a seed may hold, the newest. `counts` is told what becomes of the comments: repeated (an id, or a text of
    the same author), older, or used."""
    comments, _ = _distinct(comments, "author", "id", counts)
    told = [(name, "ascending") for name in ("author", "created_utc", "id")]
    comments = comments.take(pc.sort_indices(comments, sort_keys=told))
    comments, _ = _distinct(comments, "author", "body", counts)
    author = mapped(comments["author"].dictionary_encode().indices)
    ends = np.append(np.flatnonzero(np.diff(author)) + 1, len(author)) if len(author) else np.empty(0, np.int64)
    begins = offsets_of(np.diff(ends, prepend=0))
    newest = np.repeat(ends, np.diff(begins)) - np.arange(len(author)) <= MAX_FACTS
    counts["older"] += int((~newest).sum())
    counts["used"] += int(newest.sum())
    facts = comments["body"].filter(arrow(newest.view(np.uint8)).cast(pa.bool_()))
    held = np.minimum(np.diff(begins), MAX_FACTS)
    ids = comments["author"].take(arrow(begins[:-1]))
    yield pa.RecordBatch.from_arrays([ids, lists(offsets_of(held), facts)], schema=PERSONAS)
