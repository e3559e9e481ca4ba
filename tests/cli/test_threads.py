"""What `factory threads` refuses before it reads anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli import app


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "author", "--max-characters", "1001"], "1,000 characters at most"),
        (["--min-characters", "200"], "less than --min-characters"),
        (["--format", "csv"], "JSON Lines or Parquet"),
        (["--by", "mood"], "mood"),
    ],
)
def test_options_that_cannot_be_are_refused(options: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["threads", "d.jsonl", "--to", str(tmp_path / "seeds"), *options])
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "seeds").exists()
