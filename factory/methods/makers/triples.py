"""Triples as sentences: (i, have_pet, a dog) reads "I have a dog."

A relation reads as its own words ("live_in" as "live in") unless the table below says otherwise; `{}` is the object.
Limitations: grammar beyond the verb's person. Articles are the extraction model's to write, as part of the object.
"""

from __future__ import annotations

RELATIONS = (
    "like", "dislike", "have", "have_pet", "have_family", "job", "employer", "study", "live_in", "from", "age", "hobby",
    "favorite_food", "favorite_music", "favorite_color", "favorite_other", "play_sport", "play_instrument", "read",
    "watch", "travel_to", "physical_attribute", "personality", "belief", "diet", "want", "own", "other",
)  # fmt: skip
"""The relations allowed by default. PPDS has a fixed set too, but which is not known to us; this one is ours."""

_PHRASES = {
    "have_pet": "have {}",
    "have_family": "have {}",
    "job": "work as {}",
    "employer": "work for {}",
    "from": "am from {}",
    "age": "am {} years old",
    "hobby": "enjoy {}",
    "play_sport": "play {}",
    "play_instrument": "play {}",
    "physical_attribute": "have {}",
    "personality": "am {}",
    "belief": "believe in {}",
    "diet": "follow a {} diet",
    "other": "{}",
}
_THIRD_PERSON = {"am": "is", "have": "has", "study": "studies", "watch": "watches"}
_FAVORITE = "favorite_"


def relation_name(written: str) -> str:
    """A relation as the allowed ones are spelt: "Live in" is `live_in`."""
    return "_".join(written.lower().replace("_", " ").split())


def as_sentence(subject: str, relation: str, obj: str) -> str:
    """The sentence of a triple, in the first person if its subject is."""
    first_person = subject.lower() in {"i", "me", "my"}
    if relation.startswith(_FAVORITE):
        kind = relation.removeprefix(_FAVORITE).replace("other", "thing")
        owner = "my" if first_person else f"{subject}'s"
        return _sentence(f"{owner} favorite {kind} is {obj}")
    phrase = _PHRASES.get(relation, relation.replace("_", " ") + " {}").format(obj)
    if first_person:
        return _sentence(f"I {phrase}")
    if relation == "other":
        return _sentence(f"{subject} {phrase}")
    verb, _, rest = phrase.partition(" ")
    return _sentence(f"{subject} {_THIRD_PERSON.get(verb, verb + 's')} {rest}")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."
