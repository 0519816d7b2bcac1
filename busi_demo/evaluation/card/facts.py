"""The JSON files of an approach, and which of its evaluations belong to the weights of now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from busi_demo.evaluation.card.identity import Identity
from busi_demo.evaluation.card.tables import Report
from busi_demo.weights.trust_file import answers_sha256

REPORTING, SELECTION = "locked_test", "validation"
"""Values of `--images` of the evaluations that the card shows first."""


@dataclass(frozen=True)
class ApproachFacts:
    """The JSON files of one approach.

    Attributes:
        config: config.json; of the consensus only `sha256` and `answers_sha256`, key -> that of each approach.
        metrics: report/metrics.json, `None` where there is none.
        evaluations: name of the file without .json -> report of train/evaluate.py.
        trust: what was measured of trust in its answers; `None` where nothing was fitted.
        input_check: what was measured of its input check; `None` where nothing was fitted.
    """

    config: Mapping[str, Any]
    metrics: Report | None = None
    evaluations: Mapping[str, Report] = field(default_factory=dict)
    trust: Report | None = None
    input_check: Report | None = None

    def current(self) -> dict[str, Report]:
        """The evaluations of what config.json describes, sorted by name. Where a report does not say which sizes,
        thresholds and calibration it was made with, that of the same weights counts."""
        own = self.identity
        return {
            name: report
            for name, report in sorted(self.evaluations.items())
            if not _of_folds(report) and own.fits(report["weights_sha256"], report.get("answers_sha256"))
        }

    @property
    def of_folds(self) -> Report | None:
        """The evaluation of networks in several weights folders, trained alike, each without another fold, on the
        images that they held out (`train/evaluate.py --weights`). One of them may be that of the weights. `None` where
        there is none."""
        return next((report for _, report in sorted(self.evaluations.items()) if _of_folds(report)), None)

    @property
    def all_folds(self) -> Report | None:
        """The evaluation on all folds: of the weights themselves where their networks held out one each, else
        `of_folds`."""
        own = self.on(SELECTION)
        return own if own and own.get("cross_validated") else self.of_folds

    @property
    def ships_fold(self) -> bool:
        """Whether the weights are one of the networks of `of_folds`."""
        report = self.of_folds or {"weights_sha256": [], "answers_sha256": []}
        hashes = zip(report["weights_sha256"], report["answers_sha256"], strict=True)
        return any(self.identity.fits(*one) for one in hashes)

    @property
    def identity(self) -> Identity:
        """What a report of `train/evaluate.py` says of the weights that it belongs to, for those of now."""
        answers = self.config["answers_sha256"] if "answers_sha256" in self.config else answers_sha256(self.config)
        return Identity(self.config["sha256"], answers)

    def on(self, images: str) -> Report | None:
        """The first of them on `--images` of that name."""
        return next((e for e in self.current().values() if e["images"] == images), None)


def _of_folds(report: Report) -> bool:
    """Whether a report is on several weights folders, see `evaluate.identity_of`."""
    return isinstance(report.get("weights_sha256"), list)
