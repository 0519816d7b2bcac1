"""A trained classifier behind other detectors, by the real script."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import fill_weights, forget_mirrored

from busi_demo.data.busi import index_folder
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.predictor import Predictor, load_predictor
from busi_demo.models import create_model
from busi_demo.models.ensemble import Ensemble
from busi_demo.types import CLASSES
from busi_demo.weights.calibration import Calibration, fit_calibration
from busi_demo.weights.config import DetectorReference
from busi_demo.weights.split_file import TRAIN, VALIDATION, SplitRow, fold_name, read_split, write_split
from busi_demo.weights.store import load_weights, read_config, save_weights

FOLD = 3
HELD_OUT = ("benign case (1).png", "benign case (2).png", "malignant case (1).png", "normal case (1).png")


def save_detectors(weights: Path, *folds: int, images: int = 8, size: int = 64) -> None:
    members = [fill_weights(create_model("multitask_unet", width=8)) for _ in folds]
    with torch.no_grad():
        for fold, member in zip(folds, members, strict=True):
            member.head[-1].bias += torch.tensor([0.1, -0.2, 0.3]) * (fold + 1)
    model = Ensemble(members, folds) if len(folds) > 1 else members[0]
    facts = {"data": {"seed": 0, "images_indexed": images} | ({"fold": folds[0]} if len(folds) == 1 else {})}
    save_weights(
        weights / model.key, model, Preprocess(size=size), calibration=Calibration(1.5, (0.1, 0, 0)), facts=facts
    )


@pytest.fixture
def weights(tmp_path, busi) -> Path:
    """Two-stage weights behind the one detector beside them, which then is replaced by two."""
    save_detectors(tmp_path, FOLD)
    detector = load_weights(tmp_path / "multitask_unet")
    model = fill_weights(create_model("two_stage", crop_size=64)).behind(detector.model)
    teacher = {"approach": "multitask_cnn", "sha256": "0" * 64, "git_commit": None}
    data = {"main": "busi", "fold": FOLD, "seed": 0, "images_indexed": 8}
    facts = {"data": data, "training": {"epochs": 8}, "learnt_from": {"teacher": teacher}}
    reference = DetectorReference("multitask_unet", detector.config.sha256)
    folder = tmp_path / "two_stage"
    save_weights(folder, model, Preprocess(size=64), threshold=0.4, detector=reference, facts=facts)
    samples = index_folder(busi)
    parts = [VALIDATION if sample.name in HELD_OUT else TRAIN for sample in samples]
    write_split(folder, [SplitRow(s.name, s.label, "busi", s.name, p) for s, p in zip(samples, parts, strict=True)])
    (folder / "report").mkdir()
    (folder / "report" / "history.csv").write_text("epoch,train_loss\n1,2\n2,1\n")
    save_detectors(tmp_path, FOLD, 0)
    return tmp_path


@pytest.fixture
def replace(run_script, busi, weights):
    return lambda *words: run_script("train/replace_detector.py", "--weights", weights, "--data", busi,
                                     "--detector-from", weights / "multitask_unet", *words)  # fmt: skip


def test_the_classifier_answers_behind_the_new_detectors(replace, weights, busi, run_script):
    status, _, err = replace("--detector-share", 0.5)
    assert status == 0, err
    found, detectors = load_weights(weights / "two_stage"), load_weights(weights / "multitask_unet")
    assert found.config.detector == DetectorReference("multitask_unet", detectors.config.sha256)
    assert found.config.learnt_from["detector_from"]["sha256"] == detectors.config.sha256
    assert found.config.learnt_from["teacher"]["sha256"] == "0" * 64
    assert found.model.folds == (FOLD, 0) and found.model.config["detector_share"] == 0.5 and found.threshold == 0.4
    assert found.config.facts["training"] == {"epochs": 8}
    everything = len(index_folder(busi))
    assert (
        sum(found.config.data["train"]["busi"].values()) == everything
    )  # one detector learnt from what the other held out
    assert sum(found.config.data["validation"]["busi"].values()) == len(HELD_OUT)
    assert {r.image for r in read_split(weights / "two_stage") if r.split == fold_name(FOLD)} == set(HELD_OUT)
    assert (weights / "two_stage" / "report" / "history.csv").read_text().splitlines() == [
        "epoch,train_loss",
        "1.0,2.0",
        "2.0,1.0",
    ]

    # each held-out image by the detector that did not see it, and the calibration of these answers
    part = found.held_out(FOLD)
    assert part.model.detector is found.model.detector.members[0]
    metrics = found.config.facts["metrics"]["validation"]
    output = weights / "validation.json"
    status, _, err = run_script("train/evaluate.py", "--data", busi, "--approach", "two_stage", "--images",
                                "validation", "--weights", weights, "--output", output)  # fmt: skip
    assert status == 0, err
    report = json.loads(output.read_text())
    assert report["n"] == metrics["n"] == len(HELD_OUT) and report["accuracy"] == metrics["accuracy"]
    predictor = Predictor(part)
    answers = [predictor.predict(busi / n.split()[0] / n).probabilities for n in HELD_OUT]
    applied = found.calibration
    raw = (np.log([list(a.values()) for a in answers]) - applied.class_bias) * applied.temperature
    fitted = fit_calibration(raw, np.array([CLASSES.index(n.split()[0]) for n in HELD_OUT]))
    assert fitted.temperature == pytest.approx(applied.temperature, rel=0.02)


def test_one_detector_and_the_share_of_before(replace, weights):
    save_detectors(weights, FOLD)
    assert replace("--detector-share", 0.25)[0] == 0
    assert replace()[0] == 0
    config = read_config(weights / "two_stage")
    assert config.architecture["detector_share"] == 0.25 and config.fold == FOLD
    assert {r.image for r in read_split(weights / "two_stage") if r.split == VALIDATION} == set(HELD_OUT)
    assert load_predictor("two_stage", weights).predict(np.zeros((64, 64), np.uint8)).mask.shape == (64, 64)


def test_an_older_record_of_the_detectors_beside_is_of_the_same_ones(weights, busi, run_script):
    older = shutil.copytree(weights / "multitask_unet", weights / "older")
    forget_mirrored(older, "ensemble_of")
    status, _, err = run_script("train/replace_detector.py", "--weights", weights, "--data", busi, "--detector-from",
                                older)  # fmt: skip
    assert status == 0, err
    assert read_config(weights / "two_stage").detector.approach == "multitask_unet"


def test_the_input_takes_the_size_of_the_detectors(replace, weights, busi, run_script):
    save_detectors(weights, FOLD, 0, size=96)
    status, _, err = replace()
    assert status == 0, err
    found, detectors = (load_weights(weights / key) for key in ("two_stage", "multitask_unet"))
    assert found.preprocess == detectors.preprocess == Preprocess(size=96) and found.model.config["crop_size"] == 64
    picture = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    masks = [load_predictor(key, weights).predict(picture).mask_probability for key in ("two_stage", "multitask_unet")]
    np.testing.assert_array_equal(*masks)
    words = "train/calibrate.py", "--approach", "two_stage", "--data", busi, "--weights", weights
    check = weights / "two_stage" / "input_check.safetensors"
    check.write_bytes(b"of the same network")
    forget_mirrored(weights / "two_stage", "detector", "ensemble_of")
    assert run_script(*words)[0] == 0  # what replace_detector.py did, once more
    assert check.read_bytes() == b"of the same network"
    again = read_config(weights / "two_stage")
    for name in ("sha256", "architecture", "preprocess", "detector", "data", "learnt_from"):
        assert getattr(again, name) == getattr(found.config, name)
    assert again.calibration.temperature == pytest.approx(found.calibration.temperature, rel=1e-3)
    status, _, err = run_script(*words, "--image-size", 64)
    assert status == 2 and "give --image-size with --approach multitask_unet, then run train/replace_detector.py" in err


def test_what_does_not_fit_is_refused(replace, weights):
    before = (weights / "two_stage" / "config.json").read_bytes()
    for folds, images, words, message in (
        ((0, 1), 8, (), f"All networks of multitask_unet were trained on fold {FOLD}"),
        ((FOLD, 0), 9, (), "was trained on a split of other images"),
        ((FOLD, 0), 8, ("--detector-share", 1), "--detector-share must be at least 0 and less than 1, got 1.0."),
    ):
        save_detectors(weights, *folds, images=images)
        status, _, err = replace(*words)
        (line,) = err.splitlines()
        assert status == 2 and message in line
    assert (weights / "two_stage" / "config.json").read_bytes() == before
    model = weights / "two_stage" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    status, _, err = replace()
    assert status == 2 and "are no weights of two_stage: fetch the weights folder again" in err
