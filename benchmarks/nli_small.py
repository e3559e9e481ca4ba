"""The figures of nli-small's card: `python -m benchmarks.nli_small MODEL DATA`.

DATA is a folder with the published files, in nli/ and dialogues/. Accuracy by source, on pairs that training leaves
out; what each contradiction threshold costs and catches; and pairs of people's own: Grounded Minimal Editing's replies,
which people rewrote to fit a fact. Writes those and the held-out persona pairs as JSON Lines too (`--pairs FOLDER`),
for `factory calibrate`. At the end the scale of P(contradiction), as these pairs without those would have it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix

from benchmarks.personas import PAIRS
from factory.scorers.nli import OFFSET, SLOPE, Nli, NliModel, Probabilities
from factory.training.labelled import LabelledPair, PairFile, read_pairs
from factory.training.neutrals import dialogues_of

THRESHOLDS = (0.5, 0.8, 0.9)
OPERATING = ("persona, unseen templates", "real talk, neutral", "minimal edits")
"""The pairs of the operating point, which the scale is not fitted on."""


def held_out(data: Path) -> dict[str, list[LabelledPair]]:
    """Pairs that the bundled recipe does not train on, by source."""
    rng = random.Random(99)
    nli = data / "nli"
    mixed = {"premise": "Premise", "hypothesis": "Hypothesis", "label": "Label"}
    numbered = {"premise": "sentence1", "hypothesis": "sentence2", "label": "gold_label"}
    files = {
        "SNLI": PairFile(path=str(nli / "snli_dev.csv"), limit=500),
        "MultiNLI": PairFile(path=str(nli / "mnli_dev.csv"), limit=500),
        "ConjNLI, rule-made": PairFile(path=str(nli / "conjnli_train_15k.tsv"), limit=500, **mixed),
        "counterfactual dev": PairFile(path=str(nli / "counterfactual_nli_dev.tsv"), **numbered),
        "persona, unseen values": PairFile(path=str(PAIRS / "unseen_values.parquet")),
        "persona, unseen templates": PairFile(path=str(PAIRS / "unseen_templates.parquet")),
    }
    talk = dialogues_of(data / "dialogues" / "synthetic_persona_chat_valid.csv")[:100]
    return {
        **{name: read_pairs([file]).pairs for name, file in files.items()},
        "real talk, neutral": rng.sample([pair for dialogue in talk for pair in dialogue], 2000),
    }


def minimal_edits(data: Path) -> list[tuple[LabelledPair, LabelledPair]]:
    """A fact with the reply it was edited for, as contradiction, and with the first rewrite, as entailment."""
    rows = json.loads((data / "nli" / "persona_minimal_edit_valid.json").read_text(encoding="utf-8"))
    return [
        (
            LabelledPair(row["intervening_persona"][0], row["original_response"], "contradiction", "minimal edit"),
            LabelledPair(row["intervening_persona"][0], row["references"][0], "entailment", "minimal edit"),
        )
        for row in rows
    ]


def write(pairs: Sequence[LabelledPair], path: Path) -> None:
    """Pairs as JSON Lines."""
    rows = ({"premise": one.premise, "hypothesis": one.hypothesis, "label": one.label} for one in pairs)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def share(count: int, total: int) -> str:
    """A share in per cent."""
    return f"{count / total:6.1%}" if total else "     –"


def show(name: str, pairs: Sequence[LabelledPair], scores: Sequence[Probabilities]) -> None:
    """One line: accuracy, and at each threshold precision, recall and the share of consistent pairs flagged."""
    likeliest = [max(("entailment", "neutral", "contradiction"), key=lambda label: getattr(s, label)) for s in scores]
    right = sum(pair.label == label for pair, label in zip(pairs, likeliest, strict=True))
    parts = [share(right, len(pairs))]
    wrong = [pair.label == "contradiction" for pair in pairs]
    for threshold in THRESHOLDS:
        flagged = [score.contradiction >= threshold for score in scores]
        kept, false, missed, found = confusion_matrix(wrong, flagged, labels=[False, True]).ravel().tolist()
        parts.append(f"{share(found, found + false)} {share(found, found + missed)} {share(false, false + kept)}")
    print(f"{name:28} {len(pairs):5}  {'   '.join(parts)}", flush=True)


def show_edits(before: Sequence[Probabilities], after: Sequence[Probabilities]) -> None:
    """How often the rewrite fits the fact better than the reply it was made from."""
    edits = list(zip(before, after, strict=True))
    for name, better in (
        ("more entailed", [b.entailment < a.entailment for b, a in edits]),
        ("less contradictory", [b.contradiction > a.contradiction for b, a in edits]),
        (
            "P(entailment) - P(contradiction) higher",
            [b.entailment - b.contradiction < a.entailment - a.contradiction for b, a in edits],
        ),
    ):
        print(f"  the rewrite is {name:42} {share(sum(better), len(better))}")


def show_scale(pairs: Sequence[LabelledPair], scores: Sequence[Probabilities]) -> None:
    """Slope and offset from the log odds of contradiction against entailment to P(contradiction) (Platt, 1999)."""
    log_odds = (logit(np.array([score.contradiction for score in scores])) - OFFSET) / SLOPE
    fitted = LogisticRegression(C=np.inf).fit(log_odds[:, None], [pair.label == "contradiction" for pair in pairs])
    print(f"scale by {len(pairs)} other pairs: slope {fitted.coef_[0, 0]:.2f}, offset {fitted.intercept_[0]:.2f}")


async def evaluate(model: str, data: Path, written: Path | None, both_ways: bool) -> None:
    """Print the figures."""
    nli, sets, edits = Nli(NliModel(name=model, both_ways=both_ways)), held_out(data), minimal_edits(data)
    others: list[tuple[LabelledPair, Probabilities]] = []
    sets["minimal edits"] = [side for edit in edits for side in edit]
    print(f"{'pairs':28} {'n':>5}  accuracy   " + "   ".join(f"from {t}: prec. recall false" for t in THRESHOLDS))
    for name, pairs in sets.items():
        scores = await nli.score([(pair.premise, pair.hypothesis) for pair in pairs])
        show(name, pairs, scores)
        if name not in OPERATING:
            others += zip(pairs, scores, strict=True)
        if written is not None:
            written.mkdir(parents=True, exist_ok=True)
            write(pairs, written / f"{name.replace(', ', '-').replace(' ', '-')}.jsonl")
    show_edits(scores[::2], scores[1::2])
    if both_ways:
        show_scale(*zip(*others, strict=True))
    nli.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=Path, metavar="FOLDER", help="write the pairs there as JSON Lines")
    parser.add_argument("--one-way", action="store_true", help="P(contradiction) as the model gives it")
    given = parser.parse_args()
    asyncio.run(evaluate(given.model, given.data, given.pairs, not given.one_way))
