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


def is_of(report: Mapping[str, Any], identity: Identity, prefix: str = "") -> bool:
    """Whether a report belongs to these weights at these settings. Where it tells no settings, the weights decide.

    Args:
        report: of train/evaluate.py, or its `difference`.
        prefix: "minus_" for the other report of a `difference`.
    """
    answers = report.get(f"{prefix}answers_sha256")
    same = report.get(f"{prefix}sha256" if prefix else "weights_sha256") == identity.weights
    return same and answers in (None, identity.answers)
