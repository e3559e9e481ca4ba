from __future__ import annotations

import base64
import html
import json
import os
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.base import redact
from factory.base.redact import KeyFormatError, read_key

VISIBLE = string.ascii_letters + string.digits + string.punctuation
FORMS = [
    str,
    lambda key: quote(key, safe=""),
    quote_plus,
    lambda key: json.dumps(key)[1:-1],
    html.escape,
    lambda key: base64.b64encode(key.encode()).decode(),
    repr,
    str.upper,
    lambda key: json.dumps({"error": {"message": f"Bearer {key}"}}),
    lambda key: f"Incorrect key: {key[:10]}…{key[-10:]}",
]


@given(st.text(VISIBLE, min_size=10, max_size=60), st.sampled_from(FORMS), st.text(), st.text())
def test_no_part_of_a_key_is_left_in_any_form(key: str, form: object, before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redact, "_keys", set())
        patch.setenv("A_LITTLE_KNOWN_NAME", key)
        assert read_key("A_LITTLE_KNOWN_NAME") == key
        written = form(key)  # type: ignore[operator]
        left = redact.redact(f"{before} {written} {after}")
    rest = f"{before} {after}".lower()
    parts = {written[place : place + 8] for place in range(len(written) - 7)} & {
        key[place : place + 8] for place in range(len(key) - 7)
    }
    assert not any(part in left and part.lower() not in rest for part in parts)


@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "db_password"])
def test_secrets_of_the_environment_are_masked_that_nobody_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "abcdefgh12345678\n")
    assert redact.redact("it said: abcdefgh12345678!") == "it said: ***!"


def test_what_is_no_secret_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("SSH_KEY", str(tmp_path))
    text = f"{tmp_path}: no such file; PATH is {os.environ['PATH']}"
    assert redact.redact(text) == text


def test_credentials_in_an_address_are_masked() -> None:
    assert redact.redact("http://me:geheim@host:80/v1 is away") == "http://***@host:80/v1 is away"


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\ufeff{}", "{}\u200b", "{}\u00a0", "{}"])
def test_blanks_around_a_key_are_stripped(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", around.format("sk-12345678"))
    assert read_key("SOME_KEY") == "sk-12345678"


@pytest.mark.parametrize("value", ["", " \n"])
def test_an_empty_variable_holds_no_key(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", value)
    assert read_key("SOME_KEY") is None


@pytest.mark.parametrize("inside", ["\n", " ", "é", "\x07", "😀"])
def test_a_key_that_no_header_can_carry_is_refused_without_telling_it(
    inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", f"sk-secret{inside}whisper")
    with pytest.raises(KeyFormatError, match="SOME_KEY holds .* at place 10") as caught:
        read_key("SOME_KEY")
    assert "secret" not in str(caught.value)
    assert "whisper" not in str(caught.value)
