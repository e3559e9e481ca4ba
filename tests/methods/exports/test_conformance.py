"""What holds of every export that is found: its schema, its options, its docstring."""

from __future__ import annotations

import doctest
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from factory.cli import app
from factory.export import ExportError, export, formats, schema_of
from factory.methods.example import dialogue, records
from factory.methods.exports import TAKEN, ExportFormat, Source
from factory.methods.registry import found as methods
from factory.store.records import ROW_SCHEMA

ALL = list(formats().values())
every_export = pytest.mark.parametrize("format_", ALL, ids=formats())


def ways(format_: type[ExportFormat]) -> Iterator[ExportFormat]:
    """The export with its defaults, and with each value of each option that has a list of them."""
    yield format_(format_.Params())
    for name, schema in format_.Params.model_json_schema().get("properties", {}).items():
        for value in schema.get("enum", ()):
            yield format_(format_.Params.model_validate({name: value}))


def rows_for(made: ExportFormat) -> list[list]:  # type: ignore[type-arg]
    """What it is shown: some dialogues, or two of one slot that part."""
    if not made.by_slot:
        return [[dialogue(number) for number in range(21)]]
    better, worse = dialogue(), dialogue()
    worse.row_id, worse.sample, worse.turns[1].text = "worse", 1, "I do not sew."
    worse.scores["consistency"] |= {"apc": 0.1, "entailed_share": 0.0}
    return [[better, worse]]


@every_export
def test_its_records_are_what_its_schema_declares(format_: type[ExportFormat]) -> None:
    tried = 0
    for made in ways(format_):
        assert isinstance(made.schema, pa.Schema)
        if made.needs:  # asked with real models in tests/export
            continue
        for rows in rows_for(made):
            assert [made.unfit(row) for row in rows] == [None] * len(rows)
            found = list(made.records(rows, Source()))
            assert found
            for record in found:
                assert list(record.keys() ^ set(made.schema.names)) == []
            assert len(made.table(found)) == len(found)
        tried += 1
    assert tried


@every_export
def test_it_reads_columns_that_rows_have_and_asks_scorers_by_their_roles(format_: type[ExportFormat]) -> None:
    for made in ways(format_):
        assert {column.partition(".")[0] for column in made.columns} <= {*ROW_SCHEMA.names, *methods("scores")}
        assert made.needs <= {"nli", "embedding"}


@every_export
def test_a_row_that_lacks_what_it_reads_is_left_out_and_breaks_nothing(format_: type[ExportFormat]) -> None:
    bare = dialogue()
    bare.scores, bare.details, bare.extracted, bare.stages, bare.turns[2].candidates = {}, [], [], [], []
    made = format_(format_.Params())
    if made.unfit(bare) is None:
        made.table(list(made.records([bare], Source())))


@every_export
def test_the_example_of_its_docstring_works(format_: type[ExportFormat]) -> None:
    module = sys.modules[format_.__module__]
    examples = doctest.DocTestFinder(recurse=False).find(format_, format_.name, module, vars(module).copy())
    (found,) = (one for one in examples if one.examples)
    assert doctest.DocTestRunner().run(found).failed == 0


@every_export
def test_it_says_who_reads_it_and_where_it_is_from(format_: type[ExportFormat]) -> None:
    said = inspect.getdoc(format_) or ""
    assert "Read by" in said
    assert "arXiv" in said or "NeurIPS" in said


@every_export
def test_an_unknown_option_is_refused_with_those_it_has(format_: type[ExportFormat]) -> None:
    with pytest.raises(ExportError, match=f"{format_.name} knows no `nonsense`; it has ") as caught:
        schema_of(format_.name, nonsense=1)
    assert all(f"`{name}`" in str(caught.value) for name in format_.Params.model_fields)
    with pytest.raises(ValidationError):
        format_.Params.model_validate({"nonsense": 1})


def test_the_table_of_formats_says_what_is_declared() -> None:
    text = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
    lines = re.findall(
        r"^\| `(\w+)` \| (.*) \| .* \|$", text.split("\n## Exports\n")[1].split("\n## ")[0], re.MULTILINE
    )
    assert lines
    for name, said in lines:
        schema = schema_of(name)
        assert set(re.findall(r"`(\w+)`", said)) <= set(schema.names)
        assert all(int(count) == len(schema) for count in re.findall(r"(\d+) flat columns", said))


def test_a_record_that_does_not_fit_is_refused() -> None:
    class Wrong(ExportFormat):
        name = "wrong"
        schema = pa.schema([("turns", pa.int64())])

        def records(self, rows, source):  # type: ignore[no-untyped-def]
            yield self.params

    def making(record: object) -> list[dict[str, object]]:
        return list(Wrong(record).records([], Source()))

    for record, why in (
        ({"turns": "two"}, "does not fit its schema"),
        ({"turn": 2}, "has turn, which its schema lacks"),
    ):
        with pytest.raises(ExportError, match=f"wrong: a record {why}"):
            Wrong(record).table(making(record))


def test_no_export_can_take_what_all_are_asked_for_by() -> None:
    common = {name for name in inspect.signature(export).parameters if name != "options"}
    (command,) = (one for one in app.registered_commands if one.callback and one.callback.__name__ == "export")
    assert command.callback
    typed = set(inspect.signature(command.callback).parameters) - {"context", "as_json"}
    assert common | typed | {"as", "json", "help"} <= TAKEN


def test_records_are_tried_with_options() -> None:
    preference = formats()["preference"]
    assert "chosen_diversity" in records(preference, [dialogue()], by="divpo")[0]
