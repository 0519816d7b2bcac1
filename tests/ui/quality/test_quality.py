"""The tab 'How good is it?' without a browser: what it reads, and that it copes with what is missing."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from helpers import write_busi

from busi_demo.evaluation import plots
from busi_demo.evaluation.bootstrap import draw_resamples, intervals
from busi_demo.evaluation.card import sources as reports
from busi_demo.evaluation.cases import CASES, best_masks
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult, result_row
from busi_demo.inference.predictor import Predictor
from busi_demo.models import APPROACHES, CONSENSUS, DEFAULT_APPROACH
from busi_demo.types import CLASSES
from busi_demo.ui import texts
from busi_demo.ui.quality import measured as quality
from busi_demo.ui.quality.cases import case_figures, case_pictures
from busi_demo.ui.quality.tab import QualityTab
from busi_demo.weights import store as weights
from busi_demo.weights.trust_file import answers_sha256

KEY = "multitask_cnn"


def result(image: str, label: str, predicted: str, confidence: float, overlap: float | None) -> ImageResult:
    rest = (1 - confidence) / 2
    probabilities = {name: confidence if name == predicted else rest for name in CLASSES}
    return ImageResult(image, label, probabilities, overlap, overlap, 0.1, 0.0)


# Of `helpers.write_busi`: 4 benign, 2 malignant, 1 normal image; five of seven are named rightly.
RESULTS = [
    result("benign case (1).png", "benign", "benign", 0.9, 0.8),
    result("benign case (2).png", "benign", "benign", 0.8, 0.95),
    result("benign case (3).png", "benign", "malignant", 0.7, 0.99),
    result("benign case (4).png", "benign", "benign", 0.6, 0.1),
    result("malignant case (1).png", "malignant", "malignant", 0.95, 0.5),
    result("malignant case (2).png", "malignant", "normal", 0.85, 0.0),
    result("normal case (1).png", "normal", "normal", 0.5, None),
]


def measured(key: str, sha256: Any, images: str = "validation") -> dict[str, Any]:
    """A report as train/evaluate.py writes it, of `RESULTS`."""
    found = intervals(RESULTS, draw_resamples(list(range(len(RESULTS))), 200))
    facts = {"approach": key, "data": "busi", "images": images, "weights_sha256": sha256}
    return facts | summarise(RESULTS) | {"intervals": found, "per_image": [result_row(r) for r in RESULTS]}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Weights of two approaches: KEY with a report, the default one without any; no data set is at hand."""
    folder = tmp_path / "weights"
    for key in (KEY, DEFAULT_APPROACH):
        (folder / key / "report").mkdir(parents=True)
        (folder / key / "config.json").write_text(json.dumps({"sha256": f"of {key}"}))
    write(folder, KEY, measured(KEY, f"of {KEY}"))
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", folder)
    monkeypatch.delenv("BUSI_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def write(folder: Path, key: str, report: dict[str, Any], name: str = "validation") -> None:
    path = folder / key / "report" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report))


def write_split(folder: Path, weights_folder: Path, key: str, fold: int) -> None:
    """Weights of `key` that were trained on BUSI, with the image of `RESULTS[5]` in a fold."""
    config = json.loads((weights_folder / key / "config.json").read_text())
    (folder / key / "config.json").write_text(json.dumps(config | {"data": {"main": "BUSI"}}))
    (folder / key / "split.csv").write_text(
        f"image,class,source,group,split\n{RESULTS[5].image},{RESULTS[5].label},BUSI,0,fold {fold}\n"
    )


@pytest.fixture
def tab() -> QualityTab:
    with gr.Blocks(analytics_enabled=False), gr.Tab("quality") as made:
        return QualityTab(made)


def text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def shown(updates: dict[Any, Any], component: Any) -> bool:
    update = updates[component]
    return (update if isinstance(update, dict) else update.constructor_args)["visible"]


def test_the_numbers_of_several_folds_stand_below_those_of_one(tab, folder):
    own = measured(KEY, f"of {KEY}") | {"accuracy": 0.123}
    shipped = answers_sha256(json.loads((folder / KEY / "config.json").read_text()))
    hashes = {"weights_sha256": [f"of {KEY}", "other"], "answers_sha256": [shipped, "other"]}
    write(folder, KEY, own | hashes, "all_folds")
    told = text(tab.show(KEY)[tab.numbers])
    assert "Several folds: what networks of the same training give" in told and "accuracy 0.123" in told
    assert "7 images of the training data in 2 folds, each" in told and "and those of one fold answer here." in told
    write(folder, KEY, own | hashes | {"answers_sha256": ["older", "other"]}, "all_folds")
    assert "Several folds" not in text(tab.show(KEY)[tab.numbers])
    both = {KEY: (f"of {KEY}", shipped), DEFAULT_APPROACH: ("other", "other")}
    hashes = {f"{name}_sha256": [{key: pair[i] for key, pair in both.items()}] * 2
              for i, name in enumerate(("weights", "answers"))}  # fmt: skip
    write(folder, CONSENSUS, measured(CONSENSUS, "x") | hashes, "all_folds")
    write(folder, CONSENSUS, measured(CONSENSUS, {key: f"of {key}" for key in (KEY, DEFAULT_APPROACH)}))
    told = text(tab.show(CONSENSUS)[tab.numbers])
    assert f"answer here, except {APPROACHES[DEFAULT_APPROACH].title}, where other networks do." in told


def test_the_numbers_of_an_approach_with_their_intervals(tab, folder):
    updates = tab.show(KEY)
    report = json.loads((folder / KEY / "report" / "validation.json").read_text())
    assert f"on 7 images accuracy {5 / 7:.3f}" in text(updates[tab.overview])
    low, high = report["intervals"]["lesion_dice"]
    assert f"lesion Dice {report['lesion_dice']:.3f} {low:.3f} to {high:.3f} 6" in text(updates[tab.numbers])
    assert "measured on the 7 images of the validation fold" in text(updates[tab.numbers])


def test_only_the_plots_that_can_be_drawn_are_shown_and_described(tab, folder):
    updates = tab.show(KEY)
    visible = {name for name, plot in tab.plots.items() if shown(updates, plot)}
    assert visible == {"confusion", "reliability", "roc"}
    for name in visible:
        arguments = updates[tab.plots[name]].constructor_args
        assert arguments["alt_text"] == f"{texts.PLOT_LABELS[name]} of {APPROACHES[KEY].title}, 7 images"


def test_training_curves_are_drawn_from_the_history(folder):
    (folder / KEY / "report" / "history.csv").write_text(
        "epoch,train_loss,train_classification,val_cross_entropy,val_score\n1,2,1,3,0.1\n2,1,0.5,2,0.4\n"
    )
    image = quality.read_quality()[KEY].plots()["curves"]
    assert image.height > image.width > 500


def test_training_curves_show_all_stages(folder, monkeypatch):
    header = "epoch,train_loss,val_score\n"
    for name, rows in (
        ("first_stage_fold_0", "1,4,0.2\n2,3,0.3\n"),
        ("first_stage_fold_1", "1,2,0.4\n2,1,0.5\n"),
        ("fold_0", "1,1,0.6\n"),
        ("fold_1", "1,1,0.8\n"),
    ):
        (folder / KEY / "report" / f"history_{name}.csv").write_text(header + rows)
    (folder / KEY / "report" / "history.csv").write_text(header + "1,1,0.7\n")
    drawn = []
    draw = plots.learning_curves
    monkeypatch.setattr(plots, "learning_curves", lambda *args, **kw: drawn.append(draw(*args, **kw)) or drawn[-1])
    assert quality.read_quality()[KEY].plots()["curves"]
    lines = {line.get_label(): line.get_xydata().tolist() for axes in drawn[0].axes for line in axes.get_lines()}
    np.testing.assert_allclose(lines["training: whole loss"], [[1, 3], [2, 2], [3, 1]])
    assert lines["stage 2 starts"] == [[2.5, 0], [2.5, 1]]


def test_an_approach_that_was_not_measured_gets_one_sentence(tab, folder):
    updates = tab.show(DEFAULT_APPROACH)
    assert text(updates[tab.numbers]) == texts.not_measured(DEFAULT_APPROACH)
    assert not any(shown(updates, plot) for plot in tab.plots.values())
    assert "does not name single images" in text(updates[tab.cases])


def test_a_report_of_other_weights_does_not_count(tab, folder):
    write(folder, KEY, measured(KEY, "of earlier weights"))
    assert text(tab.show(KEY)[tab.numbers]) == texts.not_measured(KEY)


def test_without_weights_there_is_a_sentence(tab, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "none")
    assert text(tab.show(KEY)[tab.overview]) == texts.NO_WEIGHTS


def test_a_broken_report_is_named(tab, folder):
    (folder / KEY / "report" / "validation.json").write_text("{")
    assert "validation.json cannot be read as JSON" in text(tab.show(KEY)[tab.overview])


def test_the_locked_test_goes_before_validation(tab, folder):
    write(folder, KEY, measured(KEY, f"of {KEY}", "locked_test"), "locked_test")
    assert "the 7 locked test images" in text(tab.show(KEY)[tab.numbers])


def test_cross_validation_is_told(tab, folder):
    write(folder, KEY, measured(KEY, f"of {KEY}") | {"cross_validated": True})
    assert "measured on the 7 images of the training data, each predicted by a network that was not trained" in text(
        tab.show(KEY)[tab.numbers]
    )


class Ensemble:
    """Notes which fold it is asked for, and then answers like another predictor."""

    def __init__(self, predictor: Predictor, asked: list[tuple[str, int | None]]) -> None:
        self.predictor, self.asked = predictor, asked

    def held_out(self, fold: int | None) -> Predictor:
        self.asked.append((self.predictor.key, fold))
        return self.predictor

    def predict(self, *_: Any) -> None:
        pytest.fail("answered by the networks that were trained on the image")


def test_a_case_is_answered_by_the_network_that_was_not_trained_on_it(
    folder, weights_folder, tmp_path, monkeypatch, predictors
):
    monkeypatch.setenv("BUSI_DATA", str(write_busi(tmp_path / "busi", {"malignant": 2})))
    asked: list[tuple[str, int | None]] = []
    monkeypatch.setattr("busi_demo.ui.quality.cases.load_predictor", lambda key: Ensemble(predictors[key], asked))
    assert RESULTS[5] in [result for _, result in quality.read_quality()[KEY].cases()]
    write_split(folder, weights_folder, KEY, fold=3)
    wide, _, alt = case_figures(KEY, RESULTS[5])
    assert asked == [(KEY, 3)] and APPROACHES[KEY].title in alt and wide.width > wide.height


def test_a_case_of_the_consensus_leaves_out_the_approaches_without_weights(
    folder, weights_folder, tmp_path, monkeypatch, predictors
):
    monkeypatch.setenv("BUSI_DATA", str(write_busi(tmp_path / "busi", {"malignant": 2})))
    asked: list[tuple[str, int | None]] = []
    monkeypatch.setattr("busi_demo.inference.consensus.load_predictor", lambda key, _: Ensemble(predictors[key], asked))
    for key, fold in ((KEY, 3), (DEFAULT_APPROACH, 1)):
        write_split(folder, weights_folder, key, fold)
        (folder / key / "model.safetensors").touch()
    _, _, alt = case_figures(CONSENSUS, RESULTS[5])
    assert sorted(asked) == sorted([(KEY, 3), (DEFAULT_APPROACH, 1)]) and "Consensus" in alt


def test_the_consensus_stands_beside_the_approaches_once_it_is_measured(tab, folder):
    assert CONSENSUS not in quality.read_quality()
    write(folder, CONSENSUS, measured(CONSENSUS, {key: f"of {key}" for key in (KEY, DEFAULT_APPROACH)}))
    updates = tab.show(CONSENSUS)
    assert updates[tab.approach].constructor_args["choices"][-1] == ("Consensus", CONSENSUS)
    assert "Consensus, measured on the 7 images" in text(updates[tab.numbers])


def test_cases_are_named_where_the_data_set_is_not_at_hand(tab, folder):
    updates = tab.show(KEY)
    named = text(updates[tab.cases])
    assert "worst mask malignant case (2).png normal 85.0% 0.000 worst mask benign case (4).png" in named
    assert "confident error malignant case (2).png normal 85.0% 0.000 confident error benign case (3).png" in named
    assert "best mask benign case (2).png benign 80.0% 0.950 best mask benign case (1).png" in named
    assert updates[tab.cases_hint] == texts.CASES_ELSEWHERE and not shown(updates, tab.gallery)


def test_cases_are_shown_where_the_data_set_is_at_hand(tab, folder, tmp_path, monkeypatch, weights_folder, predictors):
    root = write_busi(tmp_path / "busi", {"benign": 4, "malignant": 2, "normal": 1})
    monkeypatch.setenv("BUSI_DATA", str(root))
    updates = tab.show(KEY)
    cases = quality.read_quality()[KEY].cases()
    assert shown(updates, tab.gallery) and updates[tab.cases_hint] == texts.CASES_HINT
    pictures = case_pictures(cases)
    assert len(pictures) == len(cases) and pictures[0][0].size == (96, 72) and pictures[0][1] == "Dice 0.00"

    monkeypatch.setattr("busi_demo.ui.quality.cases.load_predictor", lambda key: predictors[key])
    opened = tab.show_case(KEY, SimpleNamespace(index=0))
    answer = predictors[KEY].predict(root / "malignant" / "malignant case (2).png")
    alt = opened[tab.wide].constructor_args["alt_text"]
    assert answer.predicted_class in alt and APPROACHES[KEY].title in alt
    assert shown(opened, tab.wide) and not shown(opened, tab.case_note)

    monkeypatch.delenv("BUSI_DATA")
    refused = tab.show_case(KEY, SimpleNamespace(index=0))
    assert shown(refused, tab.case_note) and not shown(refused, tab.wide)


def test_the_best_masks_are_of_rightly_named_lesions():
    assert [r.image for r in best_masks(RESULTS)] == [
        "benign case (2).png", "benign case (1).png", "malignant case (1).png", "benign case (4).png"]  # fmt: skip
    assert len(best_masks(RESULTS * 2)) == CASES


def test_autopsy_and_card_are_those_that_ship(tab):
    figure, tables = tab.show_autopsy()
    assert figure.constructor_args["visible"] and "0.9272" in figure.constructor_args["alt_text"]
    assert "Quoted is an accuracy of 0.9272 on n = 316" in tables
    assert tab.show_card().startswith("## Intended use")


def test_without_autopsy_and_card_there_is_a_sentence_each(tab, tmp_path, monkeypatch):
    quality.draw_autopsy.cache_clear()
    monkeypatch.setattr(reports, "AUTOPSY_FILE", tmp_path / "none.json")
    monkeypatch.setattr(reports, "CARD_FILE", tmp_path / "none.md")
    assert tab.show_autopsy()[1] == texts.NO_AUTOPSY and tab.show_card() == texts.NO_CARD
    quality.draw_autopsy.cache_clear()
