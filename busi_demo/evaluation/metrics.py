"""Metrics of masks and classes: pure functions on results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix, roc_auc_score

from busi_demo.evaluation.calibration import ece
from busi_demo.evaluation.results import ImageResult, probability_matrix
from busi_demo.types import CLASSES


def summarise(results: Sequence[ImageResult]) -> dict[str, Any]:
    """Every number of the report, in plain JSON values; `None` wherever the images allow no answer.

    Returns:
        n: number of images.
        accuracy: share of images where the most probable class is the true one.
        macro_f1: mean F1 over the classes that the images have; so are the macro averages of the report.
        auc: class -> one-vs-rest area under the ROC curve; `None` where all or none of the images are of that class.
        lesion_dice, lesion_iou: mean over the `lesion_n` images with a complete lesion mask; a missed lesion counts 0.
        normal_false_mask_rate: share of the `normal_n` truly normal images with a predicted mask that is not empty.
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
    present = [name for name in CLASSES if (truth == name).any()]
    for score in ("precision", "recall", "f1-score"):
        report["macro avg"][score] = np.mean([report[name][score] for name in present])
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
