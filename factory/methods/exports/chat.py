"""Chat: a dialogue as messages, from either side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from factory.methods.exports import MESSAGES, NOT_ALTERNATING, ExportFormat, Record, Source
from factory.store.records import Row


class Chat(ExportFormat):
    """The dialogue from either side: its persona in the system prompt, its turns as the assistant's.

    The prompts are the very ones of generation; behind the last turn of a dialogue that a speaker ended stands [END].
    Read by TRL's SFTTrainer with `assistant_only_loss`, and by whatever takes `messages` with roles. Source:
    TransferTransfo (arXiv 1901.08149) trains so, with the persona in front of the dialogue.

    >>> from factory.methods.example import dialogue, records
    >>> one, other = records(Chat, [dialogue()])
    >>> [message["content"] for message in one["messages"] if message["role"] != "system"]
    ['Hi! Do you ski?', 'I sew.']
    >>> other["messages"][-1]
    {'role': 'assistant', 'content': 'Nice, I ski a lot.'}
    """

    name = "chat"
    schema = pa.schema(
        [
            ("messages", MESSAGES),
            ("row_id", pa.string()),
            ("speaker", pa.int64()),
            ("speaker_id", pa.string()),
            ("addressee_id", pa.string()),
        ]
    )

    def records(self, rows: Sequence[Row], source: Source) -> Iterator[Record]:
        """One record a side."""
        for row in rows:
            sides = source.sides(row)
            if not sides:
                source.leave_out(NOT_ALTERNATING)
            for number, messages in enumerate(sides, len(row.turns) - len(sides)):
                yield {
                    "messages": list(messages),
                    "row_id": row.row_id,
                    "speaker": number % 2,
                    "speaker_id": row.speakers[number % 2].id,
                    "addressee_id": row.speakers[(number + 1) % 2].id,
                }
