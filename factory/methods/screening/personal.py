"""Personal data in a text, by form: e-mail addresses, and numbers that lead to a person.

Phone numbers are phonenumbers' (Apache-2.0, Google's metadata), in any country's form with its code and in some
countries' without. A card number has the right last digit (Luhn, ISO/IEC 7812) or follows the word; an account number
is an IBAN (ISO 13616, remainder 1 by 97) or follows a word such as account; a US social security number has three
groups that can be given out, or follows the name. Limitations: numbers in words are not found, nor are names, birthdays
and user names; what is fictional counts too, as do long numbers that are written as a phone's are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

_EMAIL = re.compile(
    r"[\w.+'-]+ ?(?:@|[(\[{] ?at ?[)\]}]) ?(?:[\w-]+(?:\.| ?[(\[{] ?dot ?[)\]}] ?| dot ))+[a-z]{2,}\b"
    r"|[\w.+'-]+ at (?:[\w-]+ dot )+[a-z]{2,}\b"
    r"|(?:(?<=mail is )[\w+'-]+|[\w+'-]+[._+\d][\w.+'-]*) at (?:[\w-]+\.)+[a-z]{2,}\b",
    re.IGNORECASE,
)
_DIGITS = r"(?<![\w.,-])\d(?:[ .-]?\d){%s}(?![\w-]|[.,]\d)"
_CARD = re.compile(_DIGITS % "12,18")
_CARD_WORD = re.compile(r"\b(?:cards?|visa|master ?card|amex|american express|maestro|discover)\b", re.IGNORECASE)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2} ?[A-Z0-9](?: ?[A-Z0-9]){9,28}(?![A-Z0-9])")
_ACCOUNT = re.compile(
    r"\b(?:bank |checking |savings )?(?:account|acct|a/c|routing|sort code|iban|bsb)\b\.?"
    r"(?: ?(?:no\.?|nr\.?|numbers?|code|is|are|was|will be|=|#|:|,|-|that['’]?s|it['’]?s|at|of|mine|with)){0,4}[ :#]*"
    r"(\d(?:[ .-]?\d){5,16})(?!\w|[.,]\d)",
    re.IGNORECASE,
)
_SSN = re.compile(
    r"(?<![\w.-])(?!000|666|9)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\w-]|\.\d)"
    r"|\b(?:ssn|social security)\b[^.?!\d]{0,25}\d{3}[ .-]?\d{2}[ .-]?\d{4}(?!\w)",
    re.IGNORECASE,
)
_IP = re.compile(
    r"(?<![\w.:])(?<!version )(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4})(?![\w:]|\.\d)",
    re.IGNORECASE,
)
_PHONE = re.compile(r"\+|0|\(|(?:1[ .-]?)?\d{3}[ ./-]\d{3}[ .-]\d{4}(?: ?(?:x|ext\.?) ?\d+)?$")
"""How a phone number begins, or is written in North America."""
_PHONE_WORD = re.compile(
    r"\b(?:call|text|phone|numbers?|cell|ring|reach|mobile|tel|whatsapp|landline|fax)\b", re.IGNORECASE
)
_LEAST_DIGITS = 10
"""Digits of a phone number that nobody has, but that is meant as one."""


def data(text: str, regions: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Kind and place of each e-mail address and number; `regions` are countries whose phone numbers have no code. Of
    two that share a place, the kind that says more."""
    taken: list[tuple[int, int]] = []
    for kind, start, end in _found(text, regions):
        if all(end <= first or start >= last for first, last in taken):
            taken.append((start, end))
            yield kind, start, end


def _found(text: str, regions: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    if "@" in text or "at" in text:
        yield from (("email", *found.span()) for found in _EMAIL.finditer(text))
    if sum(map(str.isdecimal, text)) < 7 - 1:
        if "." in text or ":" in text:
            yield from _ips(text)
        return
    yield from (("account", *found.span()) for found in _IBAN.finditer(text) if _is_iban(found[0]))
    for found in _CARD.finditer(text):
        number = re.sub(r"\D", "", found[0])
        if _is_card(number) or _CARD_WORD.search(text[: found.start()]):
            yield "card", *found.span()
    yield from (("ssn", *found.span()) for found in _SSN.finditer(text))
    yield from (("account", *found.span(1)) for found in _ACCOUNT.finditer(text))
    yield from _ips(text)
    yield from _phones(text, regions)


def _ips(text: str) -> Iterator[tuple[str, int, int]]:
    for found in _IP.finditer(text):
        with suppress(ValueError):
            ipaddress.ip_address(found[0])
            yield "ip", *found.span()


def _phones(text: str, regions: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Numbers that can be somebody's, and those that have the length and the form of one, as made-up ones do."""
    from phonenumbers import Leniency, PhoneNumberMatcher, is_valid_number

    for region in regions:
        for found in PhoneNumberMatcher(text, region, leniency=Leniency.POSSIBLE):
            written = found.raw_string
            meant = sum(map(str.isdecimal, written)) >= _LEAST_DIGITS and (
                _PHONE.match(written) or (written.isdecimal() and _PHONE_WORD.search(text))
            )
            if meant or is_valid_number(found.number):
                yield "phone", found.start, found.end


def _is_card(number: str) -> bool:
    """Whether its last digit is right (Luhn)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number)))
    return len(set(number)) > 1 and sum(one - 9 * (one > 9) for one in doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    """Whether its check digits are right."""
    number = text.replace(" ", "")
    return int("".join(str(int(one, 36)) for one in number[4:] + number[:4])) % 97 == 1
