"""Personal data in many texts: what is found in them one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from factory.base.arrays import texts
from factory.methods.screening import CHECKS, REGIONS
from factory.methods.screening.many import personal_data, without

HELD = [
    "Write to ann@example.org or call +44 20 7946 0958, please.",
    "my mail is ann (at) example (dot) org",
    "ann at example dot org",
    "my mail is ann at example.org",
    "The server is at fe80::1, or ::1 in here.",
    "I live at 12 Baker Street, come by.",
    "P.O. Box 12, and P.O. Box 13",
    "Hauptstraße ٣",
]
SAFE = ["I ski a lot.", "Let us meet at noon.", "At what time?", ""]
PARTS = st.sampled_from(
    [*"@:.()[] -+", "at", " at ", "dot", "mail is ", "ann", "example", ".org", "a::b", "1", "42", "Road "]
)


def test_finds_are_replaced_by_their_kind() -> None:
    told = [*HELD, *SAFE]
    found = {text: without(text, finds) for _, text, finds in personal_data(texts(told))}
    assert found[HELD[0]] == "Write to [EMAIL] or call [PHONE], please."
    assert found[HELD[5]] == "I live at [ADDRESS], come by."
    assert found[HELD[6]] == "[ADDRESS], and [ADDRESS]"
    assert not found.keys() & set(SAFE)
    assert [place for place, _, _ in personal_data(texts(told))] == [n for n, text in enumerate(told) if text in found]


@given(st.lists(st.sampled_from(HELD) | st.lists(PARTS, max_size=9).map("".join) | st.text(), max_size=5))
def test_what_one_by_one_is_found_is_found_in_many(told: list[str]) -> None:
    held = [any(list(CHECKS[name].find(text, REGIONS)) for name in ("personal_data", "address")) for text in told]
    found = [place for place, _, _ in personal_data(texts(told))]
    assert found == [place for place, one in enumerate(held) if one]
