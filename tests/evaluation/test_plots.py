from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.plots import (
    CLASS_STYLES,
    LOSS_STYLES,
    confusion_matrix_figure,
    learning_curves,
    reliability_figure,
    roc_figure,
)
from busi_demo.evaluation.results import ImageResult, probability_matrix
from busi_demo.evaluation.write import classification_report_text, write_report
from busi_demo.types import CLASSES

FILES = {"confusion_matrix.png", "reliability.png", "roc.png", "classification_report.txt", "metrics.json"}


def some_results(n: int = 40, classes: int = 3) -> list[ImageResult]:
    """Results for the first `classes` classes, about three of four correct."""
    rng, results = np.random.RandomState(3), []
    for i in range(n):
        label = CLASSES[i % classes]
        odds = rng.random_sample(3) * 0.6
        odds[i % classes] += 0.4
        probabilities = dict(zip(CLASSES, (odds / odds.sum()).tolist(), strict=True))
        overlap = None if label == "normal" else float(rng.random_sample())
        smaller = None if overlap is None else overlap / (2 - overlap)
        results.append(ImageResult(f"{i}", label, probabilities, overlap, smaller, float(i % 4 == 0), 0.1))
    return results


def epochs(n: int, **changes) -> list[dict]:
    """n epochs with the columns that `fit` writes; the validation score is best in the one before the last, if any."""
    return [
        {"epoch": e, "input_size": 64, "learning_rate": 1e-3, "train_loss": 2 / e, "train_segmentation": 0.5 / e,
         "train_classification": 1.5 / e, "val_cross_entropy": 3 / e, "val_accuracy": 0.5 + e / 100,
         "val_macro_f1": 0.4, "val_malignant_auc": 0.8, "val_lesion_dice": e / 50, "val_normal_false_mask_rate": 0.1,
         "val_score": 0.9 if e == max(n - 1, 1) else 0.4} | changes
        for e in range(1, n + 1)
    ]  # fmt: skip


LOSS_LABELS = {label for label, _, _ in LOSS_STYLES.values()}


def lines(axes: Axes) -> dict[str, list[list[float]]]:
    """Label of each labelled line -> its points as [xs, ys]."""
    return {
        line.get_label(): [np.asarray(values, dtype=float).tolist() for values in line.get_data()]
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def title(figure: Figure) -> str:
    return figure.get_suptitle()


def test_every_file_is_written_with_the_values_of_the_summary(tmp_path):
    results = some_results()
    summary = summarise(results)
    folder = tmp_path / "a" / "report"
    written = write_report(folder, title="net, set", summary=summary, results=results, history=epochs(3))
    expected = FILES | {"learning_curves.png", "history.csv"}
    assert {path.name for path in written} == {path.name for path in folder.iterdir()} == expected
    assert json.loads((folder / "metrics.json").read_text()) == summary
    text = (folder / "classification_report.txt").read_text()
    assert text == f"net, set, n = 40\n\n{classification_report_text(summary)}"
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(1 << 20)) > 10, path


def test_the_files_keep_the_colour_of_the_thinnest_line(tmp_path):
    results = some_results(6, classes=2)  # normal is undefined: its line stands in the legend alone
    write_report(tmp_path, title="t", summary=summarise(results), results=results)
    with Image.open(tmp_path / "roc.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for name, (colour, _) in CLASS_STYLES.items():
        expected = [round(255 * part) for part in to_rgb(colour)]
        assert np.abs(pixels - expected).max(axis=2).min() <= 8, name


def test_without_a_history_there_are_no_learning_curves(tmp_path):
    results = some_results(6)
    written = write_report(tmp_path, title="t", summary=summarise(results), results=results)
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()} == FILES


@pytest.mark.parametrize(("value", "error"), [
    (float("nan"), ValueError), (float("inf"), ValueError), (np.float32(0.5), TypeError),
])  # fmt: skip
def test_a_number_that_json_lacks_is_refused_before_anything_is_written(tmp_path, value, error):
    results = some_results(6)
    with pytest.raises(error):
        write_report(tmp_path / "r", title="t", summary=summarise(results) | {"extra": value}, results=results)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("failure", ["half written", "not renamed"])
def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch, failure):
    results = some_results(6)
    for name in FILES:
        (tmp_path / name).write_text("old")
    write_bytes = Path.write_bytes

    def stop_in_the_middle(path: Path, content: bytes) -> int:
        write_bytes(path, content[: len(content) // 2])
        raise OSError("disk full")

    def refuse(source: object, target: object) -> None:
        raise OSError("disk full")

    if failure == "half written":
        monkeypatch.setattr(Path, "write_bytes", stop_in_the_middle)
    else:
        monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, title="t", summary=summarise(results), results=results)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(FILES, "old")


def test_the_text_shows_the_numbers_of_the_summary():
    summary = summarise(some_results())
    rows = [line.split() for line in classification_report_text(summary).splitlines()]
    for name in CLASSES:
        scores = summary["classification_report"][name]
        row = [f"{scores[key]:.3f}" for key in ("precision", "recall", "f1-score")]
        assert [name, *row, str(scores["support"]), f"{summary['auc'][name]:.3f}"] in rows
        counts = summary["confusion_matrix"][CLASSES.index(name)]
        assert [name, *map(str, counts)] in rows
    averages = summary["classification_report"]["macro avg"]
    assert ["macro", "avg", *(f"{averages[k]:.3f}" for k in ("precision", "recall", "f1-score")), "40"] in rows
    for label, key, n in (
        ("accuracy", "accuracy", 40), ("malignant sensitivity", "sensitivity_malignant", 13),
        ("malignant specificity", "specificity_malignant", 27), ("lesion Dice", "lesion_dice", 27),
        ("lesion IoU", "lesion_iou", 27), ("normals with a false mask", "normal_false_mask_rate", 13),
        ("expected calibration error", "ece", 40), ("Brier score (0 to 2)", "brier", 40),
    ):  # fmt: skip
        assert [*label.split(), f"{summary[key]:.3f}", "n", "=", str(n)] in rows


def test_the_text_shows_a_dash_for_an_undefined_number():
    rows = [line.split() for line in classification_report_text(summarise(some_results(8, classes=2))).splitlines()]
    assert ["normal", "0.000", "0.000", "0.000", "0", "-"] in rows
    assert ["normals", "with", "a", "false", "mask", "-", "n", "=", "0"] in rows


def test_confusion_matrix_figure():
    summary = {"confusion_matrix": [[3, 1, 0], [0, 2, 0], [0, 0, 0]], "classes": list(CLASSES), "accuracy": 5 / 6}
    figure = confusion_matrix_figure(summary, title="net, set")
    axes = figure.axes[0]
    found = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert found == {
        (0, 0): "3\n75%", (0, 1): "1\n25%", (0, 2): "0\n0%",
        (1, 0): "0\n0%", (1, 1): "2\n100%", (1, 2): "0\n0%",
        (2, 0): "0\n0%", (2, 1): "0\n0%", (2, 2): "0\n0%",
    }  # fmt: skip
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CLASSES)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "benign\n(n = 4)", "malignant\n(n = 2)", "normal\n(n = 0)",
    ]  # fmt: skip
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert title(figure) == "Confusion matrix: net, set, n = 6\naccuracy 0.833"
    dark = {text.get_text(): text.get_color() for text in axes.texts}
    assert dark["3\n75%"] == "white" and dark["1\n25%"] == "black"


def test_reliability_figure():
    confidences = np.array([0.62, 0.62, 0.62, 0.62, 0.97])  # bins 10 and 15 of 15
    correct = np.array([True, False, False, False, True])
    figure = reliability_figure(confidences, correct, title="net")
    above, below = figure.axes
    bars = [(round(bar.get_x() * 15), bar.get_height()) for bar in above.patches]
    assert bars == [(9, 0.25), (14, 1.0)]
    assert {round(bar.get_x() * 15): bar.get_height() for bar in below.patches if bar.get_height()} == {9: 4, 14: 1}
    xs, ys = lines(above)["bin mean"]
    assert xs == pytest.approx([0.62, 0.97]) and ys == [0.25, 1.0]
    assert lines(above)["perfect calibration"] == [[0, 1], [0, 1]]
    # (4 * |0.25 - 0.62| + |1 - 0.97|) / 5
    assert title(figure) == "Reliability: net, n = 5\nexpected calibration error 0.302"


def test_roc_figure():
    labels = ["malignant", "benign", "malignant", "benign"]
    probabilities = np.array([[0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.8, 0.1, 0.1]])
    figure = roc_figure(labels, probabilities, title="net")
    found = lines(figure.axes[0])
    # malignant by falling probability: right, wrong, right, wrong
    assert found["malignant: AUC 0.750 (n = 2)"] == [[0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1]]
    assert found["benign: AUC 0.750 (n = 2)"] == [[0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1]]
    assert found["normal: undefined (n = 0)"] == [[], []]
    assert found["chance"] == [[0, 1], [0, 1]]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == list(found)
    assert title(figure) == "ROC, each class against the rest: net, n = 4"


def test_the_figures_show_the_numbers_of_the_summary():
    results = some_results()
    summary = summarise(results)
    found = lines(roc_figure([r.label for r in results], probability_matrix(results), title="t").axes[0])
    n = {name: sum(r.label == name for r in results) for name in CLASSES}
    assert [label for label in found if label != "chance"] == [
        f"{name}: AUC {summary['auc'][name]:.3f} (n = {n[name]})" for name in CLASSES
    ]
    confidences, correct = np.array([r.confidence for r in results]), np.array([r.correct for r in results])
    assert f"error {summary['ece']:.3f}" in title(reliability_figure(confidences, correct, title="t"))
    assert f"accuracy {summary['accuracy']:.3f}" in title(confusion_matrix_figure(summary, title="t"))


def test_learning_curves():
    history = epochs(5)
    figure = learning_curves(history, title="net")
    loss, score = (lines(axes) for axes in figure.axes)
    x = [1, 2, 3, 4, 5]
    best = [[4, 4], [0, 1]]
    assert loss == {
        "training: whole loss": [x, [2 / e for e in x]],
        "training: cross-entropy, smoothed": [x, [1.5 / e for e in x]],
        "validation: cross-entropy": [x, [3 / e for e in x]],
        "best epoch: 4": best,
    }
    assert score == {
        "accuracy": [x, [row["val_accuracy"] for row in history]],
        "lesion Dice": [x, [row["val_lesion_dice"] for row in history]],
        "validation score": [x, [0.4, 0.4, 0.4, 0.9, 0.4]],
        "best epoch: 4": best,
    }
    assert title(figure) == "Learning curves: net, 5 epochs"
    assert figure.axes[0].get_ylim()[0] == 0 and figure.axes[1].get_ylim() == (0, 1.02)


def test_learning_curves_of_a_csv_file_are_those_of_the_numbers():
    text = [{name: str(value) for name, value in row.items()} for row in epochs(4)]
    expected, found = (learning_curves(history, title="t").axes for history in (epochs(4), text))
    assert [lines(axes) for axes in found] == [lines(axes) for axes in expected]


@pytest.mark.parametrize("nothing", [None, ""])
def test_learning_curves_of_a_stage_without_a_dice(nothing):
    loss, score = (lines(axes) for axes in learning_curves(epochs(3, val_lesion_dice=nothing), title="t").axes)
    assert set(loss) == {*LOSS_LABELS, "best epoch: 2"}
    assert set(score) == {"accuracy", "validation score", "best epoch: 2"}


def test_an_epoch_without_a_value_is_a_gap():
    history = epochs(3)
    history[1]["val_lesion_dice"] = None
    _, dice = lines(learning_curves(history, title="t").axes[1])["lesion Dice"]
    assert np.isnan(dice[1]) and dice[0] == 1 / 50 and dice[2] == 3 / 50


def test_learning_curves_of_one_epoch():
    figure = learning_curves(epochs(1), title="net")
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
        curves = [line for line in axes.get_lines() if not line.get_label().startswith("best")]
        assert curves and all(line.get_marker() == "o" for line in curves)
    assert figure.axes[0].get_ylim()[1] > 3.1  # the highest loss, 3, is not cut
    assert title(figure) == "Learning curves: net, 1 epoch"


def test_stages_are_one_curve_with_a_marked_border():
    first, second, last = epochs(3), epochs(2), epochs(2, val_lesion_dice=None)
    figure = learning_curves(last, title="net", earlier=[first, second])
    loss, score = (lines(axes) for axes in figure.axes)
    x = [1, 2, 3, 4, 5, 6, 7]
    assert loss["validation: cross-entropy"] == [x, [3, 3 / 2, 1, 3, 3 / 2, 3, 3 / 2]]
    assert score["validation score"] == [x, [0.4, 0.9, 0.4, 0.9, 0.4, 0.9, 0.4]]
    assert np.isnan(score["lesion Dice"][1][5:]).all() and not np.isnan(score["lesion Dice"][1][:5]).any()
    for curves in (loss, score):
        assert curves["stage 2 starts"] == [[3.5, 3.5], [0, 1]] and curves["stage 3 starts"] == [[5.5, 5.5], [0, 1]]
        assert curves["best epoch of stage 3: 6"] == [[6, 6], [0, 1]]  # the weights are those of the last stage
    assert title(figure) == "Learning curves: net, 7 epochs in 3 stages"


@pytest.mark.parametrize("columns", [1, 2])
def test_the_legend_of_learning_curves_covers_no_curve(columns):
    figure = learning_curves(epochs(2), title="net", earlier=[epochs(3), epochs(2)], columns=columns)
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.get_legend().get_window_extent().y1 < axes.xaxis.label.get_window_extent().y0


def test_a_last_stage_of_one_epoch_is_part_of_the_curve():
    figure = learning_curves(epochs(1), title="net", earlier=[epochs(6)])
    xs, ys = lines(figure.axes[1])["accuracy"]
    assert xs == [1, 2, 3, 4, 5, 6, 7] and ys[-1] == ys[0]
    assert all(line.get_marker() == "o" for line in figure.axes[1].get_lines() if len(line.get_xdata()) == 7)


def test_learning_curves_of_nothing():
    with pytest.raises(ValueError, match="at least one epoch"):
        learning_curves([], title="t")
    with pytest.raises(ValueError, match="at least one epoch"):
        learning_curves(epochs(1), title="t", earlier=[[]])


@pytest.mark.parametrize("name", ["multitask_resnet50, Dataset_BUSI_with_GT validation", "net, $folder_{$"])
def test_titles_are_literal_and_fit_the_figure(name):
    results = some_results()
    confidences, correct = np.array([r.confidence for r in results]), np.array([r.correct for r in results])
    for figure in (
        learning_curves(epochs(3), title=name),
        confusion_matrix_figure(summarise(results), title=name),
        reliability_figure(confidences, correct, title=name),
        roc_figure([r.label for r in results], probability_matrix(results), title=name),
    ):
        figure.draw_without_rendering()
        (text,) = figure.texts
        assert name in text.get_text().replace(r"\$", "$")
        extent = text.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1 and extent.y1 <= figure.bbox.y1
        assert all(not extent.overlaps(axes.bbox) for axes in figure.axes)
