from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from factory.methods import Kit
from factory.methods.example import kit
from factory.scorers.embeddings import Embeddings
from factory.scorers.nli import Nli
from tests.methods.parts import Said


@pytest.fixture(scope="session")
def kit_of(nli: Nli, embedder: Embeddings) -> Callable[..., Kit]:
    """A kit of the real scorers and an engine that gives the answers, one a request."""
    return lambda *answers: replace(kit(), engine=Said(answers), nli=nli, embedder=embedder)
