"""Output to a pipe whose reader has gone."""

from __future__ import annotations

import os
import sys

import pytest

from factory.cli.output import lasting_output


def test_what_nobody_can_read_is_lost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with open(writer, "w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with lasting_output():
            print("heard", file=sys.stderr)
            assert os.read(reader, 100) == b"heard\n"
            os.close(reader)
            print("lost", file=sys.stderr)
            print("lost too", file=sys.stderr, flush=True)
        assert sys.stderr is stream
        stream.flush()
