from __future__ import annotations

import pytest

from factory.models import REVISIONS
from factory.store.corpus import Corpus
from factory.store.records import Row
from tests.views.report.corpora import HOSTILE, commit, dialogue

NLI = {"name": "nli-small", "revision": REVISIONS["nli-small"], "max_length": 128}


@pytest.fixture(scope="package")
def rows() -> list[Row]:
    """Dialogues with two pairs of a turn and a fact each; a pair that is drawn for sure has hostile text."""
    made = [dialogue(number) for number in range(80)]
    made[8].turns[3].text = HOSTILE
    return made


@pytest.fixture(scope="package")
def corpus(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Corpus:
    """These dialogues, scored by the bundled model, decided at 0.6 and 0.9."""
    root = tmp_path_factory.mktemp("labelling") / "corpus"
    recipe = {"stage": "consistency", "method": "consistency", "models": {"nli": NLI}}
    Corpus(str(root)).save_recipe("n", recipe)
    return commit(root, [rows[:50], rows[50:]])
