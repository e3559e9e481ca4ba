from __future__ import annotations

import glob
import shutil
from pathlib import Path

import pytest

from factory.models import REVISIONS, called, is_folder, placed, resolve, revision_of, same, short, without_signs

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    root.mkdir()
    (root / "config.json").write_text('{"layers": 2}')
    (root / "model.safetensors").write_bytes(bytes(1000))
    return root


def copy_of(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(folder, folder.with_name(name)))


@pytest.mark.parametrize("name", REVISIONS)
def test_a_bundled_model_is_known_by_what_its_package_holds(name: str) -> None:
    folder = resolve(name)
    assert revision_of(name, None) == revision_of(folder, None), "name what is there now in REVISIONS"
    assert (Path(folder) / "README.md").read_text().startswith("---\n")


def test_directories_and_hub_ids_stay_themselves(tmp_path: Path) -> None:
    assert resolve(str(tmp_path)) == str(tmp_path)
    assert resolve("org/model") == "org/model"


def test_a_hub_model_is_its_revision() -> None:
    assert revision_of("org/model", "abc123") == "abc123"
    assert revision_of("org/model", None) == "main"


def test_a_folder_is_its_content_wherever_it_lies(folder: Path) -> None:
    assert revision_of(str(folder), None) == revision_of(str(copy_of(folder, "moved")), "ignored")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_one_changed_byte_is_another_model(folder: Path, name: str) -> None:
    changed = copy_of(folder, "changed")
    content = bytearray((changed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (changed / name).write_bytes(content)
    assert revision_of(str(folder), None) != revision_of(str(changed), None)


def test_a_renamed_file_is_another_model(folder: Path) -> None:
    changed = copy_of(folder, "changed")
    (changed / "config.json").rename(changed / "generation_config.json")
    assert revision_of(str(folder), None) != revision_of(str(changed), None)


def test_model_card_and_hidden_files_do_not_count(folder: Path) -> None:
    described = copy_of(folder, "described")
    (described / "README.md").write_text("A model.")
    (described / ".git").mkdir()
    (described / ".git" / "HEAD").write_text("ref")
    assert revision_of(str(folder), None) == revision_of(str(described), None)


@pytest.mark.parametrize("place", [0, -1])
def test_a_large_file_is_sampled_at_both_ends(folder: Path, place: int) -> None:
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(80 * MIB)
    changed = copy_of(folder, f"changed{place}")
    with (changed / "model.safetensors").open("r+b") as file:
        file.seek(place, 2 if place < 0 else 0)
        file.write(b"\1")
    assert revision_of(str(folder), None) != revision_of(str(changed), None)


def test_a_folder_of_the_name_comes_first_and_starts_at_the_base(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_of(folder, "minilm")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, found in {"model": "model", "./model": "model", "minilm": "minilm", "~/model": "model"}.items():
        assert placed(name, tmp_path) == str(tmp_path / found)
    assert placed("../model", tmp_path / "minilm") == str(folder)
    assert placed(str(folder), tmp_path / "elsewhere") == str(folder)
    for name in ("nli-small", "org/model", "/nowhere/on/this/machine"):
        assert placed(name, tmp_path) == name


@pytest.mark.parametrize("name", ["./m", "../m", "~/m", "models/of/mine"])
def test_a_name_that_can_only_be_a_folder_is_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    place = (tmp_path / "base" / name).resolve() if name[0] != "~" else tmp_path / "m"
    with pytest.raises(ValueError, match=f"there is no folder {place}"):
        placed(name, tmp_path / "base")


def test_a_folder_of_the_working_directory_is_not_taken_for_a_hub_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_of(folder, "minilm")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="there is no folder /jobs/model; that of the same name in the working directory"
    ):
        placed("model", Path("/jobs"))
    assert placed("minilm", Path("/jobs")) == "minilm"


def test_a_folder_whose_name_is_a_pattern_is_opened_by_another(folder: Path) -> None:
    odd = copy_of(folder, "[m]*")
    with without_signs(str(odd)) as opened:
        assert glob.glob(f"{opened}/*.safetensors") == [f"{opened}/model.safetensors"]
    assert not Path(opened).exists()
    for name in (str(folder), "org/model"):
        with without_signs(name) as opened:
            assert opened == name


def test_a_folder_is_told_by_its_name_alone(folder: Path) -> None:
    assert (short(str(folder)), short("org/model"), short("minilm")) == ("model", "org/model", "minilm")
    assert is_folder(str(folder))
    assert not is_folder("minilm")


def test_a_model_that_is_called_so_is_known_again(folder: Path) -> None:
    def name_of(model: Path | str, revision: str | None = None) -> str:
        return called(str(model), revision_of(str(model), revision))

    changed = copy_of(folder, "changed")
    (changed / "config.json").write_text('{"layers": 3}')
    assert name_of("nli-small") == f"nli-small@{REVISIONS['nli-small']}"
    assert name_of(folder).startswith("model@")
    assert same(name_of("nli-small"), name_of(resolve("nli-small")))
    assert same(name_of(folder), name_of(copy_of(folder, "moved")))
    assert not same(name_of(folder), name_of(changed).replace("changed", "model"))
    assert same(name_of("org/model", "abc123"), name_of("org/model"))
    assert not same(name_of("org/model"), name_of("org/other"))
    assert same("nli-small", name_of("nli-small"))
    assert not same("person", name_of("nli-small"))
