"""Rows in the shapes that others publish come out as seeds, and what is wrong in them is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.seeds.fields import SeedFields
from factory.seeds.foreign import DIALOGUES
from factory.seeds.shapes import rows_of
from factory.seeds.source import BadSeed, SeedSource
from factory.seeds.speakers import SpeakerReader
from factory.seeds.store import Seeds
from factory.store.records import Seed
from factory.store.storage import Storage
from tests.reading import outcome, read, read_bytes

LOCOMO = Path(__file__).parents[3] / "shared" / "data" / "dialogues" / "locomo10.json"
SAID = ((0, "Busy on the river today?"), (1, "Always. I pilot the ferry."), (0, "I bake by the pier."))
FACTS = (("I bake bread.",), ("I pilot a ferry.", "I get up early."))


def chat(label: str, text: str, *names: str, **others: object) -> list[dict[str, object]]:
    """SAID as messages, by these names of labels and under these keys."""
    return [{label: names[number], text: said, **others} for number, said in SAID]


SHAPES: dict[str, tuple[dict[str, object], tuple[str | None, ...], tuple[tuple[str, ...], ...]]] = {
    "ShareGPT": ({"conversations": chat("from", "value", "human", "gpt")}, ("human", "gpt"), ((), ())),
    "ShareGPT with weights": (
        {"conversations": chat("from", "value", "human", "gpt", weight=1), "source": "web"}, ("human", "gpt"), ((), ())
    ),
    "ShareGPT with a system prompt": (
        {"conversation": [{"from": "system", "value": "Be kind."}, *chat("from", "value", "user", "bing")]},
        ("user", "bing"), ((), ()),
    ),
    "OpenAI": ({"messages": chat("role", "content", "user", "assistant")}, ("user", "assistant"), ((), ())),
    "OpenAI in parts": (
        {"messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            *({"role": ("user", "assistant")[n], "content": [{"type": "text", "text": t}], "tool_calls": None}
              for n, t in SAID),
        ]},
        ("user", "assistant"), ((), ()),
    ),
    "DailyDialog": ({"dialog": [text for _, text in SAID], "act": [2, 1, 1]}, (), ((), ())),
    "DailyDialog by name": ({"utterances": chat("speaker", "utterance", "Bea", "Pia")}, ("Bea", "Pia"), ((), ())),
    "SODA": (
        {"dialogue": [text for _, text in SAID], "speakers": ["Bea", "Pia", "Bea"]}, ("Bea", "Pia"), ((), ())
    ),
    "MSC of Hugging Face": (
        {"dialogue": [text for _, text in SAID], "speaker": ["Speaker 1", "Speaker 2", "Speaker 1"],
         "persona1": list(FACTS[0]), "persona2": list(FACTS[1])},
        ("Speaker 1", "Speaker 2"), FACTS,
    ),
    "MSC where the second begins": (
        {"dialog": chat("id", "text", "Speaker 2", "Speaker 1"), "personas": [list(FACTS[1]), list(FACTS[0])]},
        ("Speaker 2", "Speaker 1"), FACTS,
    ),
    "Blended Skill Talk": (
        {"personas": [list(facts) for facts in FACTS], "dialog": [[n, text] for n, text in SAID], "suggestions": {}},
        (), FACTS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonl", "array", "parquet"])
@pytest.mark.parametrize(("row", "names", "personas"), SHAPES.values(), ids=list(SHAPES))
def test_shapes(
    tmp_path: Path,
    row: dict[str, object],
    names: tuple[str | None, ...],
    personas: tuple[tuple[str, ...], ...],
    kind: str,
) -> None:
    row = {"id": 7, **row}
    if kind == "parquet":
        if "suggestions" in row:  # Arrow has no list of a number and a text
            row["dialog"] = [[str(number), text] for number, text in SAID]
            names = ("0", "1")
            del row["suggestions"]
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "d.parquet")
        (seed,) = read(tmp_path, "d.parquet")
    else:
        text = json.dumps([row], indent=1) if kind == "array" else json.dumps(row)
        (seed,) = read_bytes(tmp_path, "d.json", text.encode())
    assert isinstance(seed, Seed), seed
    assert (seed.id, seed.turns, seed.personas) == ("7", SAID, personas)
    assert tuple(speaker.name for speaker in seed.speakers) == names
    assert all(speaker.id in (None, "Bea", "Pia") for speaker in seed.speakers)


def test_turns_of_one_speaker_in_a_row_stay_apart(tmp_path: Path) -> None:
    talk = [*chat("from", "value", "human", "gpt"), {"from": "human", "value": "Come by."}]
    (seed,) = read_bytes(tmp_path, "d.jsonl", json.dumps({"conversations": talk}).encode())
    assert seed.turns == (*SAID, (0, "Come by."))


def told(folder: Path, row: dict[str, object], **fields: Any) -> list[str]:
    (folder / "d.jsonl").write_text(json.dumps(row))
    source = SeedSource(path="d.jsonl", fields=SeedFields(**fields))
    return Seeds([source], folder, Storage(str(folder / "c")), max_bad=9).unkept


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    talk = [{"from": "system", "value": "Be kind."}, *chat("from", "value", "human", "gpt", weight=1)]
    assert told(tmp_path, {"conversations": talk, "system": "Be kind."}) == [
        "d.jsonl: not kept: 'conversations[].system', 'system' (a system prompt is no turn); 'turns[].weight' (of a "
        "turn, the speaker and the text are kept)"
    ]
    assert told(tmp_path, {"conversations": talk}, attributes=[]) == []


WRONG: list[tuple[str, dict[str, object], str, str]] = [
    ("null content", {"messages": [*chat("role", "content", "user", "assistant"), {"role": "user", "content": None}]},
     "missing_field", "entry 4 of 'messages' has no text"),
    ("no speaker", {"dialog": [{"text": "Hi."}, {"text": "Hello."}]}, "missing_field", "entry 1 of 'dialog' has no sp"),
    ("a third role", {"messages": [*chat("role", "content", "user", "assistant"), {"role": "critic", "content": "Hm"}]},
     "speakers", "3 speakers"),
    ("one speaker", {"conversations": chat("from", "value", "human", "human")}, "speakers", "1 speakers"),
    ("a tool", {"conversations": [*chat("from", "value", "human", "gpt"), {"from": "observation", "value": "{}"}]},
     "speakers", "entry 4 of 'conversations' is of a tool"),
    ("a tool call", {"messages": chat("role", "content", "user", "assistant", tool_calls=[{"id": "c1"}])},
     "speakers", "entry 1 of 'messages' is of a tool, or calls one"),
    ("a picture", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
     "wrong_type", "a part that is no text: image_url"),
    ("a label a list", {"messages": [{"role": [], "content": "Hi."}, {"role": {}, "content": "Oh."}]},
     "wrong_type", "the speaker of turn 1"),
    ("a number", {"dialog": ["Hi.", 5]}, "wrong_type", "entry 2 of 'dialog' should be an object or a string, not int"),
    ("text empty", {"dialog": ["Hi.", " "]}, "empty", "turn 2 has no text"),
    ("nothing said", {"utterances": []}, "speakers", "0 turns"),
    ("labels too few", {"dialogue": ["Hi.", "Oh."], "speaker": ["A"]}, "speakers", "1 labels in 'speaker' for 2 texts"),
    ("only a system prompt", {"messages": [{"role": "system", "content": "Be kind."}]}, "speakers", "0 turns"),
    ("a dialogue in a text", {"dialog": "A: Hi.\nB: Oh."}, "missing_field", "in 'dialog', but not as a list"),
    ("chats to compare", {"chosen": [], "rejected": []}, "missing_field", "a preference pair"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "reason", "detail"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_what_is_wrong_costs_itself_only(tmp_path: Path, row: dict[str, object], reason: str, detail: str) -> None:
    good = json.dumps({"dialog": [text for _, text in SAID]})
    items = read_bytes(tmp_path, "d.jsonl", f"{good}\n{json.dumps(row)}\n{good[:-1]} }}\n".encode())
    assert outcome(items)[:2] == [(1, ""), (2, reason)]
    assert detail in items[1].detail


def test_a_row_of_our_own_is_left_as_it_is(tmp_path: Path) -> None:
    talk = chat("from", "value", "human", "gpt")
    (seed,) = read_bytes(tmp_path, "d.jsonl", json.dumps({"turns": ["Hi.", "Hello."], "conversations": talk}).encode())
    assert seed.turns == ((0, "Hi."), (1, "Hello."))
    (seed,) = read_bytes(tmp_path, "d.jsonl", json.dumps({"persona": "I ski.", "dialog": ["Hi.", "Oh."]}).encode())
    assert (seed.turns, seed.speakers[0].attributes) == ((), {"dialog": '["Hi.","Oh."]'})


def test_columns_that_fields_name(tmp_path: Path) -> None:
    talk = [{"author": name, "role": "user", "content": "Hi."} for name in ("t2_x", "t2_y")]
    row = json.dumps({"key": "k", "messages": talk})
    (seed,) = read_bytes(tmp_path, "d.jsonl", row.encode(), id="key", speaker="author")
    assert (seed.id, [speaker.id for speaker in seed.speakers]) == ("k", ["t2_x", "t2_y"])
    pq.write_table(pa.Table.from_pylist([json.loads(row)]), tmp_path / "d.parquet")
    (seed,) = read(tmp_path, "d.parquet", id="key", speaker="author", attributes=[])
    assert seed.turns == ((0, "Hi."), (1, "Hi."))


def test_sessions_are_dialogues_of_their_own(tmp_path: Path) -> None:
    session = [{"speaker": name, "text": "Hey!", "dia_id": f"D1:{n}"} for n, name in enumerate(("Caroline", "Mel"))]
    held = {"speaker_a": "Caroline", "speaker_b": "Mel", "session_1": session, "session_1_date_time": "8 May, 2023"}
    row = {"sample_id": "conv-26", "conversation": held | {"session_2": None, "session_3": session}, "qa": [1]}
    items = read_bytes(tmp_path, "d.json", json.dumps([row], indent=1).encode())
    assert outcome(items) == [(1, ""), (1, ""), (1, "wrong_type")]
    assert [item.id for item in items if isinstance(item, Seed)] == ["conv-26/session_1", "conv-26/session_3"]
    assert [speaker.id for speaker in items[0].speakers] == ["Caroline", "Mel"]
    assert items[2].detail == "'session_2' should be a list, not NoneType"
    (said,) = told(tmp_path, row)
    for name in ("'qa'", "'session_date_time'", "'turns[].dia_id'"):
        assert name in said


@pytest.mark.skipif(not LOCOMO.is_file(), reason="the public data files are not beside the repository")
def test_locomo() -> None:
    items = read(LOCOMO.parent, LOCOMO.name)
    assert len({item.id for item in items if isinstance(item, Seed)}) == len(items) == 272
    assert sum(len(item.turns) for item in items) == 5_882


def test_personas_of_personahub(tmp_path: Path) -> None:
    row = {"input persona": "A ferry pilot who bakes.", "synthesized text": "A tale.", "description": "npc"}
    (seed,) = read_bytes(tmp_path, "p.jsonl", json.dumps(row).encode())
    assert seed.personas == (("A ferry pilot who bakes.",),)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text("a1{", max_size=3)
    | st.sampled_from(["system", "tool", "bing"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["from", "value", "text", "session_1", "type", "name", "first_mes"]), inner)
    ),
    max_leaves=8,
)
COLUMNS = st.sampled_from([*DIALOGUES, "speaker", "speakers", "personas", "persona1", "system", "data", "spec", "name",
                           "first_mes", "description", "char_persona", "sample_id", "id"])  # fmt: skip


@given(st.dictionaries(COLUMNS, VALUES, max_size=4))
def test_any_row_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, row: dict[str, object]) -> None:
    fields = SeedFields()
    assert rows_of(row, fields, SpeakerReader(fields, cells=False)) or "conversation" in row
    for item in read_bytes(tmp_path_factory.getbasetemp(), "any.jsonl", json.dumps(row).encode()):
        assert isinstance(item, Seed) or (isinstance(item, BadSeed) and item.detail)
