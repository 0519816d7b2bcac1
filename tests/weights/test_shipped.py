"""The weights in the repository: whole, strict, small enough, and honest about where they come from."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pytest
from safetensors.torch import load_file

from busi_demo.data.published import locked_test
from busi_demo.evaluation.card.sources import read_reports
from busi_demo.gallery.load import load_examples
from busi_demo.imaging.masks import dice
from busi_demo.inference.predictor import Predictor, SharedPasses, load_predictor
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.project import ROOT
from busi_demo.types import CLASSES
from busi_demo.weights.split_file import TRAIN, SplitRow, read_split
from busi_demo.weights.store import load_weights

WEIGHTS = ROOT / "weights"  # not WEIGHTS_FOLDER, which the environment may move
REPORT = {"classification_report.txt", "confusion_matrix.png", "learning_curves.png", "metrics.json", "reliability.png",
          "roc.png", *(f"example_{name}.png" for name in CLASSES)}  # fmt: skip
MEGABYTE = 1e6


@cache
def predictor(approach: str) -> Predictor:
    return Predictor(load_weights(WEIGHTS / approach))


def rows(approach: str) -> list[SplitRow]:
    return read_split(WEIGHTS / approach)


def test_they_load_strictly_and_know_their_numbers(approach):
    loaded = load_weights(WEIGHTS / approach)
    assert loaded.model.key == approach and 160 <= loaded.preprocess.size <= 256
    assert loaded.calibration.temperature > 0
    assert re.fullmatch(r"[0-9a-f]{40}", loaded.config.git_commit)
    report = json.loads((WEIGHTS / approach / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert report == loaded.config.facts["metrics"]["validation"]


def test_all_results_are_of_these_weights():
    """A changed model file would make the page and the model card leave its results out."""
    known = read_reports(WEIGHTS)
    for own in known.values():
        of_folds = {name for name, report in own.evaluations.items() if report is own.of_folds}
        assert own.current().keys() == own.evaluations.keys() - of_folds >= {"validation"}
        assert all("answers_sha256" in report for report in own.evaluations.values())
    every = known["multitask_unet"].all_folds["n"]
    assert [known[key].all_folds["n"] for key in ("multitask_cnn", "two_stage", CONSENSUS)] == [every] * 3
    assert known[CONSENSUS].absent == ["multitask_resnet50"]


def test_the_two_stage_detector_is_the_network_of_multitask_unet():
    load_predictor.cache_clear()
    unet, two_stage = (load_predictor(key, WEIGHTS) for key in ("multitask_unet", "two_stage"))
    assert unet.outline_key == two_stage.outline_key == "multitask_unet"
    tensors = load_file(WEIGHTS / "two_stage" / "model.safetensors")
    assert not any(name.startswith("detector.") for name in tensors)
    networks = []
    handle = unet._weights.model.members[0].unet.segmentation_head.register_forward_hook(
        lambda *_: networks.append("run")
    )
    image, shared, settings = load_examples()[0].image, SharedPasses(), unet._weights.model.config
    views = len(settings["scales"]) + len(settings["mirrored"])
    together = [predictor.predict(image, shared) for predictor in (unet, two_stage)]
    assert len(networks) == views
    alone = [predictor.predict(image) for predictor in (unet, two_stage)]
    assert len(networks) == 3 * views
    handle.remove()
    for one, other in zip(together, alone, strict=True):
        assert one.probabilities == other.probabilities and one.cam_peak == other.cam_peak
        assert np.array_equal(one.mask_probability, other.mask_probability) and np.array_equal(one.cam, other.cam)


def test_they_fit_the_repository():
    sizes = [path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file() and ".previous" not in str(path)]
    assert max(sizes) < 95 * MEGABYTE
    assert sum(sizes) < 200 * MEGABYTE


def test_the_report_is_there(approach):
    assert {path.name for path in (WEIGHTS / approach / "report").iterdir()} >= REPORT


def test_no_group_crosses_the_split_and_nothing_locked_is_in_it(approach):
    split = rows(approach)
    parts = {(row.source, row.group): {r.split for r in split if (r.source, r.group) == (row.source, row.group)}
             for row in split if row.held_out}  # fmt: skip
    assert parts and all(len(names) == 1 for names in parts.values())
    assert any(row.split == TRAIN for row in split)
    assert not {row.image for row in split} & set(locked_test())


def test_all_held_out_the_same_images():
    """An ensemble those of its other folds as well."""
    held_out = {key: {row.image: row.fold for row in rows(key) if row.held_out} for key in APPROACHES}
    common = set.intersection(*map(set, held_out.values()))
    assert len(common) > 100
    for own in held_out.values():
        assert set(own) == common or {image for image, fold in own.items() if fold == own[min(common)]} == common


def test_they_name_no_folder_of_the_machine_that_trained_them(approach):
    for path in (WEIGHTS / approach).rglob("*"):
        if path.suffix in (".json", ".csv", ".txt"):
            assert not re.search(
                r"(?<![\w.])/(work|home|tmp|root|Users)/|[A-Z]:\\\\", path.read_text(encoding="utf-8")
            ), path


def test_they_passed_the_floor_on_their_validation_split(approach):
    metrics = load_weights(WEIGHTS / approach).config.facts["metrics"]["validation"]
    assert metrics["accuracy"] >= 0.75
    assert metrics["lesion_dice"] >= 0.65


def test_a_click_in_the_gallery_gives_a_sensible_answer(approach):
    """Simulated images are no measure of quality; most of them should be named and outlined as they were drawn."""
    named, overlaps = [], []
    for example in load_examples():
        prediction, truth = predictor(approach).predict(example.image), np.asarray(example.mask) > 0
        named.append(prediction.predicted_class == example.label)
        if truth.any():
            overlaps.append(dice(prediction.mask, truth))
    assert np.mean(named) >= 7 / 9
    assert np.mean(overlaps) >= 0.7


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_an_even_image_has_no_lesion(approach, grey):
    prediction = predictor(approach).predict(np.full((300, 400), grey, dtype=np.uint8))
    assert not prediction.mask.any()
    assert np.isfinite(list(prediction.probabilities.values())).all()


def test_the_model_card_is_the_one_these_weights_give(run_script, tmp_path):
    status, _, error = run_script(
        "train/model_card.py", "--weights", str(WEIGHTS), "--output", str(tmp_path / "card.md")
    )
    assert status == 0, error
    assert (tmp_path / "card.md").read_bytes() == (ROOT / "MODEL_CARD.md").read_bytes()
