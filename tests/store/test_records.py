from __future__ import annotations

import dataclasses
import types
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.store.dead_letters import DEAD_LETTER_SCHEMA, DeadLetter, dead_letters_from_table, dead_letters_to_table
from factory.store.records import ROW_SCHEMA, Attribute, Row, joined, row_id, rows_from_table, rows_to_table

SCALARS = {str: pa.types.is_string, int: pa.types.is_integer, float: pa.types.is_floating, bool: pa.types.is_boolean}


def disagreements(hint: Any, kind: pa.DataType, path: str) -> list[str]:
    """Where a type hint and an Arrow type do not say the same."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (hint,) = [arg for arg in args if arg is not types.NoneType]
        return disagreements(hint, kind, path)
    if origin is Literal:
        hint = str
    if origin is list:
        return disagreements(args[0], kind.value_type, f"{path}[]") if pa.types.is_list(kind) else [path]
    if hint == dict[str, str]:
        return disagreements(list[Attribute], kind, path)
    if dataclasses.is_dataclass(hint):
        if not pa.types.is_struct(kind):
            return [path]
        return fields_disagree(hint, [kind.field(number) for number in range(kind.num_fields)], path)
    if hint is datetime:
        return [] if kind == pa.timestamp("us", tz="UTC") else [path]
    return [] if SCALARS[hint](kind) else [path]


def fields_disagree(record: Any, columns: list[pa.Field], path: str = "") -> list[str]:
    hints = get_type_hints(record)
    hints.pop("scores", None)  # in a table each has a column of its own
    if list(hints) != [column.name for column in columns]:
        return [f"{path}: {list(hints)} against {[column.name for column in columns]}"]
    return [
        problem
        for column in columns
        for problem in disagreements(hints[column.name], column.type, f"{path}.{column.name}")
    ]


@pytest.mark.parametrize(("record", "schema"), [(Row, ROW_SCHEMA), (DeadLetter, DEAD_LETTER_SCHEMA)])
def test_records_and_schemas_agree_field_by_field(record: type, schema: pa.Schema) -> None:
    assert fields_disagree(record, list(schema)) == []


# Any value that the type of a field allows; an int fits 32 bits, a float is what float32 can hold.
st.register_type_strategy(int, st.integers(-(2**31), 2**31 - 1))
st.register_type_strategy(float, st.floats(width=32, allow_nan=False))
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
COLUMNS = {
    "fluency": pa.struct([("share", pa.float64()), ("words", pa.int32()), ("language", pa.string())]),
    "screen": pa.struct([("safe", pa.bool_())]),
}
SCORES = st.fixed_dictionaries(
    {},
    optional={
        "fluency": st.fixed_dictionaries(
            {
                "share": st.none() | st.floats(allow_nan=False),
                "words": st.none() | st.from_type(int),
                "language": st.none() | st.text(),
            }
        ),
        "screen": st.fixed_dictionaries({"safe": st.none() | st.booleans()}),
    },
)
ROWS = st.lists(st.builds(Row, scores=SCORES), max_size=2)


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_rows_come_back_as_they_were(rows: list[Row]) -> None:
    table = rows_to_table(rows, COLUMNS)
    assert table.schema == pa.schema([*ROW_SCHEMA, *(pa.field(name, kind) for name, kind in COLUMNS.items())])
    assert rows_from_table(table) == rows


def test_a_field_never_leaves_a_column() -> None:
    wider = {"fluency": pa.struct([("words", pa.int32()), ("turns", pa.int32())])}
    found = joined(COLUMNS, wider)
    assert found["screen"] == COLUMNS["screen"]
    assert [one.name for one in found["fluency"]] == ["share", "words", "language", "turns"]
    assert joined(found, COLUMNS) == found


@settings(max_examples=20, deadline=None)
@given(st.lists(st.from_type(DeadLetter), max_size=3))
def test_dead_letters_come_back_as_they_were(letters: list[DeadLetter]) -> None:
    table = dead_letters_to_table(letters)
    assert table.schema == DEAD_LETTER_SCHEMA
    assert dead_letters_from_table(table) == letters


def test_a_bare_row_has_the_same_types_as_a_full_one() -> None:
    bare = Row("r", "generated", 0, [], [])
    assert rows_to_table([bare], {}).schema == rows_to_table([], {}).schema == ROW_SCHEMA
    assert rows_from_table(rows_to_table([bare], {})) == [bare]


@settings(deadline=None)
@given(st.floats(0, 1))
def test_a_share_that_select_compares_is_stored_as_it_was_computed(share: float) -> None:
    row = Row("r", "generated", 0, [], [], scores={"fluency": {"share": share, "words": 1, "language": None}})
    assert rows_from_table(rows_to_table([row], COLUMNS)) == [row]


def test_what_does_not_fit_its_column_is_refused() -> None:
    with pytest.raises((pa.ArrowInvalid, OverflowError)):
        rows_to_table([Row("r", "generated", 2**40, [], [])], {})


@settings(deadline=None)
@given(st.lists(st.tuples(st.tuples(st.text(), st.text()), st.integers(0, 99)), unique=True, max_size=6))
def test_a_slot_is_its_seeds_in_order_and_its_sample(slots: list[tuple[tuple[str, str], int]]) -> None:
    assert len({row_id(seeds, sample) for seeds, sample in slots}) == len(slots)
    assert row_id(("a", "b"), 0) != row_id(("b", "a"), 0)
