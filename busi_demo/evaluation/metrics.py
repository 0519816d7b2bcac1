"""How good masks and classes are: pure functions on NumPy arrays and results, no network and no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix, roc_auc_score

from busi_demo.evaluation.calibration import ece
from busi_demo.types import CLASSES


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Overlap 2 |A and B| / (|A| + |B|) in [0, 1] (Dice 1945); 1.0 where both masks are empty.

    Args:
        prediction, truth: bool (H, W), True inside the lesion.
    Raises:
        ValueError: a mask is not bool, or the shapes differ.
    """
    _check_masks(prediction, truth)
    total = int(prediction.sum()) + int(truth.sum())
    return 2 * int((prediction & truth).sum()) / total if total else 1.0


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Overlap |A and B| / |A or B| in [0, 1] (Jaccard 1912). Arguments, empty masks and errors as in `dice`."""
    _check_masks(prediction, truth)
    union = int((prediction | truth).sum())
    return int((prediction & truth).sum()) / union if union else 1.0


@dataclass(frozen=True)
class ImageResult:
    """How one image went.

    Attributes:
        image: name of the image.
        label: its true class, one of `CLASSES`.
        probabilities: class name -> probability in [0, 1], all of `CLASSES` in their order, summing to 1.
        mask_dice: Dice of the predicted mask in [0, 1]; `None` where the true mask is empty, as that of every normal
            image is, or incomplete.
        mask_iou: IoU of the predicted mask in [0, 1]; `None` exactly where `mask_dice` is.
        predicted_mask_fraction: share of the image's pixels inside the predicted mask, in [0, 1].
        seconds: wall time of the prediction, in seconds.
    Raises:
        ValueError: a field has another range or other keys than said here.
    """

    image: str
    label: str
    probabilities: Mapping[str, float]
    mask_dice: float | None
    mask_iou: float | None
    predicted_mask_fraction: float
    seconds: float

    def __post_init__(self) -> None:
        if self.label not in CLASSES:
            raise ValueError(f"{self.image}: label must be one of {CLASSES}, got {self.label!r}.")
        if tuple(self.probabilities) != CLASSES:
            raise ValueError(f"{self.image}: probabilities must have the keys {CLASSES}, got {self.probabilities}.")
        if not abs(sum(self.probabilities.values()) - 1) < 1e-3 or min(self.probabilities.values()) < 0:
            raise ValueError(f"{self.image}: probabilities must be >= 0 and sum to 1, got {self.probabilities}.")
        if (self.mask_dice is None) != (self.mask_iou is None):
            raise ValueError(f"{self.image}: mask_dice and mask_iou must both be given or both be None.")
        if self.label == "normal" and self.mask_dice is not None:
            raise ValueError(f"{self.image}: a normal image has no lesion, so mask_dice must be None.")
        for name in ("mask_dice", "mask_iou", "predicted_mask_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{self.image}: {name} must lie in [0, 1], got {value}.")

    @property
    def predicted_class(self) -> str:
        """The most probable class; of equals the first in `CLASSES`."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """Probability of `predicted_class`, in [0, 1]."""
        return min(self.probabilities[self.predicted_class], 1.0)

    @property
    def correct(self) -> bool:
        """Whether `predicted_class` is the true one."""
        return self.predicted_class == self.label


def probability_matrix(results: Sequence[ImageResult]) -> np.ndarray:
    """Class probabilities of N results as float64 (N, 3), columns in the order of `CLASSES`."""
    return np.array([list(r.probabilities.values()) for r in results], dtype=np.float64).reshape(-1, len(CLASSES))


def summarise(results: Sequence[ImageResult]) -> dict[str, Any]:
    """Every number of the report, in plain JSON values; `None` wherever the images allow no answer.

    Returns:
        n: number of images.
        accuracy: share of images whose most probable class is the true one.
        macro_f1: mean F1 over all three classes, always: a class neither present nor predicted counts 0, so that
            the value means the same on every set of images.
        auc: class -> one-vs-rest area under the ROC curve; `None` where all or none of the images are of that class.
        lesion_dice, lesion_iou: mean over the `lesion_n` images with a complete lesion mask; a missed lesion counts 0.
        normal_false_mask_rate: share of the `normal_n` truly normal images whose predicted mask is not empty.
        ece: expected calibration error of the most probable class, 15 bins (Guo et al. 2017).
        brier: multi-class Brier score, the mean over images of the summed squared errors, in [0, 2] (Brier 1950).
        classes: `CLASSES`, the order of the next.
        confusion_matrix: 3 x 3 counts, rows the true class, columns the predicted one.
        classification_report: class -> precision, recall, f1-score, support; then accuracy, macro avg, weighted avg.
        sensitivity_malignant, specificity_malignant: of the most probable class being malignant.
    Raises:
        ValueError: there are no results.
    """
    if not results:
        raise ValueError("There is nothing to summarise: expected the result of at least one image.")
    truth = np.array([r.label for r in results])
    predicted = np.array([r.predicted_class for r in results])
    probabilities = probability_matrix(results)
    one_hot = truth[:, None] == np.array(CLASSES)
    report = classification_report(truth, predicted, labels=CLASSES, output_dict=True, zero_division=0)
    normals = [r for r in results if r.label == "normal"]
    lesions = [r for r in results if r.mask_dice is not None]
    malignant, called_malignant = truth == "malignant", predicted == "malignant"
    return {
        "n": len(results),
        "accuracy": float((predicted == truth).mean()),
        "macro_f1": float(report["macro avg"]["f1-score"]),
        "auc": {name: _auc(one_hot[:, i], probabilities[:, i]) for i, name in enumerate(CLASSES)},
        "lesion_dice": _mean([r.mask_dice for r in lesions]),
        "lesion_iou": _mean([r.mask_iou for r in lesions]),
        "lesion_n": len(lesions),
        "normal_false_mask_rate": _mean([r.predicted_mask_fraction > 0 for r in normals]),
        "normal_n": len(normals),
        "ece": ece(np.array([r.confidence for r in results]), predicted == truth),
        "brier": float(((probabilities - one_hot) ** 2).sum(axis=1).mean()),
        "classes": list(CLASSES),
        "confusion_matrix": confusion_matrix(truth, predicted, labels=CLASSES).tolist(),
        "classification_report": _plain(report),
        "sensitivity_malignant": _mean(called_malignant[malignant]),
        "specificity_malignant": _mean(~called_malignant[~malignant]),
    }


def _check_masks(prediction: np.ndarray, truth: np.ndarray) -> None:
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} must be a bool mask, got {mask.dtype}.")
    if prediction.shape != truth.shape:
        raise ValueError(f"The masks must have one shape, got {prediction.shape} and {truth.shape}.")


def _auc(positive: np.ndarray, score: np.ndarray) -> float | None:
    return float(roc_auc_score(positive, score)) if 0 < positive.sum() < len(positive) else None


def _mean(values: Sequence[Any] | np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    """scikit-learn's report without NumPy scalars and with whole numbers as its counts."""
    return {
        name: {key: int(v) if key == "support" else float(v) for key, v in row.items()}
        if isinstance(row, dict)
        else float(row)
        for name, row in report.items()
    }
