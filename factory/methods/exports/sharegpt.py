"""ShareGPT: a dialogue as turns of `human` and `gpt`, from either side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from factory.methods.exports import NOT_ALTERNATING, ExportFormat, Record, Source
from factory.store.records import Row

_FROM = {"user": "human", "assistant": "gpt"}
_SAID = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))


class ShareGpt(ExportFormat):
    """The dialogue from either side: its persona as `system`, its turns as those of `gpt`.

    The texts are the very ones of generation, as in `chat`. Turns begin with `human` and end with `gpt`, as its readers
    demand. Read by LLaMA-Factory (arXiv 2403.13372) with `formatting: sharegpt` and `system` among its columns, and by
    Axolotl with `field_messages: conversations`, `message_property_mappings: {role: from, content: value}` and
    `field_system: system`.

    >>> from factory.methods.example import dialogue, records
    >>> one, other = records(ShareGpt, [dialogue()])
    >>> one["conversations"]
    [{'from': 'human', 'value': 'Hi! Do you ski?'}, {'from': 'gpt', 'value': 'I sew.'}]
    >>> "I work at night." in one["system"], other["conversations"][-1]
    (True, {'from': 'gpt', 'value': 'Nice, I ski a lot.'})
    """

    name = "sharegpt"
    schema = pa.schema([("conversations", _SAID), ("system", pa.string()), ("row_id", pa.string())])

    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """One record a side."""
        for row in rows:
            sides = source.sides(row)
            if not sides:
                source.leave_out(NOT_ALTERNATING)
            for system, *said in sides:
                yield {
                    "conversations": [{"from": _FROM[one["role"]], "value": one["content"]} for one in said],
                    "system": system["content"],
                    "row_id": row.row_id,
                }
