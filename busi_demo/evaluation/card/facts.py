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
        images that they held out (`train/evaluate.py --weights`), one of which is that of the weights; of the consensus
        those of one approach at least. `None` where there is none, or the weights hold out several folds themselves."""
        if self._own_folds:
            return None
        reports = (report for _, report in sorted(self.evaluations.items()) if _of_folds(report))
        return next((r for r in reports if len(self._absent(r)) < len(self.identity.by_approach())), None)

    @property
    def all_folds(self) -> Report | None:
        """The evaluation on several folds: of the weights themselves where their networks held out one each, else
        `of_folds`."""
        return self._own_folds or self.of_folds

    @property
    def _own_folds(self) -> Report | None:
        own = self.on(SELECTION)
        return own if own and own.get("cross_validated") else None

    @property
    def absent(self) -> list[str]:
        """Keys of the approaches in `of_folds` none of whose networks is that of the weights."""
        return self._absent(self.of_folds) if self.of_folds else []

    def _absent(self, report: Report) -> list[str]:
        pairs = zip(report["weights_sha256"], report["answers_sha256"], strict=True)
        measured = [Identity(*pair).by_approach() for pair in pairs]
        return [key for key, own in self.identity.by_approach().items() if all(m.get(key) != own for m in measured)]

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
    return all(isinstance(report.get(name), list) for name in ("weights_sha256", "answers_sha256"))
