"""Whether a report of train/evaluate.py belongs to the weights of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """Hashes of the weights of an approach; of the consensus key -> hash.

    Attributes:
        weights: `weights_sha256` of a report.
        answers: `answers_sha256` of a report.
    """

    weights: Any
    answers: Any

    def fits(self, weights: Any, answers: Any) -> bool:
        """Whether the hashes in a report are these. `answers` is `None` in a report that tells no settings: the weights
        decide alone then."""
        return weights == self.weights and answers in (None, self.answers)

    def by_approach(self) -> dict[str, Identity]:
        """Of the consensus key -> the hashes of that approach; of one approach these hashes, under an empty key."""
        if not isinstance(self.weights, Mapping):
            return {"": self}
        return {key: Identity(weights, self.answers[key]) for key, weights in self.weights.items()}
