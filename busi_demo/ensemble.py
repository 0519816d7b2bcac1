"""All approaches as one: their consensus, measured like an approach of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from busi_demo.consensus import TITLE, consensus
from busi_demo.imaging import Source
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.predictor import Predictor, load_predictor
from busi_demo.types import Prediction


class Ensemble:
    """Answers with the consensus of several predictors; to be used in the place of a `Predictor`.

    Args:
        members: two or more.
    """

    key, title = CONSENSUS, TITLE

    def __init__(self, members: Sequence[Predictor]) -> None:
        self.members = tuple(members)

    def predict(self, image: Source) -> Prediction:
        """As `Predictor.predict`; one forward pass of every member."""
        return consensus([member.predict(image) for member in self.members]).prediction

    def probabilities(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """As `Predictor.probabilities`: the mean over the members."""
        return np.mean([member.probabilities(images) for member in self.members], axis=0)

    def held_out(self, folds: Sequence[int | None]) -> Ensemble:
        """As `Predictor.held_out`; a fold for each member."""
        return Ensemble([member.held_out(fold) for member, fold in zip(self.members, folds, strict=True)])

    def randomised(self, seed: int = 0) -> Ensemble:
        """As `Predictor.randomised`, every member."""
        return Ensemble([member.randomised(seed) for member in self.members])


def load_ensemble(weights_folder: Path | None = None) -> Ensemble:
    """Load every approach, see `load_predictor`."""
    return Ensemble([load_predictor(key, weights_folder) for key in APPROACHES])
