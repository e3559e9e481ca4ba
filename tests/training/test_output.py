from __future__ import annotations

from pathlib import Path

from factory.training.output import replace_folder


def test_files_are_replaced_and_none_is_left_half_written(tmp_path: Path) -> None:
    fresh, target = tmp_path / "fresh", tmp_path / "target"
    fresh.mkdir()
    target.mkdir()
    (fresh / "weights").write_text("new")
    (target / "weights").write_text("old")
    (target / "README.md").write_text("card")
    replace_folder(fresh, target)
    assert {file.name: file.read_text() for file in target.iterdir()} == {"weights": "new", "README.md": "card"}
