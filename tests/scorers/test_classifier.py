from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from factory.scorers.classifier import Classifier, ClassifierModel, ScorerStartError

TALK = ClassifierModel(name="talk-small")
LABELS = ("natural", "senseless", "unrelated")
ASKED = "I live by the sea. | That sounds lovely. What do you do for work?"
REPLIES = {
    "natural": "I'm a teacher at a small school.",
    "senseless": "school a at teacher small I'm the of.",
    "unrelated": "Yes, his guitar solos are amazing! I saw them live twice.",
}


def test_the_bundled_classifier_knows_a_reply_from_what_is_none() -> None:
    classifier = Classifier(TALK, LABELS)
    found = asyncio.run(classifier.score([(ASKED, reply) for reply in REPLIES.values()]))
    classifier.close()
    assert [max(one, key=lambda label: one[label]) for one in found] == list(REPLIES)
    assert [sum(one.values()) for one in found] == pytest.approx([1, 1, 1], abs=1e-3)


def test_a_classifier_without_the_wanted_labels_is_refused() -> None:
    with pytest.raises(ScorerStartError, match=r"classifier talk-small: its labels are natural.*; toxic are wanted"):
        Classifier(TALK, ["toxic"])


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScorerStartError, match=r"classifier .*nothing cannot be loaded"):
        Classifier(ClassifierModel(name=str(tmp_path / "nothing")))
