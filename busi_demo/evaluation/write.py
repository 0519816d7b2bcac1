"""The report of one approach on one split: plots, a text table and the numbers as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from busi_demo.evaluation.plots import DPI, confusion_matrix_figure, learning_curves, reliability_figure, roc_figure
from busi_demo.evaluation.results import ImageResult, probability_matrix
from busi_demo.project import save_whole


def classification_report_text(summary: Mapping[str, Any]) -> str:
    """What `metrics.summarise` returned as aligned plain text, two tables and a list; ends with a line break."""
    report, classes = summary["classification_report"], summary["classes"]
    lines = [f"{'':<14}{'precision':>11}{'recall':>11}{'f1-score':>11}{'support':>11}{'AUC':>11}"]
    for name in (*classes, "macro avg", "weighted avg"):
        row = report[name]
        scores = "".join(f"{row[key]:>11.3f}" for key in ("precision", "recall", "f1-score"))
        area = _number(summary["auc"][name]) if name in classes else ""
        lines.append(f"{name:<14}{scores}{row['support']:>11}{area:>11}".rstrip())
    lines += ["", f"{'true class':<14}{'predicted':>11}", f"{'':<14}{''.join(f'{name:>11}' for name in classes)}"]
    for name, row in zip(classes, summary["confusion_matrix"], strict=True):
        lines.append(f"{name:<14}{''.join(f'{count:>11}' for count in row)}")
    lines.append("")
    for label, key, n in (
        ("accuracy", "accuracy", summary["n"]),
        ("malignant sensitivity", "sensitivity_malignant", report["malignant"]["support"]),
        ("malignant specificity", "specificity_malignant", summary["n"] - report["malignant"]["support"]),
        ("lesion Dice", "lesion_dice", summary["lesion_n"]),
        ("lesion IoU", "lesion_iou", summary["lesion_n"]),
        ("normals with a false mask", "normal_false_mask_rate", summary["normal_n"]),
        ("expected calibration error", "ece", summary["n"]),
        ("Brier score (0 to 2)", "brier", summary["n"]),
    ):
        lines.append(f"{label:<28}{_number(summary[key]):>8}   n = {n}")
    return "\n".join(lines) + "\n"


def write_report(
    folder: Path,
    *,
    title: str,
    summary: Mapping[str, Any],
    results: Sequence[ImageResult],
    history: Sequence[Mapping[str, Any]] = (),
    earlier: Sequence[Sequence[Mapping[str, Any]]] = (),
) -> list[Path]:
    """Write the whole report, each file atomically: a reader sees the old file or the new one, never a half.

    Args:
        folder: made if it is not there. It receives confusion_matrix.png, reliability.png, roc.png,
            classification_report.txt, metrics.json (the summary) and, where there is a history, history.csv and
            learning_curves.png.
        title: what was measured on which split, for example 'multitask_unet, BUSI validation'.
        summary: `metrics.summarise(results)`; further plain JSON values may stand in it.
        results: what the summary was made of.
        history: rows of the training run, see `learning_curves`; empty where only an evaluation was run.
        earlier: rows of the stages of training before, the oldest first; they are drawn, not written.
    Returns:
        The paths written.
    Raises:
        ValueError, TypeError: a number in the summary is NaN or infinite, or a value has no JSON form.
    """
    confidences = np.array([r.confidence for r in results])
    correct = np.array([r.correct for r in results])
    labels, probabilities = [r.label for r in results], probability_matrix(results)
    heading = f"{title}, n = {summary['n']}"
    files = {
        "confusion_matrix.png": _png(confusion_matrix_figure(summary, title=title)),
        "reliability.png": _png(reliability_figure(confidences, correct, title=title)),
        "roc.png": _png(roc_figure(labels, probabilities, title=title)),
        "classification_report.txt": f"{heading}\n\n{classification_report_text(summary)}".encode(),
        "metrics.json": (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode(),
    }
    if history:
        files["history.csv"] = history_csv(history).encode()
        files["learning_curves.png"] = _png(learning_curves(history, title=title, earlier=earlier))
    return [save_whole(folder / name, content) for name, content in files.items()]


def history_csv(history: Sequence[Mapping[str, Any]]) -> str:
    """The rows of a training run as CSV text, the columns those of the first row; `None` becomes an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _png(figure: Figure) -> bytes:
    """The figure as PNG with a palette: a third of the size, for reports are committed."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    # Not the default median cut: it gives a thin line the colour of another.
    palette = Image.open(drawn).convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(small, format="PNG", optimize=True)
    return small.getvalue()
