"""Rows in the shapes that others publish, as the rows that `factory.seeds.source` reads.

A shape is told by its columns and what they hold: ShareGPT, chats of OpenAI's form, DailyDialog, Multi-Session Chat,
SODA, Synthetic-Persona-Chat, Blended Skill Talk, LoCoMo, and character cards. A row that has turns or a persona of its
own is none of them. Limitations: the columns have the names that those data sets gave them; a text that holds a whole
dialogue, as in many a CSV file, is not taken apart; whether a label is of a tool goes by a list.
"""

from __future__ import annotations

import re
from typing import Any

from factory.seeds import cards
from factory.seeds.fields import SeedFields
from factory.seeds.files import BadRow
from factory.seeds.foreign import DIALOGUES
from factory.seeds.formats import SPC_HEADER, spc_row
from factory.seeds.lines import FileRow
from factory.seeds.speakers import SpeakerReader
from factory.seeds.values import id_of, missing

_PAIRS = (
    ("persona1", "persona2"),
    ("persona_1", "persona_2"),
    ("persona 1", "persona 2"),
    ("persona_a", "persona_b"),
    ("user 1 personas", "user 2 personas"),
)
"""Columns of two personas who are to talk."""
PAIR_COLUMNS = tuple(name for pair in _PAIRS for name in pair)
COLUMNS = (
    *DIALOGUES,
    "speaker",
    *PAIR_COLUMNS,
    "system",
    "sample_id",
    SPC_HEADER[-1],
    *cards.COLUMNS,
)
"""Columns by which shapes are told or that they take, besides those that seeds have."""

_SPEAKER = ("speaker", "from", "role", "id")
_TEXT = ("text", "utterance", "content", "value")
_SYSTEM = frozenset({"system", "developer"})
_TOOLS = frozenset(
    {"tool", "tools", "function", "function_call", "function_response", "observation", "tool_call", "tool_response",
     "ipython"}
)  # fmt: skip
_CALLS = ("tool_calls", "function_call")
_MODELS = frozenset({"chatgpt", "bing", "bard"})
"""Labels of ShareGPT's that stand for a side, so for another person in each dialogue."""
_SESSION = re.compile(r"session_\d+")
_NO_TURN = "a system prompt is no turn"
_OF_CARD = "of a character card, the name, the description and the personality are kept"


def rows_of(row: FileRow, fields: SeedFields, speakers: SpeakerReader) -> list[FileRow | BadRow]:
    """The row itself, or what it says as rows of ours: several, where it holds several dialogues. What that leaves out
    is noted in `speakers`."""
    try:
        return _translated(row, fields, speakers)
    except BadRow as bad:
        return [bad]


def pair_of(row: FileRow) -> Any:
    """The two personas in a row that has no dialogue, as its `personas` hold them, and taken out of it; none if there
    are none."""
    if any(not missing(row.get(name)) for name in (*DIALOGUES, SPC_HEADER[-1])):
        return None
    if not missing(row.get("personas")):
        return row["personas"]
    names = next((pair for pair in _PAIRS if all(not missing(row.get(name)) for name in pair)), None)
    return None if names is None else [row.pop(name) for name in names]


def _translated(row: FileRow, fields: SeedFields, speakers: SpeakerReader) -> list[FileRow | BadRow]:
    if not missing(row.get("turns")) or any(not missing(row.get(name)) for name in fields.facts_columns):
        return [row]
    if card := cards.card_in(row):
        persona = cards.persona_of(card, row, fields)
        for name, value in card.items():
            if value and name not in persona and name not in cards.KEPT:
                speakers.leave_out(name, _OF_CARD)
        return [persona]
    if all(isinstance(row.get(name), str) for name in SPC_HEADER):
        others = {name: value for name, value in row.items() if name not in SPC_HEADER}
        return [others | spc_row(*(row[name] for name in SPC_HEADER))]
    for name in DIALOGUES:
        held = row.get(name)
        if isinstance(held, BadRow):
            raise held
        if isinstance(held, list):
            return [_dialogue(row, name, fields, speakers)]
        if isinstance(held, dict) and any(map(_SESSION.fullmatch, held)):
            return _sessions(row, name, fields, speakers)
    return [row]


def _sessions(row: FileRow, name: str, fields: SeedFields, speakers: SpeakerReader) -> list[FileRow | BadRow]:
    """A row of LoCoMo: a dialogue for each session."""
    held, key = row[name], fields.id or "id"
    others = {column: value for column, value in row.items() if column not in (name, "sample_id")}
    given = row.get("sample_id") if missing(row.get(key)) else row[key]
    found: list[FileRow | BadRow] = []
    for session in filter(_SESSION.fullmatch, held):
        told = {"session_date_time": held.get(f"{session}_date_time"), session: held[session]}
        try:
            known = {} if missing(given) else {key: f"{id_of(given, 'the id')}/{session}"}
            found.append(_dialogue(others | told | known, session, fields, speakers))
        except BadRow as bad:
            found.append(bad)
    return found


def _dialogue(row: FileRow, name: str, fields: SeedFields, speakers: SpeakerReader) -> FileRow:
    """The row, with the dialogue in a column as turns and personas in the order of its speakers."""
    made = dict(row)
    entries = _labelled(made, name)
    turns = []
    for number, entry in enumerate(entries, 1):
        turn = _turn(entry, f"entry {number} of {name!r}", fields.speaker_key)
        label = turn[fields.speaker_key] if isinstance(turn, dict) else None
        if str(label).casefold() in _SYSTEM:
            speakers.leave_out(f"{name}[].{label}", _NO_TURN)
        else:
            turns.append(turn)
    if not missing(made.pop("system", None)):
        speakers.leave_out("system", _NO_TURN)
    said = (turn[fields.speaker_key] for turn in turns if isinstance(turn, dict))
    labels = [label for label in dict.fromkeys(map(str, said)) if label]
    sides = [label for label in labels if label.casefold() in _MODELS]
    if sides and not fields.speaker and missing(made.get("speakers")):
        made["speakers"] = {label: {"id": None} for label in sides}
    one, two = made.pop("persona1", None), made.pop("persona2", None)
    if one is not None or two is not None:
        made["personas"] = [one or [], two or []]
    personas = made.get("personas")
    # Names are numbered as they first speak, but a persona is that of "Speaker 1", whoever begins.
    if (
        isinstance(personas, list)
        and len(personas) == len(labels) == 2
        and all(label[-1].isdigit() for label in labels)
    ):
        made["personas"] = dict(zip(sorted(labels), personas, strict=True))
    return made | {"turns": turns}


def _labelled(row: FileRow, name: str) -> list[Any]:
    """What is said, taken out of the row; texts with the labels of a column beside them, if there is one."""
    entries = row.pop(name)
    if not isinstance(entries, list):
        raise BadRow("wrong_type", f"{name!r} should be a list, not {type(entries).__name__}")
    for column in ("speaker", "speakers"):
        labels = row.get(column)
        if not isinstance(labels, list) or not all(isinstance(entry, str) for entry in entries):
            continue
        if len(labels) == len(entries):
            del row[column]
            return [{"speaker": label, "text": text} for label, text in zip(labels, entries, strict=True)]
        if column == "speaker":
            raise BadRow("speakers", f"{len(labels)} labels in 'speaker' for {len(entries)} texts in {name!r}")
    return entries


def _turn(entry: Any, what: str, key: str) -> FileRow | str:
    """A turn of an object, or of a pair of a label and a text; a text alone is one already. Raises BadRow."""
    if isinstance(entry, str):
        return entry
    if isinstance(entry, list) and len(entry) == 2:
        entry = {"speaker": entry[0], "text": entry[1]}
    if not isinstance(entry, dict):
        raise BadRow("wrong_type", f"{what} should be an object or a string, not {type(entry).__name__}")
    by = next((name for name in (key, *_SPEAKER) if entry.get(name) is not None), None)
    if by is None:
        raise BadRow("missing_field", f"{what} has no speaker: it is sought under {_listed(_SPEAKER)}")
    label = entry[by]
    if str(label).casefold() in _TOOLS or any(entry.get(call) for call in _CALLS):
        raise BadRow("speakers", f"{what} is of a tool, or calls one: a dialogue is of two who talk")
    said = next((name for name in _TEXT if entry.get(name) is not None), None)
    if said is None:
        raise BadRow("missing_field", f"{what} has no text: it is sought under {_listed(_TEXT)}")
    others = {name: value for name, value in entry.items() if name not in (by, said)}
    return others | {key: label, "text": _text(entry[said], what)}


def _text(value: Any, what: str) -> Any:
    """The text of a message, also of one in parts."""
    if not isinstance(value, list):
        return value
    for part in value:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise BadRow("wrong_type", f"{what} has a part that is no text: {str(kind)[:40]}")
    return "\n".join(part["text"] for part in value)


def _listed(names: tuple[str, ...]) -> str:
    return " or ".join(map(repr, names))
