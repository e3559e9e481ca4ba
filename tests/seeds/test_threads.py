"""Dialogues out of comments: hand-drawn shapes exactly, and what holds of any trees."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.base.arrays import arrow, texts
from factory.seeds.comments import COMMENTS
from factory.seeds.plain_dialogues import DIALOGUES
from factory.seeds.threads import PERSONAS, dialogues, personas
from tests.planted_threads import SHAPES

Comment = tuple[str, str | None, str]
"""Id, parent and author; it says its id."""


def table(comments: list[Comment], link: str = "t3_x") -> pa.RecordBatch:
    ids, parents, authors = (texts([one[place] for one in comments]) for place in range(3))
    return pa.RecordBatch.from_arrays(
        [texts([link] * len(comments)), ids, parents, authors, ids], schema=COMMENTS["thread"]
    )


def rebuilt(comments: pa.RecordBatch, depth: int = 10) -> tuple[list[dict[str, Any]], Counter[str]]:
    counts = Counter[str]()
    batches = list(dialogues(comments, depth, counts))
    assert all(batch.schema == DIALOGUES for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()], counts


def said(rows: list[dict[str, Any]]) -> list[list[list[str]]]:
    return [[turn["text"].split() for turn in row["turns"]] for row in rows]


@pytest.mark.parametrize(
    "name", [name for name, shape in SHAPES.items() if not (shape.gone or shape.long or shape.short)]
)
@pytest.mark.parametrize("order", ["given", "shuffled"])
def test_shapes_hold_the_dialogues_that_are_drawn_with_them(name: str, order: str) -> None:
    shape = SHAPES[name]
    comments = [
        (f"{n:02}", parent if parent is None else f"{parent:02}", who) for n, (who, parent) in enumerate(shape.comments)
    ]
    if order == "shuffled":
        random.Random(1).shuffle(comments)
    rows, counts = rebuilt(table(comments))
    wanted = [[[f"{place:02}" for place in turn] for turn in told] for told in shape.dialogues]
    assert sorted(said(rows)) == sorted(wanted)
    used = {place for told in wanted for turn in told for place in turn}
    assert (counts["used"], counts["alone"]) == (len(used), len(comments) - len(used))
    for row in rows:
        authors = [shape.comments[int(turn["text"][:2])][0] for turn in row["turns"]]
        assert [row["speakers"][turn["speaker"]]["id"] for turn in row["turns"]] == authors
        assert row["id"] == f"t3_x/{row['turns'][-1]['text'][-2:]}"
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


@st.composite
def forests(draw: st.DrawFn) -> list[Comment]:
    size = draw(st.integers(1, 40))
    parents = [draw(st.integers(-1, n - 1)) for n in range(size)]
    comments = [
        (f"{n:02}", None if parent < 0 else f"{parent:02}", draw(st.sampled_from("ABC")))
        for n, parent in enumerate(parents)
    ]
    return draw(st.permutations(comments))


@given(forests(), st.integers(1, 5))
def test_no_answer_to_another_is_lost_and_every_dialogue_is_a_path_of_two(comments: list[Comment], depth: int) -> None:
    rows, counts = rebuilt(table(comments), depth)
    parent, author = {one[0]: one[1] for one in comments}, {one[0]: one[2] for one in comments}
    paths = [[place for turn in told for place in turn] for told in said(rows)]
    answers = {(above, below) for path in paths for above, below in zip(path, path[1:], strict=False)}
    for path, told in zip(paths, said(rows), strict=True):
        assert all(parent[below] == above for above, below in zip(path, path[1:], strict=False))
        assert len(path) <= depth + 1
        who = [{author[place] for place in turn} for turn in told]
        assert all(len(one) == 1 for one in who)
        assert all(one != other for one, other in zip(who, who[1:], strict=False))
        assert len(set.union(*who)) == 2
    for below, above in parent.items():
        if above is not None and author[above] != author[below]:
            assert (above, below) in answers
    for path in paths:
        assert not any(other is not path and other[: len(path)] == path for other in paths)
    used = {place for path in paths for place in path}
    assert (counts["used"], counts["alone"]) == (len(used), len(comments) - len(used))


def test_a_repeated_comment_counts_once_and_threads_are_kept_apart() -> None:
    first, other = table([("1", None, "A"), ("2", "1", "B")]), table([("1", None, "C"), ("2", "1", "D")], "t3_y")
    both = pa.Table.from_batches([first, other, first]).combine_chunks().to_batches()[0]
    rows, counts = rebuilt(both)
    assert [(row["id"], [one["id"] for one in row["speakers"]]) for row in rows] == [
        ("t3_x/2", ["A", "B"]),
        ("t3_y/2", ["C", "D"]),
    ]
    assert counts["repeated"] == 2


def test_comments_that_answer_each_other_in_a_circle_are_left_alone() -> None:
    rows, counts = rebuilt(
        table([("1", "2", "A"), ("2", "1", "B"), ("3", "3", "A"), ("4", None, "A"), ("5", "4", "B")])
    )
    assert (said(rows), counts["alone"]) == ([[["4"], ["5"]]], 3)


def test_a_dialogue_with_a_turn_that_no_seed_may_have_is_left_out() -> None:
    comments = table([("1", None, "A"), ("2", "1", "A"), ("3", "2", "B"), ("4", None, "A"), ("5", "4", "B")])
    bodies = texts(["x" * 3000] * 3 + ["I ski.", "So do I."])
    comments = comments.set_column(4, COMMENTS["thread"].field("body"), bodies)
    rows, counts = rebuilt(comments)
    assert [row["id"] for row in rows] == ["t3_x/5"]
    assert counts["too_long_turns"] == 1


def test_a_long_chain_takes_no_recursion() -> None:
    size = 3000
    rows, counts = rebuilt(table([(f"{n}", f"{n - 1}" if n else None, "AB"[n % 2]) for n in range(size)]))
    assert len(rows) == -(-(size - 1) // 10)
    assert counts["used"] == size


def test_a_persona_of_each_author_in_the_order_of_time() -> None:
    told = [
        ("B", "1", 5, "I ski."),
        ("A", "2", 9, "I cook."),
        ("B", "3", 1, "I sew."),
        ("B", "4", 7, "I ski."),
        ("B", "3", 1, "x"),
    ]
    columns = [texts([one[0] for one in told]), texts([one[1] for one in told]),
               arrow(np.array([one[2] for one in told], np.int64)), texts([one[3] for one in told])]  # fmt: skip
    counts = Counter[str]()
    (batch,) = personas(pa.RecordBatch.from_arrays(columns, schema=COMMENTS["author"]), counts)
    assert batch.schema == PERSONAS
    assert batch.to_pylist() == [{"id": "A", "facts": ["I cook."]}, {"id": "B", "facts": ["I sew.", "I ski."]}]
    assert +counts == {"repeated": 2, "used": 3}


def test_of_many_posts_the_newest_are_kept() -> None:
    size = 250
    columns = [
        texts(["A"] * size),
        texts([f"{n}" for n in range(size)]),
        arrow(np.arange(size)),
        texts([f"I am {n}." for n in range(size)]),
    ]
    counts = Counter[str]()
    (batch,) = personas(pa.RecordBatch.from_arrays(columns, schema=COMMENTS["author"]), counts)
    assert batch["facts"].to_pylist() == [[f"I am {n}." for n in range(50, 250)]]
    assert +counts == {"older": 50, "used": 200}
