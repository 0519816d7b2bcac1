"""The report of one approach on one split: plots, a text table and the numbers as JSON.

The figures are plain `matplotlib.figure.Figure` objects: no pyplot, no display, no global state, and safe in
threads. Colours are those of Okabe and Ito (2008), and no two lines differ by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import auc, roc_curve

from busi_demo.evaluation.calibration import BINS, ece, reliability_curve
from busi_demo.types import CLASSES

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"
CLASS_STYLES = {"benign": (BLUE, "-"), "malignant": (ORANGE, "--"), "normal": (GREEN, "-.")}
LOSS_STYLES = {
    "train_loss": ("training: whole loss", BLUE, "-"),
    # not the same quantity as in validation: targets are smoothed and images augmented
    "train_classification": ("training: cross-entropy, smoothed", PURPLE, ":"),
    "val_cross_entropy": ("validation: cross-entropy", ORANGE, "--"),
}
SCORE_STYLES = {
    "val_accuracy": ("accuracy", BLUE, "-"),
    "val_lesion_dice": ("lesion Dice", GREEN, "--"),
    "val_score": ("validation score", PURPLE, ":"),
}
DPI = 110


def learning_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    title: str,
    columns: int = 2,
    earlier: Sequence[Sequence[Mapping[str, Any]]] = (),
) -> Figure:
    """The losses of training, the cross-entropy and the scores of validation, over the epochs; the best one is marked.

    A training in stages is drawn as one curve: epochs are counted on from stage to stage, a line marks each border, and
    the best epoch is that of the last stage, which made the weights.

    Only the cross-entropy is comparable between training and validation, and only roughly: in training, targets are
    smoothed, and images are augmented and drawn by weight. The whole training loss includes the masks, and the
    losses of `--findings` and `--hints`.

    Args:
        history: one row an epoch, as numbers or as the text that `csv.DictReader` returns. `epoch` is needed; drawn are
            the columns of `LOSS_STYLES` and `SCORE_STYLES`, those that are there.
        title: what was trained.
        columns: 2 for loss and scores side by side, 1 for one above the other.
        earlier: histories of the stages before, the oldest first.
    Raises:
        ValueError: a history is empty.
    """
    stages = [*earlier, history]
    if not all(stages):
        raise ValueError("There is nothing to draw: expected the history of at least one epoch.")
    rows, epochs, borders = [row for stage in stages for row in stage], np.empty(0), []
    for stage in stages:
        start = epochs[-1] if len(epochs) else 0
        borders.append(start + 0.5)
        epochs = np.append(epochs, start + _column(stage, "epoch"))
    marker = "o" if any(len(stage) == 1 for stage in stages) else ""
    score = _column(history, "val_score")
    figure = Figure(figsize=(9, 4.4) if columns == 2 else (5, 7.6), layout="constrained")
    loss_axes, score_axes = figure.subplots(3 - columns, columns)
    for axes, styles in ((loss_axes, LOSS_STYLES), (score_axes, SCORE_STYLES)):
        for name, (label, colour, style) in styles.items():
            values = _column(rows, name)
            if np.isfinite(values).any():
                axes.plot(
                    epochs,
                    values,
                    style,
                    color=colour,
                    label=label,
                    marker=marker,
                    markersize=6 if len(rows) == 1 else 4,
                    linewidth=1.8,
                )
        for number, border in enumerate(borders[1:], 2):
            axes.axvline(
                border, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=0, label=f"stage {number} starts"
            )
        if np.isfinite(score).any():
            best = epochs[len(rows) - len(history) + np.nanargmax(score)]
            label = "best epoch" if len(stages) == 1 else f"best epoch of stage {len(stages)}"
            axes.axvline(best, color=GREY, linewidth=1, alpha=0.7, zorder=0, label=f"{label}: {best:.0f}")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        # below the axes: inside them it would cover a curve
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, frameon=False)
    loss_axes.update_datalim([(0, 0)], updatex=False)
    loss_axes.set(ylabel="loss")
    loss_axes.autoscale_view(scalex=False)
    loss_axes.set_ylim(bottom=0)
    score_axes.set(ylabel="validation metric", ylim=(0, 1.02))
    length = f"{len(rows)} epoch{'s' if len(rows) > 1 else ''}"
    _entitle(figure, f"Learning curves: {title}, {length}{f' in {len(stages)} stages' if earlier else ''}")
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
    """ROC curve of each class against the rest; undefined for a class that all or none of the images have.

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


ROBUSTNESS_STYLES = {
    "accuracy": ("accuracy", BLUE, "-", "o"),
    "lesion_dice": ("lesion Dice", GREEN, "--", "s"),
    "confidence": ("mean confidence", PURPLE, ":", "^"),
}


def corruptions_figure(measured: Mapping[str, Any], *, title: str) -> Figure:
    """Accuracy, lesion Dice and mean confidence against the severity of each corruption; severity 0 is the image as it
    is.

    Args:
        measured: of `robustness.measure_corruptions`.
        title: what was measured on which images.
    """
    names = list(measured["corruptions"])
    figure = Figure(figsize=(5, 5.4), layout="constrained")
    grid = figure.subplots(-(-len(names) // 3), 3, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        rows = [measured["clean"], *measured["corruptions"][name]]
        for key, (label, colour, style, marker) in ROBUSTNESS_STYLES.items():
            values = _column(rows, key)
            if np.isfinite(values).any():
                axes.plot([0, *measured["severities"]], values, style, color=colour, label=label, marker=marker,
                          markersize=3, linewidth=1.4)  # fmt: skip
        axes.set_title(name, fontsize=9)
        axes.set(ylim=(0, 1.02), xticks=[0, *measured["severities"]])
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    grid[-1, 1].set_xlabel("severity, 0 is the image as it is", fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    _entitle(figure, f"Corrupted images: {title}, n = {measured['n']}")
    return figure


def kept_figure(measured: Mapping[str, Any], *, title: str) -> Figure:
    """Accuracy against the share of answers that are kept, the surest first, beside the ideal order.

    Args:
        measured: `TrustFit.measured`.
        title: of the approach.
    """
    kept, levels = measured["kept"], measured["levels"]
    shares, accuracy = np.array(kept["share"]), np.array(kept["accuracy"])
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(shares, accuracy, color=BLUE, label="the surest answers")
    axes.plot(shares, np.minimum(1, accuracy[-1] / shares), "--", color="0.5", label="if all wrong answers came last")
    green, n = levels["green"], sum(row["n"] for row in levels.values())
    if green["n"]:
        axes.plot(green["n"] / n, green["right"] / green["n"], "o", color=GREEN, label="green answers")
    lowest = float(accuracy.min())
    if (dice := measured.get("kept_dice")) and dice["mean"]:
        axes.plot(dice["share"], dice["mean"], ":", color=PURPLE, label="mean Dice of lesions, by the same order")
        lowest = min(lowest, *dice["mean"])
    axes.set(xlim=(0, 1.02), ylim=(min(0.7, lowest - 0.03), 1.005), xlabel="share of answers kept",
             ylabel="share of them that is right, Dice")  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    _entitle(figure, f"Answers kept: {title}, n = {n}")
    return figure


def _column(history: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """One column as float64, NaN where a row has no value (a stage without a mask has no Dice)."""
    values = (row.get(name) for row in history)
    return np.array([np.nan if value in (None, "") else float(value) for value in values])


def _entitle(figure: Figure, text: str) -> None:
    """Write the title, wrapped to the width of the figure; a dollar sign in a folder's name starts no formula."""
    # Escaped, because Matplotlib ignores parse_math=False when it wraps.
    figure.suptitle(text.replace("$", r"\$"), fontsize=11, wrap=True)


# heading, then each measure with its label; the map's own comes first
ROWS = (
    ("energy inside the lesion (high is good)", (
        ("energy_inside", "Grad-CAM"), ("area_share", "even map"), ("gaussian_energy_inside", "centred blob"))),
    ("strongest pixel inside the lesion (high)", (("pointing_hit", "Grad-CAM"),)),
    ("deletion AUC (low is good)", (("deletion_auc", "Grad-CAM"), ("deletion_auc_random", "random order"))),
    ("insertion AUC (high is good)", (("insertion_auc", "Grad-CAM"), ("insertion_auc_random", "random order"))),
    ("likeness to random weights (low is good)", (("randomised_correlation_absolute", "Grad-CAM"),)),
)  # fmt: skip


def cam_figure(cam: Mapping[str, Any], *, title: str) -> Figure:
    """The mean of each measure with its interval, and that of an uninformative map.

    Args:
        cam: of `summarise_cams`; a measure that is undefined is left out.
        title: what was measured on which images.
    """
    measures, ticks, labels, at = cam["measures"], [], [], 0.0
    figure = Figure(figsize=(5, 5.4), layout="constrained")
    axes = figure.subplots()
    for heading, rows in ROWS:
        axes.text(0, at, heading, fontsize=9, fontweight="bold", va="center")
        at += 0.8
        for name, label in rows:
            measure = measures.get(name, {"mean": None})
            own = label == "Grad-CAM"
            if measure["mean"] is not None:
                low, high = measure.get("interval") or [measure["mean"]] * 2
                axes.plot([low, high], [at, at], color=BLUE if own else GREY, linewidth=2)
                axes.plot(measure["mean"], at, "o" if own else "D", color=ORANGE if own else GREY, markersize=6)
                axes.text(1.02, at, f"{measure['mean']:.2f}", fontsize=9, va="center")
                ticks.append(at)
                labels.append(label)
            at += 0.8
        at += 0.4
    axes.set_yticks(ticks, labels)
    axes.set(xlim=(0, 1.14), ylim=(at - 0.4, -0.6), xlabel="mean, 95 % interval")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="x", alpha=0.3)
    figure.suptitle(f"Grad-CAM: {title}, n = {cam['n']}".replace("$", r"\$"), fontsize=11, wrap=True)
    return figure
