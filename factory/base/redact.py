"""Secrets: a server's key as the environment holds it, and texts without it or any other secret of the environment.

What is masked are the values of variables whose names say that they hold a secret, and every key that was read here,
whole or in part, plain or escaped as URLs, JSON, HTML and Base64 have it. Limitations: a part of fewer than eight
characters passes, and so does a secret in an encoding that is not named here.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from urllib.parse import quote, quote_plus

MASK = "***"
_PART = 8
"""Characters of a secret that are masked wherever they stand."""

_UNLIKELY = 12
"""Characters of a key that no talk holds by chance."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PAT|AUTH|CREDENTIALS?|CONNECTION_STRING)(?:_?\d+)?$",
    re.IGNORECASE,
)
_AROUND = " \t\r\n\f\v\0\u00a0\u200b\u2060\ufeff"
"""What files and shells leave around a key: white space, and marks that nobody sees."""

_IN_ADDRESS = re.compile(r"(://)[^/\s@]+@")
_VISIBLE, _HEADER = re.compile(r"[!-~]+"), re.compile(r"[ -~]+")
_keys: set[str] = set()


class KeyFormatError(Exception):
    """A variable holds what no key can be: which character stands where, and what to do."""


def read_key(variable: str, *, blanks: bool = False) -> str | None:
    """The key in an environment variable, without the white space around it; none if the variable is not set or empty.
    With `blanks` it may have some inside, as the value of a header does.

    Raises KeyFormatError for a key that no HTTP header can carry.
    """
    key = os.environ.get(variable, "").strip(_AROUND)
    if not key:
        return None
    sound = (_HEADER if blanks else _VISIBLE).match(key)
    place = sound.end() if sound else 0
    if place < len(key):
        what = "a blank or a line end" if key[place].isspace() else "a character that is no visible ASCII"
        raise KeyFormatError(
            f"the environment variable {variable} holds {what} at place {place + 1}, as no key does; set it to the key "
            "alone"
        )
    _keys.add(key)
    return key


def names_a_secret(variable: str) -> bool:
    """Whether an environment variable's name says that it holds a secret."""
    return _SECRET_NAME.search(variable) is not None


def redact(text: str) -> str:
    """The text with every secret masked, and with what stands before the @ of an address."""
    for secret in _keys | _named_secrets():
        text = _masked(text, secret)
    return _IN_ADDRESS.sub(rf"\1{MASK}@", text)


def without_keys(text: str) -> str:
    """The text without whole keys that were read. For what a model wrote: of that nothing else may change, as words do
    that a secret shares with it."""
    for key in _keys:
        text = text.replace(key, MASK) if len(key) >= _UNLIKELY else text
    return text


def _named_secrets() -> set[str]:
    found = {value.strip(_AROUND) for name, value in os.environ.items() if names_a_secret(name)}
    return {value for value in found if len(value) >= _PART and not os.path.exists(value)}


def _masked(text: str, secret: str) -> str:
    raw = secret.encode("utf-8", "surrogateescape")
    forms = {secret, quote(raw, safe=""), quote_plus(raw), json.dumps(secret)[1:-1], html.escape(secret)}
    forms |= {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    if len(secret) < _PART:
        return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, forms))})(?!\w)", MASK, text, flags=re.IGNORECASE)
    parts = {form[start : start + _PART].lower() for form in forms for start in range(len(form) - _PART + 1)}
    lower = "".join(character.lower()[:1] for character in text)  # place by place: some letters' small forms are longer
    hidden = [False] * len(text)
    for start in range(len(text) - _PART + 1):
        if lower[start : start + _PART] in parts:
            hidden[start : start + _PART] = [True] * _PART
    shown = "".join("\0" if hide else character for character, hide in zip(text, hidden, strict=True))
    return re.sub("\0+", MASK, shown) if any(hidden) else text
