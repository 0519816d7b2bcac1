"""The report of one approach on one split: plots, a text table and the numbers as JSON.

The figures are plain `matplotlib.figure.Figure` objects: no pyplot, hence no display, no global state, and safe in
threads. Colours are those of Okabe and Ito (2008), and no two lines differ by colour alone.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from sklearn.metrics import auc, roc_curve

from busi_demo.evaluation.calibration import BINS, ece, reliability_curve
from busi_demo.evaluation.metrics import ImageResult, probability_matrix
from busi_demo.types import CLASSES

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"
CLASS_STYLES = {"benign": (BLUE, "-"), "malignant": (ORANGE, "--"), "normal": (GREEN, "-.")}
LOSS_STYLES = {
    "train_loss": ("training: whole loss", BLUE, "-"),
    # alike, not the same: targets are smoothed and images augmented in training
    "train_classification": ("training: cross-entropy, smoothed", PURPLE, ":"),
    "val_cross_entropy": ("validation: cross-entropy", ORANGE, "--"),
}
SCORE_STYLES = {
    "val_accuracy": ("accuracy", BLUE, "-"),
    "val_lesion_dice": ("lesion Dice", GREEN, "--"),
    "val_score": ("validation score", PURPLE, ":"),
}
DPI = 110


def learning_curves(history: Sequence[Mapping[str, Any]], *, title: str, columns: int = 2) -> Figure:
    """The losses of training, the cross-entropy and the scores of validation, over the epochs; the best one is marked.

    Only the class is comparable between training and validation, and not to the last digit: in training its targets are
    smoothed, its images augmented and drawn by weight. The whole training loss has the masks in it too.

    Args:
        history: one row an epoch, as numbers or as the text that `csv.DictReader` returns. `epoch` is needed; drawn are
            the columns of `LOSS_STYLES` and `SCORE_STYLES`, those that are there.
        title: what was trained.
        columns: 2 for loss and scores side by side, 1 for one above the other.
    Raises:
        ValueError: the history is empty.
    """
    if not history:
        raise ValueError("There is nothing to draw: expected the history of at least one epoch.")
    epochs, score = _column(history, "epoch"), _column(history, "val_score")
    figure = Figure(figsize=(9, 3.8) if columns == 2 else (5, 6.4), layout="constrained")
    loss_axes, score_axes = figure.subplots(3 - columns, columns)
    for axes, styles in ((loss_axes, LOSS_STYLES), (score_axes, SCORE_STYLES)):
        for name, (label, colour, style) in styles.items():
            values = _column(history, name)
            if np.isfinite(values).any():
                marker = "o" if len(epochs) == 1 else ""
                axes.plot(epochs, values, style, color=colour, label=label, marker=marker, linewidth=1.8)
        if np.isfinite(score).any():
            best = epochs[np.nanargmax(score)]
            axes.axvline(best, color=GREY, linewidth=1, alpha=0.7, zorder=0, label=f"best epoch: {best:.0f}")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=9)
    loss_axes.update_datalim([(0, 0)], updatex=False)
    loss_axes.set(ylabel="loss")
    loss_axes.autoscale_view(scalex=False)
    loss_axes.set_ylim(bottom=0)
    score_axes.set(ylabel="validation metric", ylim=(0, 1.02))
    _entitle(figure, f"Learning curves: {title}, {len(history)} epoch{'s' if len(history) > 1 else ''}")
    return figure


def confusion_matrix_figure(summary: Mapping[str, Any], *, title: str) -> Figure:
    """The confusion matrix of `metrics.summarise`: counts, and in each row the share of the true class."""
    counts, classes = np.array(summary["confusion_matrix"]), summary["classes"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(5.4, 4.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color="white" if shares[row, column] > 0.5 else "black")
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), [f"{c}\n(n = {n})" for c, n in zip(classes, counts.sum(axis=1), strict=True)])
    axes.set(xlabel="predicted class", ylabel="true class")
    _entitle(figure, f"Confusion matrix: {title}, n = {counts.sum()}\naccuracy {summary['accuracy']:.3f}")
    figure.colorbar(image, ax=axes, label="share of the true class", format=lambda value, _: f"{value:.0%}")
    return figure


def reliability_figure(confidences: np.ndarray, correct: np.ndarray, *, title: str) -> Figure:
    """Reliability diagram: accuracy against confidence in 15 bins, and below how many images each bin holds.

    Arguments and errors are those of `calibration.reliability_curve`.
    """
    curve = reliability_curve(confidences, correct)
    left, filled = np.arange(BINS) / BINS, curve.count > 0
    bar = {"width": 1 / BINS, "align": "edge", "edgecolor": "white", "linewidth": 0.6}
    figure = Figure(figsize=(5, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.bar(left[filled], curve.accuracy[filled], color=BLUE, alpha=0.45, label="accuracy in the bin", **bar)
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    above.plot(curve.confidence[filled], curve.accuracy[filled], "o", color=ORANGE, markersize=5, label="bin mean")
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.03))
    above.grid(alpha=0.3)
    above.legend(fontsize=9, loc="upper left")
    below.bar(left, curve.count, color=GREY, **bar)
    below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    below.set(xlabel="confidence (probability of the predicted class)", ylabel="images")
    error = f"expected calibration error {ece(confidences, correct):.3f}"
    _entitle(figure, f"Reliability: {title}, n = {curve.count.sum()}\n{error}")
    return figure


def roc_figure(labels: Sequence[str], probabilities: np.ndarray, *, title: str) -> Figure:
    """ROC curve of each class against the rest; none for a class of which all or none of the images are.

    Args:
        labels: N true classes.
        probabilities: float (N, 3), columns in the order of `CLASSES`.
        title: what was measured on which split.
    """
    figure = Figure(figsize=(5, 4.9), layout="constrained")
    axes = figure.subplots()
    for index, name in enumerate(CLASSES):
        positive = np.asarray(labels) == name
        colour, style = CLASS_STYLES[name]
        if positive.all() or not positive.any():
            axes.plot([], [], style, color=colour, label=f"{name}: undefined (n = {positive.sum()})")
            continue
        false_rate, true_rate, _ = roc_curve(positive, probabilities[:, index])
        label = f"{name}: AUC {auc(false_rate, true_rate):.3f} (n = {positive.sum()})"
        axes.plot(false_rate, true_rate, style, color=colour, label=label, linewidth=1.8, clip_on=False)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="chance")
    axes.set(xlabel="false positive rate (1 - specificity)", ylabel="true positive rate (sensitivity)")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    _entitle(figure, f"ROC, each class against the rest: {title}, n = {len(labels)}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)
    return figure


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
        files["learning_curves.png"] = _png(learning_curves(history, title=title))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write_atomically(folder / name, content)
    return [folder / name for name in files]


def history_csv(history: Sequence[Mapping[str, Any]]) -> str:
    """The rows of a training run as CSV text, the columns those of the first row; `None` becomes an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def _column(history: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """One column as float64, NaN where a row has no value (a stage without a mask has no Dice)."""
    values = (row.get(name) for row in history)
    return np.array([np.nan if value in (None, "") else float(value) for value in values])


def _entitle(figure: Figure, text: str) -> None:
    """Write the title, in as many lines as the figure's width asks for; a dollar in a folder's name is no formula."""
    # Escaped, for parse_math=False is not heeded where Matplotlib wraps.
    figure.suptitle(text.replace("$", r"\$"), fontsize=11, wrap=True)


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


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
