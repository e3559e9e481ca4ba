from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.models import resolve
from factory.scorers.classifier import ScorerStartError
from factory.scorers.nli import Nli, NliModel, Probabilities

PAIRS = [
    ("i have two dogs", "i own a pair of dogs"),
    ("i have two dogs", "i have no pets at all"),
    ("i have two dogs", "the weather was fine in june"),
    ("i am a vegan", "i eat steak every day"),
]


def probabilities(nli: Nli, pairs: list[tuple[str, str]]) -> list[Probabilities]:
    return asyncio.run(nli.score(pairs))


def close(one: Probabilities, other: Probabilities) -> bool:
    values = [(one.entailment, other.entailment), (one.contradiction, other.contradiction)]
    return all(a == pytest.approx(b, abs=0.05) for a, b in values)


def test_the_bundled_model_tells_the_three_apart(nli: Nli) -> None:
    entails, contradicts, neither, _ = probabilities(nli, PAIRS)
    assert entails.entailment > max(entails.neutral, entails.contradiction)
    assert contradicts.contradiction > max(contradicts.neutral, contradicts.entailment)
    assert neither.neutral > max(neither.entailment, neither.contradiction)
    for one in (entails, contradicts, neither):
        assert one.entailment + one.neutral + one.contradiction == pytest.approx(1, abs=1e-5)


ONE, OTHER = "i am single", "my wife cooks for me"
"""Contradictory, which the model finds in one direction only."""


@pytest.fixture(scope="module")
def one_way() -> Iterator[Nli]:
    nli = Nli(NliModel(name="nli-small", both_ways=False))
    yield nli
    nli.close()


def test_a_contradiction_has_no_direction(nli: Nli, one_way: Nli) -> None:
    pairs = [(ONE, OTHER), (OTHER, ONE)]
    forth, back = (found.contradiction for found in probabilities(one_way, pairs))
    assert forth < 0.5 < back
    forth, back = (found.contradiction for found in probabilities(nli, pairs))
    assert min(forth, back) > 0.84
    assert forth == pytest.approx(back, abs=0.02)


def test_entailment_is_as_the_model_has_it_where_there_is_room(nli: Nli, one_way: Nli) -> None:
    for plain, found in zip(probabilities(one_way, PAIRS), probabilities(nli, PAIRS), strict=True):
        assert found.entailment == pytest.approx(min(plain.entailment, 1 - found.contradiction), abs=0.01)


def test_pairs_keep_their_order_when_some_are_asked_both_ways(nli: Nli) -> None:
    together = probabilities(nli, PAIRS)
    assert all(close(one, probabilities(nli, [pair])[0]) for one, pair in zip(together, PAIRS, strict=True))


def test_concurrent_callers_get_their_own_scores(nli: Nli) -> None:
    alone = [probabilities(nli, [pair])[0] for pair in PAIRS]

    async def together() -> list[list[Probabilities]]:
        return list(await asyncio.gather(*(nli.score([PAIRS[n % 4], PAIRS[(n + 1) % 4]]) for n in range(100))))

    for n, (first, second) in enumerate(asyncio.run(together())):
        assert close(first, alone[n % 4])
        assert close(second, alone[(n + 1) % 4])


def test_nothing_asked_nothing_answered(nli: Nli) -> None:
    assert probabilities(nli, []) == []


def test_a_pair_that_is_too_long_is_cut(nli: Nli) -> None:
    (scores,) = probabilities(nli, [("i have two dogs", "i walk them every morning. " * 500)])
    assert scores.entailment >= 0


def relabelled(folder: Path, labels: list[str]) -> NliModel:
    shutil.copytree(resolve("nli-small"), folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = dict(enumerate(labels))
    config["label2id"] = {label: number for number, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps(config))
    return NliModel(name=str(folder))


def test_labels_are_read_from_the_model_in_any_order_and_case(one_way: Nli, tmp_path: Path) -> None:
    id2label = json.loads((Path(resolve("nli-small")) / "config.json").read_text())["id2label"]
    labels = [id2label[str(number)] for number in range(3)]
    model = relabelled(tmp_path / "turned", [label.upper() for label in labels[1:] + labels[:1]])
    turned = Nli(model.model_copy(update={"both_ways": False}))
    (usual,), (other,) = probabilities(one_way, PAIRS[:1]), probabilities(turned, PAIRS[:1])
    turned.close()
    for label, next_label in zip(labels, labels[1:] + labels[:1], strict=True):
        assert getattr(other, next_label) == pytest.approx(getattr(usual, label), abs=0.02)


@pytest.mark.parametrize(
    "labels",
    [
        ["LABEL_0", "LABEL_1", "LABEL_2"],
        ["entailment", "not_entailment"],
        ["entailment", "neutral", "contradiction", "other"],
    ],
)
def test_a_classifier_without_the_three_labels_is_refused(tmp_path: Path, labels: list[str]) -> None:
    with pytest.raises(ScorerStartError, match=f"its labels are {', '.join(labels)}.*neutral"):
        Nli(relabelled(tmp_path / "other", labels))


def cut_short(weights: Path) -> None:
    """As a download that broke off leaves them."""
    half = weights.read_bytes()[: weights.stat().st_size // 2]
    weights.unlink()
    weights.write_bytes(half)


def test_a_model_whose_weights_are_cut_short_is_named(tmp_path: Path) -> None:
    shutil.copytree(resolve("nli-small"), tmp_path / "cut")
    cut_short(tmp_path / "cut" / "model.safetensors")
    with pytest.raises(ScorerStartError, match="NLI model .*cut cannot be loaded"):
        Nli(NliModel(name=str(tmp_path / "cut")))


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScorerStartError, match="NLI model .*nothing"):
        Nli(NliModel(name=str(tmp_path / "nothing")))
