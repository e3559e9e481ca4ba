"""Files of rows by bucket: each row is in the bucket of its hash, whichever file it came in, and in its place."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from factory.seeds.buckets import packed, part

SCHEMA = pa.schema([("by", pa.string()), ("text", pa.string())])


def rows_of(content: pa.Buffer, buckets: int) -> list[list[dict[str, str]]]:
    found = [part(pa.BufferReader(content), bucket) for bucket in range(buckets)]
    return [[] if table is None else table.to_pylist() for table in found]


@given(
    st.lists(st.lists(st.tuples(st.text(max_size=3), st.text()), min_size=1), min_size=1, max_size=4), st.integers(1, 9)
)
def test_every_row_is_in_the_bucket_of_its_key_in_order(batches: list[list[tuple[str, str]]], buckets: int) -> None:
    rows = [[{"by": by, "text": text} for by, text in batch] for batch in batches]
    content = packed([pa.RecordBatch.from_pylist(batch, SCHEMA) for batch in rows], SCHEMA, "by", buckets)
    found = rows_of(content, buckets)
    given_rows = [row for batch in rows for row in batch]
    for key in {row["by"] for row in given_rows}:
        (bucket,) = [bucket for bucket in found if any(row["by"] == key for row in bucket)]
        assert [row for row in bucket if row["by"] == key] == [row for row in given_rows if row["by"] == key]
    assert sum(map(len, found)) == len(given_rows)
    again = packed([pa.RecordBatch.from_pylist(batch, SCHEMA) for batch in rows], SCHEMA, "by", buckets)
    assert again.equals(content)
