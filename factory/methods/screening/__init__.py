"""What is screened for, in any text: swearing and slurs, personal data, inability by persona, jailbreaks.

A check has kinds of finds, and each find a place in the text; a check never tells more of a find than kind and place.
Limitations: words and phrases are English; personal data in words ("my number is four one five ...") and names are not
found; a text is read by itself, so quotations count, and irony is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from factory.methods.screening.addresses import addresses
from factory.methods.screening.personal import data
from factory.methods.screening.phrases import inability, jailbreak
from factory.methods.screening.swearing import SWEARING, swearing


class Find(NamedTuple):
    """What was found: its kind, and where it begins and ends in the text."""

    kind: str
    start: int
    end: int


class Check(NamedTuple):
    """One check: the kinds of its finds, which of the seven categories of trustworthiness it looks after (Liu et al.,
    arXiv 2308.05374), and what finds."""

    kinds: tuple[str, ...]
    category: str
    what: str
    find: Callable[[str, Sequence[str]], Iterator[tuple[str, int, int]]]


CHECKS: Mapping[str, Check] = {
    "profanity": Check(SWEARING, "adherence to social norms", "a swear word or a slur", lambda text, _: swearing(text)),
    "personal_data": Check(
        ("email", "phone", "card", "account", "ssn", "ip"),
        "safety",
        "an e-mail address, a number of a phone, card, account or US social security, or an IP address",
        data,
    ),
    "address": Check(("address",), "safety", "a postal address", lambda text, _: addresses(text)),
    "inability": Check(
        ("inability",),
        "fairness",
        "a refusal or inability for which the speaker's persona is the reason (Bias Runs Deep, arXiv 2311.04892)",
        lambda text, _: inability(text),
    ),
    "jailbreak": Check(
        ("jailbreak",),
        "robustness",
        "words that lift a model's rules (biographies in Dr Jekyll and Mr Hyde, arXiv 2312.03853; persona modulation, "
        "arXiv 2311.03348)",
        lambda text, _: jailbreak(text),
    ),
}
"""The checks, by name."""

REGIONS = ("US", "GB")
"""Where phone numbers without a country's code are from, if nothing else is said (ours)."""
Regions = Annotated[tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...], Field(min_length=1)]
"""Countries by their two letters (ISO 3166)."""


def screened(text: str, regions: Sequence[str]) -> dict[str, list[Find]]:
    """What each check finds in a text, in order, those that find something. `regions` are countries (ISO 3166, two
    letters) whose phone numbers are known without their code."""
    found = {name: [Find(*one) for one in check.find(text, regions)] for name, check in CHECKS.items()}
    return {name: sorted(finds, key=lambda one: one.start) for name, finds in found.items() if finds}
