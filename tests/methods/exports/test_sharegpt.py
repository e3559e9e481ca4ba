from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from factory.methods.example import dialogue, records
from factory.methods.exports import NOT_ALTERNATING, Source
from factory.methods.exports.chat import Chat
from factory.methods.exports.sharegpt import ShareGpt
from factory.store.records import Turn


@given(st.lists(st.text(min_size=1), min_size=2, max_size=7))
def test_turns_alternate_from_human_to_gpt_as_readers_demand(texts: list[str]) -> None:
    row = dialogue()
    row.turns = [Turn(number % 2, text) for number, text in enumerate(texts)]
    found = records(ShareGpt, [row])
    assert len(found) == 2
    for record in found:
        senders = [said["from"] for said in record["conversations"]]
        assert senders == ["human", "gpt"] * (len(senders) // 2)
    assert {record["conversations"][-1]["value"] for record in found} == set(texts[-2:])


def test_it_says_what_chat_says() -> None:
    rows = [dialogue(number) for number in range(3)]
    for one, other in zip(records(ShareGpt, rows), records(Chat, rows), strict=True):
        said = [one["system"], *(turn["value"] for turn in one["conversations"])]
        assert said == [message["content"] for message in other["messages"]]
        assert one["row_id"] == other["row_id"]


def test_speakers_who_do_not_alternate_are_left_out_and_counted() -> None:
    row, source = dialogue(), Source()
    row.turns[1].speaker = 0
    assert list(ShareGpt(ShareGpt.Params()).records([row, dialogue()], source))[0]["row_id"] == dialogue().row_id
    assert source.left_out == {NOT_ALTERNATING: 1}
