"""What a file tells of its speakers besides their facts: ids, names and attributes.

In a row of one persona every other column is an attribute of it. In a dialogue only what is given by speaker is, as in
`{"turns": [...], "speakers": {"Ann": {"age": 34}, "Bob": {"id": "u7"}}}` (or a list, in the order of the speakers).
Whatever cannot be kept is noted. Limitations: which labels tell only the sides apart goes by a list of English words;
the columns where pandas keeps a row's number are no attributes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from factory.seeds.fields import SeedFields
from factory.seeds.files import BadRow
from factory.seeds.lines import FileRow
from factory.seeds.values import MAX_ID, MISSING, id_of, missing, text_of, written
from factory.store.records import SeedSpeaker

MAX_ATTRIBUTE, MAX_ATTRIBUTES = 5_000, 200
"""Characters of an attribute, attributes of a speaker."""

_SHOWN = 8
"""Names that a warning has for each reason."""
_ROW_NUMBER = re.compile(r"(?:Unnamed: \d+(?:\.\d+)*|__index_level_\d+__)?")
_SIDE = re.compile(
    r"(?:(?:speaker|user|person|participant|persona|character|agent|turker|bot|role|usr|sys)[\s_#-]*)?(?:[0-2]|[a-z])?"
    r"|user|assistant|system|human|gpt|ai|chatbot|model|customer|client|doctor|patient|therapist|counsell?or|seeker"
    r"|supporter|teacher|student|wizard|apprentice|interviewer|interviewee|you|me|i|self|other|partner|them|listener",
    re.IGNORECASE,
)
"""Labels that stand for a side of the dialogue, so for another person in each."""
_OF_BOTH = "they tell nothing of one speaker: give them by speaker, in 'speakers'"
_OF_TURN = "of a turn, the speaker and the text are kept"
_NOWHERE = "in no row: check `fields.attributes`"

Label = int | str


class SpeakerReader:
    """Reads what the rows of one file tell of speakers. `cells` says that the file is CSV, where some texts stand for a
    missing value. It notes what it cannot keep."""

    def __init__(self, fields: SeedFields, *, cells: bool) -> None:
        self._fields = fields
        self._cells = cells
        self._unkept: dict[str, str] = dict.fromkeys(fields.attributes or (), _NOWHERE)
        """Why not, by name."""

    def persona(self, row: FileRow, facts: str) -> tuple[SeedSpeaker, ...]:
        """The speaker of a row whose column `facts` holds a persona; none if the row tells nothing else. Raises
        BadRow."""
        fields = self._fields
        speaker_id = None
        if fields.speaker:
            if fields.speaker not in row:
                raise BadRow("missing_field", f"no {fields.speaker!r}")
            if not missing(row[fields.speaker]):
                speaker_id = id_of(row[fields.speaker], "the speaker's id")
        name, besides = None, {fields.id or "id", facts, fields.speaker or None, fields.partner}
        if isinstance(row.get(fields.name), str):
            name = text_of(row[fields.name], MAX_ID, "the name") or None
            besides.add(fields.name)
        return _told([SeedSpeaker(speaker_id, name, self._attributes(row, besides))])

    def dialogue(self, row: FileRow, labels: Sequence[Label], names: Mapping[Label, str]) -> tuple[SeedSpeaker, ...]:
        """The speakers of a dialogue, by their labels in its turns and the names that turns give; none if it tells
        nothing of them. Raises BadRow."""
        given = _by_speaker(row.get("speakers"), labels)
        self._note(row, {self._fields.id or "id", "turns", "personas", *(["speakers"] if given else [])}, _OF_BOTH)
        found = []
        for label, about in zip(labels, given or ({}, {}), strict=True):
            # A label under another key than the usual one is an id, which is nobody's name.
            called = label if isinstance(label, str) and not self._fields.speaker else None
            name = about.get("name", names.get(label, called))
            speaker_id = about.get("id", self._id(label))
            found.append(
                SeedSpeaker(
                    None if missing(speaker_id) else id_of(speaker_id, f"the id of speaker {label}"),
                    None if missing(name) else text_of(name, MAX_ID, f"the name of speaker {label}"),
                    self._attributes(about, {"id", "name"}),
                )
            )
        return _told(found)

    def turn(self, turn: Mapping[str, Any], kept: AbstractSet[str]) -> None:
        """Note what of a turn is not kept."""
        if not turn.keys() <= kept:
            self._note(turn, kept, _OF_TURN, "turns[].")

    def leave_out(self, name: str, why: str) -> None:
        """Note what of a row was left out before it came here."""
        self._note({name: True}, (), why)

    def unkept(self) -> str | None:
        """What was not kept and why, for people; after the last row."""
        if not self._unkept:
            return None
        by_reason: dict[str, list[str]] = {}
        for name, why in self._unkept.items():
            by_reason.setdefault(why, []).append(repr(name[:40]))
        return "; ".join(f"{_some(names)} ({why})" for why, names in by_reason.items())

    def _id(self, label: Label) -> Label | None:
        if self._fields.speaker is False or (self._fields.speaker is None and _SIDE.fullmatch(str(label))):
            return None
        return label

    def _attributes(self, values: Mapping[str, Any], besides: Collection[str | None]) -> dict[str, str]:
        found: dict[str, str] = {}
        for key in self._chosen(values, besides):
            if self._unkept.get(key) == _NOWHERE:
                del self._unkept[key]
            try:
                if len(found) == MAX_ATTRIBUTES:
                    raise BadRow("too_long", f"a speaker has {MAX_ATTRIBUTES} attributes at most")
                name = text_of(key, MAX_ID, "the name")
                text = " ".join(written(values[key]).split())
                if len(text) > MAX_ATTRIBUTE:
                    raise BadRow("too_long", f"where longer than {MAX_ATTRIBUTE:,} characters")
            except BadRow as bad:
                self._unkept[key] = bad.detail
                continue
            if text and not (self._cells and text in MISSING):
                found[name] = text
        return found

    def _chosen(self, values: Mapping[str, Any], besides: Collection[str | None]) -> Iterable[str]:
        """The names of values to keep as attributes."""
        if self._fields.attributes is not None:
            return [name for name in self._fields.attributes if not missing(values.get(name))]
        return [
            name
            for name, value in values.items()
            if name not in besides and not missing(value) and not _ROW_NUMBER.fullmatch(name)
        ]

    def _note(self, values: Mapping[str, Any], kept: Collection[str], why: str, where: str = "") -> None:
        for name, value in values.items():
            chosen = self._fields.attributes is None or name in self._fields.attributes
            if name not in kept and chosen and not missing(value) and not _ROW_NUMBER.fullmatch(name):
                self._unkept[where + name] = why


def _by_speaker(given: object, labels: Sequence[Label]) -> list[Mapping[str, Any]] | None:
    """What is given by speaker: objects, or names alone, by label or in the order of the speakers; none where it is
    something else."""
    if isinstance(given, dict):
        given = [given.get(str(label)) or {} for label in labels] if given.keys() <= set(map(str, labels)) else None
    if not isinstance(given, list) or len(given) != len(labels):
        return None
    found = [{"name": one} if isinstance(one, str) else one for one in given]
    return found if all(isinstance(one, dict) for one in found) else None


def _told(speakers: Sequence[SeedSpeaker]) -> tuple[SeedSpeaker, ...]:
    """The speakers, or none where nothing is told of any."""
    return tuple(speakers) if any(one != SeedSpeaker() for one in speakers) else ()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
