"""Weights of pairs that were drawn by strata: each stands for as many pairs as there are in its stratum for each that
is labelled (Horvitz and Thompson, 1952).

So rates hold for the pairs that the sample was drawn from, however unequal the chances were, and also if a part of the
sample was labelled, provided the rest of a stratum is like what was labelled of it. Limitations: a pair that two people
labelled counts as two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from factory.models import same
from factory.training.labelled import LabelledPair

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Strata:
    """The strata of labelled pairs, and how many pairs each pair stands for: 1 where none was drawn by strata. `model`
    is what is calibrated, as `factory.models.called` names it. Raises ValueError where only some were drawn."""

    def __init__(self, pairs: Sequence[LabelledPair], model: str) -> None:
        found = [pair.stratum and pair.stratum.model_copy(update={"scored_by": ""}) for pair in pairs]
        labelled = Counter(found)
        if 0 < labelled[None] < len(pairs):
            raise ValueError(
                f"{len(pairs) - labelled[None]} of {len(pairs)} pairs were drawn by factory pairs and stand for "
                "others; the rest were not: calibrate on either alone"
            )
        drawn = [stratum for stratum in labelled if stratum]
        self.weights: Floats = np.array([stratum.pairs / labelled[stratum] if stratum else 1 for stratum in found])
        self.stands_for = sum(stratum.pairs for stratum in drawn)
        """How many pairs there are in the strata of which some pair is labelled, and the same of the other strata."""
        self.unlabelled = sum({stratum.draw: stratum.of for stratum in drawn}.values()) - self.stands_for
        self._own = bool(drawn) and all(same(pair.stratum.scored_by, model) for pair in pairs if pair.stratum)
        numbers = {stratum: number for number, stratum in enumerate(labelled)}
        self._number = np.array([numbers[stratum] for stratum in found])
        self._sizes = np.array([stratum.pairs if stratum else len(pairs) for stratum in labelled])

    def effective_size(self, found: Mask, among: Mask) -> float:
        """How many pairs drawn with equal chances would tell the share of `found` in `among` as well as these.

        Where the model's own scores made the strata, it follows from how the share varies within them (Korn and
        Graubard, Survey Methodology 24, 1998), and is no more than the pairs stand for, since these are themselves a
        sample of what the corpus could hold. The scores of another model may flag a pair of any stratum, and what few
        such pairs there are in the largest may be missed, so there the weights alone tell (Kish, Survey Sampling,
        1965), and so they do where nothing was found."""
        known = self.weights[among]
        share = self.weights[found & among].sum() / known.sum()
        if self._own and 0 < share < 1:
            parts = self.weights * ((found & among) - share * among) / known.sum()
            counts = np.bincount(self._number)
            within = np.bincount(self._number, parts**2) - np.bincount(self._number, parts) ** 2 / counts
            unseen = np.maximum(1 - counts / self._sizes, 0)
            spread = (unseen * within * counts / np.maximum(counts - 1, 1)).sum()
            return float(1 / (spread / (share * (1 - share)) + 1 / known.sum()))
        return float(known.sum() ** 2 / (known**2).sum())
