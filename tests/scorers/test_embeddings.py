from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from factory.models import resolve
from factory.scorers.classifier import ScorerStartError
from factory.scorers.embeddings import EmbeddingModel, Embeddings
from tests.scorers.test_nli import cut_short

TEXTS = ["I have two dogs.", "I own a pair of dogs.", "Shares fell on Monday."]


def test_unit_length_rows_whose_cosine_is_meaning(embedder: Embeddings) -> None:
    rows = asyncio.run(embedder.encode(TEXTS))
    assert rows.dtype == np.float32
    assert rows.shape[0] == len(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > 0.6 > 0.3 > rows[0] @ rows[2]


def test_no_texts_no_rows(embedder: Embeddings) -> None:
    assert asyncio.run(embedder.encode([])).shape == (0, asyncio.run(embedder.encode(TEXTS)).shape[1])


def test_concurrent_callers_get_their_own_rows(embedder: Embeddings) -> None:
    texts = [f"I am {age} years old." for age in range(40)]
    alone = asyncio.run(embedder.encode(texts))

    async def together() -> list[np.ndarray]:
        calls = (embedder.encode([texts[n], texts[-1], texts[n]]) for n in range(40))
        return list(await asyncio.gather(*calls))

    for n, rows in enumerate(asyncio.run(together())):
        np.testing.assert_allclose(rows, alone[[n, -1, n]], atol=1e-4)


def test_a_text_is_read_once(embedder: Embeddings, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    encode = embedder._encoder.encode
    monkeypatch.setattr(
        embedder._encoder, "encode", lambda texts, **options: read.extend(texts) or encode(texts, **options)
    )
    texts = ["I collect fountain pens.", "I collect maps.", "I collect fountain pens."]
    first = asyncio.run(embedder.encode(texts))
    again = asyncio.run(embedder.encode(texts[:1]))
    assert sorted(read) == sorted(set(texts))
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(first[0], again[0])


def test_the_texts_that_were_asked_for_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factory.scorers.embeddings._KEPT", 3)
    embedder = Embeddings(EmbeddingModel())
    texts = [f"I know {n} songs." for n in range(8)]
    rows = asyncio.run(embedder.encode(texts))
    assert rows.shape[0] == 8
    assert set(embedder._recent) == set(texts[-3:])
    asyncio.run(embedder.encode([texts[5], texts[0]]))
    assert set(embedder._recent) == {texts[0], texts[5], texts[7]}
    embedder.close()


def test_what_is_kept_holds_no_more_than_itself(embedder: Embeddings) -> None:
    asyncio.run(embedder.encode(["I keep bees.", "I keep hens."]))
    assert all(row.base is None for row in embedder._recent.values())


def test_a_model_in_another_type_is_read_in_float32(tmp_path: Path) -> None:
    SentenceTransformer(resolve("minilm")).half().save(str(tmp_path))
    embedder = Embeddings(EmbeddingModel(name=str(tmp_path)))
    assert asyncio.run(embedder.encode(TEXTS)).dtype == np.float32
    assert next(embedder._encoder.parameters()).dtype == torch.float32
    embedder.close()


def test_a_model_whose_weights_are_cut_short_is_named(tmp_path: Path) -> None:
    shutil.copytree(resolve("minilm"), tmp_path / "cut")
    cut_short(tmp_path / "cut" / "model.safetensors")
    with pytest.raises(ScorerStartError, match="embedding model .*cut cannot be loaded"):
        Embeddings(EmbeddingModel(name=str(tmp_path / "cut")))


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScorerStartError, match="embedding model .*nothing"):
        Embeddings(EmbeddingModel(name=str(tmp_path / "nothing")))
