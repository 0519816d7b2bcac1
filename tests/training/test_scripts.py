"""The real scripts for a few steps on phantoms, interrupted and not, and what they write."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, disc, picture, save_grey
from safetensors.torch import load_file

from busi_demo.data.phantom import phantom_samples
from busi_demo.imaging.masks import dice
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.consensus import consensus
from busi_demo.inference.predictor import load_predictor
from busi_demo.models import APPROACHES, create_model
from busi_demo.models.ensemble import Ensemble
from busi_demo.training.checkpoint import read_state
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.calibration import Calibration
from busi_demo.weights.config import DetectorReference
from busi_demo.weights.split_file import read_split
from busi_demo.weights.store import load_weights, read_config, read_facts, save_weights
from busi_demo.weights.trust_file import answers_sha256

# Two steps on ten phantoms a class.
TINY = ("--data", "phantoms", "--phantoms", 10, "--samples-per-epoch", 8, "--batch-size", 4, "--image-size", 64,
        "--start-size", 64, "--epochs", 1, "--precision", "fp32")  # fmt: skip


def check_written(output: Path, key: str, run: Path) -> None:
    """What training writes can be loaded strictly, answers, and says what it is and how the run in `run` went."""
    folder = output / key
    config = read_config(output / key).to_json()
    assert config["approach"] == key
    assert config["preprocess"]["size"] == 64
    assert config["data"]["main"] == "phantoms"
    assert config["data"]["train"] == {"phantoms": dict.fromkeys(CLASSES, 8)}
    assert 0 <= config["metrics"]["validation"]["accuracy"] <= 1
    assert config["training"]["samples_per_epoch"] == 8 and config["temperature"] > 0
    assert "data" not in config["training"]  # a path of the machine that trained
    with (folder / "split.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [sum(row["split"] == part for row in rows) for part in ("train", "validation")] == [24, 6]
    report = {path.name for path in (folder / "report").iterdir()}
    assert {"metrics.json", "classification_report.txt", "confusion_matrix.png", "learning_curves.png"} <= report
    assert {f"example_{label}.png" for label in CLASSES} <= report
    with (folder / "report" / "history.csv").open(encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == history_of(run)
    prediction = load_predictor(key, output).predict(picture(0))
    assert prediction.mask.shape == (72, 96)


def history_of(folder: Path) -> list[dict[str, str]]:
    """history.csv but for the column that a clock fills."""
    with (folder / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row.pop("data_wait_share")) <= 1 for row in rows)
    return rows


@pytest.mark.parametrize("key", [key for key in APPROACHES if key != "two_stage"])
def test_train_multitask(key, run_script, tmp_path):
    status, out, _ = run_script("train/train_multitask.py", "--approach", key, *TINY, "--output", tmp_path / "weights",
                                "--run-dir", tmp_path / "run")  # fmt: skip
    assert status == 0
    assert "simulated phantoms alone" in out and f"wrote {tmp_path / 'weights' / key}" in out
    assert (tmp_path / "run" / "history.csv").read_text().count("\n") == 2
    check_written(tmp_path / "weights", key, tmp_path / "run")


def test_train_two_stage(run_script, tmp_path):
    stale = save_grey(tmp_path / "weights" / "two_stage" / "report" / "locked_test.png", picture(0))
    status, out, _ = run_script("train/train_two_stage.py", *TINY, "--output", tmp_path / "weights", "--run-dir",
                                tmp_path / "run")  # fmt: skip
    assert status == 0
    assert "stage: detection" in out and "stage: classification" in out
    check_written(tmp_path / "weights", "two_stage", tmp_path / "run" / "classification")
    with stale.with_name("history_detection.csv").open(encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == history_of(tmp_path / "run" / "detection")
    assert not stale.exists()
    assert (tmp_path / "weights" / "two_stage.previous" / "report" / stale.name).is_file()
    first = read_state(tmp_path / "run" / "detection" / "best.pt")
    final = load_file(tmp_path / "weights" / "two_stage" / "model.safetensors")
    for name, tensor in first.items():
        if name.startswith("detector.") and tensor.is_floating_point():
            assert torch.equal(final[name], tensor.half()), f"{name} was changed by the second stage"
    assert not torch.equal(final["head.3.weight"], first["head.3.weight"].half())


def detectors(folder: Path, folds: tuple[int, ...], size: int = 64) -> Path:
    """Weights of a calibrated multitask_unet whose members of these folds say different things."""
    torch.manual_seed(sum(folds))
    members = [create_model("multitask_unet", width=8) for _ in folds]
    model = Ensemble(members, folds) if len(folds) > 1 else members[0]
    save_weights(folder / model.key, model, Preprocess(size=size), calibration=Calibration(0.5, (0.1, -0.3, 0.2)),
                 facts={"data": {"seed": 0} | ({"fold": folds[0]} if len(folds) == 1 else {})})  # fmt: skip
    return folder / model.key


def test_two_stage_behind_detectors_that_were_trained_before(run_script, tmp_path, noise):
    given = detectors(tmp_path / "detectors", (0, 1))
    status, out, _ = run_script("train/train_two_stage.py", *TINY, "--detector-from", given, "--output",
                                tmp_path / "weights", "--run-dir", tmp_path / "run")  # fmt: skip
    assert status == 0 and "stage: detection" not in out and "stage: classification" in out
    found, before = load_weights(tmp_path / "weights" / "two_stage"), load_weights(given.parent / "multitask_unet")
    with torch.no_grad():
        for now, one in ((found, before), (found.held_out(0), before.held_out(0))):
            normal, detected = now.model(noise).class_logits.softmax(1)[:, 2], one.model(noise)
            expected = one.calibration.apply(detected.class_logits)[:, 2]
            torch.testing.assert_close(normal, expected, atol=2e-3, rtol=0.01)
    stored = load_file(tmp_path / "weights" / "two_stage" / "model.safetensors")
    assert found.config.detector is None and any(name.startswith("detector.") for name in stored)
    rows = read_split(tmp_path / "weights" / "two_stage")
    assert {row.split for row in rows} == {"train", "fold 0"}
    assert found.config.learnt_from["detector_from"]["sha256"] == before.config.sha256
    known = found.config.data["train"]["phantoms"], found.config.data["validation"]["phantoms"]
    assert known == (dict.fromkeys(CLASSES, 10), dict.fromkeys(CLASSES, 2))  # four of five detectors learnt from all
    with pytest.raises(InputError, match="trained on fold 1: it held out fold 0"):
        found.held_out(1)
    words = [*TINY, "--run-dir", tmp_path / "run", "--output", tmp_path / "weights", "--resume"]
    others = detectors(tmp_path / "others", (0, 2))
    status, _, err = run_script("train/train_two_stage.py", *words, "--detector-from", others)
    assert status == 2 and "was started with other weights in --detector-from:" in err
    again = ["--init-from", tmp_path / "weights" / "two_stage", "--run-dir", tmp_path / "again"]
    status, _, err = run_script("train/train_two_stage.py", *words, *again)
    assert status == 2 and "has several detectors: give them, or others, with --detector-from" in err
    config = tmp_path / "weights" / "two_stage" / "config.json"
    config.write_text(config.read_text().replace('"detector_share": 0.0', '"detector_share": 0.25'))
    assert run_script("train/train_two_stage.py", *words, *again, "--detector-from", given)[0] == 0
    assert read_config(config.parent).architecture["detector_share"] == 0.25


def test_a_detector_beside_the_new_weights_is_referred_to(run_script, tmp_path):
    given = detectors(tmp_path / "weights", (0, 1))
    status, _, _ = run_script("train/train_two_stage.py", *TINY, "--detector-from", given, "--output",
                              tmp_path / "weights", "--run-dir", tmp_path / "run")  # fmt: skip
    assert status == 0
    config = read_config(tmp_path / "weights" / "two_stage")
    assert config.detector == DetectorReference("multitask_unet", read_config(given).sha256)
    stored = load_file(tmp_path / "weights" / "two_stage" / "model.safetensors")
    assert not any(name.startswith("detector.") for name in stored)
    two_stage, unet = (load_predictor(key, tmp_path / "weights") for key in ("two_stage", "multitask_unet"))
    drawn = [predictor.predict(picture(0)).mask_probability for predictor in (two_stage, unet)]
    assert np.array_equal(*drawn) and two_stage.outline_key == "multitask_unet"


@pytest.mark.parametrize(("folds", "size", "words", "message"), [
    ((1,), 64, (), "multitask_unet was trained on fold 0: it held out fold 1"),
    ((0,), 96, (), "looks at inputs of 96 px, the run at 64: give a detector of 64 px, or train with --image-size 96"),
    ((0, 1), 64, ("--seed", 1), "was trained on the split of seed 0, whose training images validate here"),
])  # fmt: skip
def test_a_detector_that_does_not_fit_is_refused(run_script, tmp_path, folds, size, words, message):
    given = detectors(tmp_path, folds, size)
    status, _, err = run_script("train/train_two_stage.py", *TINY, "--detector-from", given, "--run-dir",
                                tmp_path / "run", "--output", tmp_path / "weights", *words)  # fmt: skip
    assert status == 2 and message in err.splitlines()[-1]


def test_weights_that_know_an_image_that_validates_are_refused(run_script, tmp_path):
    """Seed and fold fit; the split is of other images, as after one was added."""
    given, samples = detectors(tmp_path, (0, 1)), phantom_samples(10, first_seed=0)
    words = [*TINY, "--detector-from", given, "--run-dir", tmp_path / "run", "--output", tmp_path / "weights"]
    write_split(given / "split.csv", *((s.name, "fold 1", s.label) for s in samples), source="phantoms")
    status, _, err = run_script("train/train_two_stage.py", *words)
    assert status == 2
    assert f"{given} (from --detector-from) was trained on 6 of the 6 images that validate here, such as " in err
    write_split(given / "split.csv", *((s.name, "fold 0", s.label) for s in samples), source="phantoms")
    assert run_script("train/train_two_stage.py", *words)[0] == 0


def test_training_can_start_from_trained_weights(run_script, weights_folder, tmp_path):
    """All from weights of the same approach, and then the encoder from those of another one, which teaches as well."""
    whole, encoder = weights_folder / "multitask_cnn", weights_folder / "multitask_unet"
    words = ["--approach", "multitask_cnn", *TINY, "--learning-rate", "1e-7", "--output", tmp_path / "weights",
             "--run-dir", tmp_path / "run", "--init-from", whole, "--encoder-from", encoder,
             "--teacher", encoder, "--hints", 0.5]  # fmt: skip
    assert run_script("train/train_multitask.py", *words)[0] == 0
    output = tmp_path / "weights" / whole.name
    own, other, ended = (load_file(folder / "model.safetensors") for folder in (whole, encoder, output))
    started = {name: other.get(f"unet.{name}", own[name]) for name in ended}
    weights = [name for name in started if name.endswith("weight")]
    assert weights and all(torch.allclose(started[name], ended[name], atol=1e-3) for name in weights)
    origins = {name: origin["approach"] for name, origin in read_config(output).learnt_from.items()}
    assert origins == {"init_from": whole.name, "encoder_from": encoder.name, "teacher": encoder.name}
    assert float(history_of(tmp_path / "run")[-1]["train_hints"]) > 0


def test_trained_weights_are_averaged_with_their_start(run_script, weights_folder, tmp_path):
    start, tensors = weights_folder / "multitask_cnn", {}
    for share in (0.0, 0.75):  # the second continues the finished run: only what is kept of it differs
        output = tmp_path / str(share)
        words = ["--approach", "multitask_cnn", *TINY, "--learning-rate", 0.01, "--ema-decay", 0, "--warmup", 0,
                 "--init-from", start, "--start-share", share, "--output", output, "--run-dir", tmp_path / "run",
                 "--resume"]  # fmt: skip
        assert run_script("train/train_multitask.py", *words)[0] == 0
        tensors[share] = load_file(output / "multitask_cnn" / "model.safetensors")
    assert read_config(output / "multitask_cnn").facts["training"]["start_share"] == 0.75
    moved = 0
    for name, before in load_file(start / "model.safetensors").items():
        trained, mean = (tensors[share][name] for share in (0.0, 0.75))
        if before.is_floating_point():
            moved += not torch.equal(trained, before)
            expected = before.float().lerp(trained.float(), 0.25)
            torch.testing.assert_close(mean.float(), expected, atol=2e-3, rtol=2e-3)  # they are stored as float16
        else:
            assert torch.equal(mean, trained)
    assert moved > 10


@pytest.mark.parametrize(("script", "words", "message"), [
    ("train_multitask.py", ["--approach", "two_stage"], "two_stage is trained in two stages: use train/train_two_st"),
    ("train_multitask.py", ["--data", "nowhere"], "nowhere (from --data) is not a folder"),
    ("train_multitask.py", ["--data", "phantoms", "--epochs", "0"], "--epochs must be at least 1, got 0"),
    ("train_multitask.py", ["--data", "phantoms", "--start-share", "0.5"], "add --init-from DIR"),
    ("train_multitask.py", ["--data", "phantoms", "--start-share", "0.5", "--init-from", "x", "--tune", "1"],
     "leave --start-share out"),
    ("train_multitask.py", ["--data", "phantoms", "--init-from", "nowhere"], "weights of nowhere are missing"),
    ("train_multitask.py", ["--data", "phantoms", "--seed", "1" + "0" * 30], "--seed must be between 0 and 2147483647"),
    ("train_two_stage.py", ["--data", "phantoms", "--image-size", "100"], "--image-size must be a multiple of 32"),
    ("train_two_stage.py", ["--data", "phantoms", "--classifier-epochs", "0"],
     "--classifier-epochs must be at least 1, got 0"),
    ("train_two_stage.py", ["--data", "phantoms", "--normal-masks", "0", "--detector-from", "."],
     "--normal-masks is of the detector, which --detector-from gives: leave one of them out"),
    ("train_two_stage.py", ["--data", "phantoms", "--classifier-start-size", "0"],
     "--classifier-start-size must be between 64 and 1024, got 0"),
    ("evaluate.py", ["--data", "nowhere", "--output", "x.json"], "nowhere (from --data) is not a folder"),
    ("train_multitask.py", ["--data", "phantoms", "--output", "file"], "The folder file cannot be written (File"),
    ("train_two_stage.py", ["--data", "phantoms", "--run-dir", "file"], "name another with --run-dir"),
    ("train_multitask.py", ["--data", "phantoms", "--run-dir", "file/in"], "name another with --run-dir"),
    ("evaluate.py", ["--data", "nowhere", "--output", "file/x.json"], "The folder file cannot be written (File"),
    ("evaluate.py", ["--output", "x.json", "--figures", "file"], "name another with --figures"),
    ("autopsy.py", ["--data", "nowhere", "--output", "file"], "name another with --output"),
    ("evaluate.py", ["--data", "nowhere", "--output", "."], ". is a folder, expected a file that can be written: name"),
    ("model_card.py", ["--weights", "nowhere", "--output", "."], ". is a folder, expected a file that can be written"),
    ("model_card.py", ["--weights", "nowhere", "--output", "x"], "nowhere holds the weights of no approach: name"),
    ("fit_trust.py", ["--data", ".", "--weights", "nowhere"], "nowhere holds the weights of no approach: name"),
])  # fmt: skip
def test_a_wrong_setting_is_one_line_and_status_2(run_script, tmp_path, monkeypatch, script, words, message):
    """A folder that cannot be written is among them: it is found before anything is computed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    status, _, err = run_script(f"train/{script}", *words)
    assert status == 2
    (line,) = err.splitlines()
    assert line.startswith("error: ") and message in line


def test_killed_and_resumed_it_ends_with_the_same_weights(run_script, tmp_path):
    """SIGKILL, which no program can handle, some steps after a checkpoint; then --resume."""
    script = "train/train_multitask.py"

    def words(name: str) -> list[object]:
        return [*TINY, "--approach", "multitask_cnn", "--samples-per-epoch", 32, "--epochs", 3, "--output",
                tmp_path / name, "--run-dir", tmp_path / f"run-{name}"]  # fmt: skip

    command = [sys.executable, str(ROOT / script), *map(str, words("killed"))]
    killed = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "run-killed" / "checkpoint.pt"
    while not checkpoint.is_file() and killed.poll() is None:
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not read_state(checkpoint)["finished"]
    assert not list((tmp_path / "killed").iterdir())

    for name, more in (("undisturbed", ()), ("killed", ("--resume",))):
        status, _, errors = run_script(script, *words(name), *more)
        assert status == 0, errors
    one, other = (tmp_path / name / "multitask_cnn" / "model.safetensors" for name in ("undisturbed", "killed"))
    assert one.read_bytes() == other.read_bytes()
    one, other = (history_of(tmp_path / f"run-{name}") for name in ("undisturbed", "killed"))
    assert one == other


def write_split(path: Path, *rows: tuple[str, ...], source: str = "busi") -> None:
    """split.csv as training writes it, of rows (image, split) or (image, split, class); groups of one image."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class", "source", "group", "split"])
        for i, (image, split, *label) in enumerate(rows):
            writer.writerow([image, *(label or [image.split()[0]]), source, i, split])


class TestEvaluate:
    @pytest.fixture
    def evaluate(self, run_script, busi, weights_folder, tmp_path):
        """Evaluate the small CNN on the folder `busi`; returns exit status, report and standard error."""

        def run(*words: object):
            output = tmp_path / "out" / "report.json"
            status, _, err = run_script("train/evaluate.py", "--data", busi, "--approach", "multitask_cnn", "--weights",
                                        weights_folder, "--output", output, *words)  # fmt: skip
            return status, json.loads(output.read_text()) if output.is_file() else None, err

        return run

    def test_all_images(self, evaluate, busi, weights_folder):
        status, report, _ = evaluate()
        assert status == 0 and report["n"] == 9
        assert {"accuracy", "macro_f1", "auc", "lesion_dice", "lesion_iou", "normal_false_mask_rate", "ece",
                "confusion_matrix", "classification_report"} <= report.keys()  # fmt: skip
        assert list(report["auc"]) == list(CLASSES)
        assert [sum(row) for row in report["confusion_matrix"]] == [4, 3, 2]
        assert report["lesion_n"] == 7 and report["normal_n"] == 2
        assert report["weights_sha256"] == read_config(weights_folder / "multitask_cnn").sha256
        assert report["answers_sha256"] == answers_sha256(read_facts(weights_folder / "multitask_cnn"))
        rows = report["per_image"]
        assert [row["image"] for row in rows] == sorted(p.name for p in busi.rglob("*).png"))
        correct = [max(row["probabilities"], key=row["probabilities"].get) == row["class"] for row in rows]
        assert report["accuracy"] == pytest.approx(sum(correct) / 9)
        dice = [row["dice"] for row in rows if row["class"] != "normal"]
        assert report["lesion_dice"] == pytest.approx(sum(dice) / 7)

    def test_images_of_a_list(self, evaluate, tmp_path):
        (tmp_path / "some.csv").write_text("image\nbenign case (2).png\nnormal case (1).png\nelsewhere.png\n")
        status, report, err = evaluate("--images", tmp_path / "some.csv")
        assert status == 0 and report["images"] == "some.csv"
        assert [row["image"] for row in report["per_image"]] == ["benign case (2).png", "normal case (1).png"]
        assert "1 of the 3 images" in err

    def test_validation_images_of_the_weights(self, evaluate, weights_folder):
        split = weights_folder / "multitask_cnn" / "split.csv"
        write_split(split, ("benign case (1).png", "train"), ("malignant case (1).png", "validation"))
        try:
            status, report, _ = evaluate("--images", "validation")
        finally:
            split.unlink()
        assert status == 0
        assert [row["image"] for row in report["per_image"]] == ["malignant case (1).png"]
        assert report["auc"]["benign"] is None

    @pytest.mark.parametrize("images", ["validation", "some.csv"])
    def test_validation_images_are_identified_by_class_and_name(self, evaluate, busi, weights_folder, tmp_path, images):
        """benign/0.png was validated on; malignant/0.png was trained on and must not be measured as if it were not."""
        for seed, label in enumerate(("benign", "malignant")):
            save_grey(busi / label / "0.png", picture(100 + seed))
            save_grey(busi / label / "0_mask.png", disc(72, 96, 36, 48, 10))
        split = weights_folder / "multitask_cnn" / "split.csv"
        write_split(split, ("0.png", "validation", "benign"), ("0.png", "train", "malignant"))
        (tmp_path / "some.csv").write_text("image,class\n0.png,benign\n")
        try:
            status, report, err = evaluate("--images", tmp_path / images if images != "validation" else images)
        finally:
            split.unlink()
        assert (status, err) == (0, "")
        assert [(row["image"], row["class"]) for row in report["per_image"]] == [("0.png", "benign")]

    def test_a_list_without_classes_selects_every_class(self, evaluate, busi, tmp_path):
        for seed, label in enumerate(("benign", "malignant")):
            save_grey(busi / label / "0.png", picture(100 + seed))
            save_grey(busi / label / "0_mask.png", disc(72, 96, 36, 48, 10))
        (tmp_path / "some.csv").write_text("image\n0.png\nelsewhere.png\n")
        status, report, err = evaluate("--images", tmp_path / "some.csv", "--figures", tmp_path / "figures")
        assert status == 0 and "1 of the 2 images" in err
        assert [row["class"] for row in report["per_image"]] == ["benign", "malignant"]
        figures = sorted(str(path.relative_to(tmp_path / "figures")) for path in (tmp_path / "figures").rglob("*.png"))
        assert figures == ["benign/0.png", "malignant/0.png"]

    def test_images_of_another_data_set_are_not_validation_images(self, evaluate, weights_folder):
        """Images of another training set may have the same names, and were trained on."""
        split = weights_folder / "multitask_cnn" / "split.csv"
        write_split(split, ("benign case (1).png", "validation"), source="elsewhere")
        try:
            status, report, err = evaluate("--images", "validation")
        finally:
            split.unlink()
        assert (status, report) == (2, None)
        assert err.rstrip().endswith("validates on elsewhere, not on busi: give that folder with --data.")

    def test_the_consensus_is_evaluated_like_an_approach(self, evaluate, busi, weights_folder, predictors):
        """On the images that all approaches held out; here there is one."""
        for i, key in enumerate(APPROACHES):
            rows = ("benign case (1).png", "validation"), ("malignant case (1).png", "train" if i else "validation")
            write_split(weights_folder / key / "split.csv", *rows)
        try:
            status, report, _ = evaluate("--approach", "consensus", "--images", "validation", "--bootstrap", 0)
        finally:
            for key in APPROACHES:
                (weights_folder / key / "split.csv").unlink()
        assert status == 0 and report["approach"] == "consensus"
        assert report["weights_sha256"] == {key: read_config(weights_folder / key).sha256 for key in APPROACHES}
        assert report["answers_sha256"] == {key: answers_sha256(read_facts(weights_folder / key)) for key in APPROACHES}
        (row,) = report["per_image"]
        path = busi / "benign" / "benign case (1).png"
        expected = consensus([predictors[key].predict(path) for key in APPROACHES]).prediction
        assert row["image"] == path.name
        assert row["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-6)
        assert row["dice"] == pytest.approx(dice(expected.mask, disc(72, 96, 36, 48, 72 / 5)), abs=1e-3)

    def test_the_consensus_leaves_out_an_approach_without_weights(
        self, evaluate, busi, weights_folder, predictors, tmp_path
    ):
        """The report names the approaches that took part, and no other."""
        keys = ["multitask_cnn", "multitask_unet"]
        for key in keys:
            shutil.copytree(weights_folder / key, tmp_path / "weights" / key)
            write_split(tmp_path / "weights" / key / "split.csv", ("benign case (1).png", "validation"))
        words = ("--approach", "consensus", "--weights", tmp_path / "weights", "--images", "validation")
        status, report, err = evaluate(*words, "--bootstrap", 0)
        assert status == 0 and list(report["weights_sha256"]) == keys
        missing = ", ".join(key for key in APPROACHES if key not in keys)
        assert f"note: left out of the consensus, because there are no weights: {missing}\n" in err
        expected = consensus([predictors[key].predict(busi / "benign" / "benign case (1).png") for key in keys])
        (row,) = report["per_image"]
        assert row["probabilities"] == pytest.approx(dict(expected.prediction.probabilities), abs=1e-6)

    def test_a_consensus_of_a_single_approach_is_refused(self, evaluate, weights_folder, tmp_path):
        shutil.copytree(weights_folder / "multitask_cnn", tmp_path / "weights" / "multitask_cnn")
        status, report, err = evaluate("--approach", "consensus", "--weights", tmp_path / "weights")
        assert (status, report) == (2, None)
        (line,) = err.splitlines()
        assert line.startswith("error: A consensus needs the weights of at least two approaches, found multitask_cnn")

    def test_images_of_an_uncertain_class_are_left_out(self, evaluate, busi, tmp_path, publish):
        """benign (433) was published as malignant too."""
        publish(picture(90), "benign", "benign (433).png", label_conflict="1")
        save_grey(busi / "benign" / "benign (433).png", picture(90))
        save_grey(busi / "benign" / "benign (433)_mask.png", disc(72, 96, 36, 48, 10))
        status, report, err = evaluate()
        assert status == 0 and (report["n"], report["uncertain_class_left_out"]) == (9, 1)
        assert "benign (433).png" not in [row["image"] for row in report["per_image"]]
        assert "note: left out 1 of 10 images" in err
        (tmp_path / "one.csv").write_text("image\nbenign (433).png\n")
        status, _, err = evaluate("--images", tmp_path / "one.csv")
        assert status == 2 and "class of every image chosen is uncertain" in err

    def test_figures_on_request(self, evaluate, tmp_path):
        (tmp_path / "one.csv").write_text("image\nbenign case (2).png\n")
        assert evaluate("--images", tmp_path / "one.csv", "--figures", tmp_path / "figures")[0] == 0
        assert [path.name for path in (tmp_path / "figures" / "benign").iterdir()] == ["benign case (2).png"]

    def test_the_report_has_intervals_and_subgroups(self, evaluate, busi):
        save_grey(busi / "benign" / "benign case (9).png", picture(1)[:, ::-1])  # the mirror image of benign case (1)
        save_grey(busi / "benign" / "benign case (9)_mask.png", disc(72, 96, 36, 48, 8))
        status, report, _ = evaluate("--bootstrap", 300)
        assert status == 0
        found = report["intervals"]
        assert (found["level"], found["resamples"], found["groups"]) == (0.95, 300, 9)
        low, high = found["accuracy"]
        assert low <= report["accuracy"] <= high
        low, high = found["lesion_dice"]
        assert low < report["lesion_dice"] < high
        assert found["normal_false_mask_rate"] is None  # two normals among ten images
        assert {name: part["n"] for name, part in report["subgroups"]["class"].items()} == {
            "benign": 5, "malignant": 3, "normal": 2}  # fmt: skip
        # the new lesion is the smallest, all others are alike
        assert {name: part["n"] for name, part in report["subgroups"]["lesion_size"].items()} == {"small": 8}
        assert list(report["subgroups"]["calipers"]) == ["unknown"]
        assert report["subgroups"]["class"]["benign"]["intervals"].keys() >= {"accuracy", "lesion_dice"}

    def test_without_bootstrap_all_other_values_are_the_same(self, evaluate):
        full, bare = evaluate()[1], evaluate("--bootstrap", 0)[1]
        assert full["intervals"]["resamples"] == 2000 and "intervals" not in bare
        assert "intervals" not in bare["subgroups"]["class"]["benign"]
        assert full.keys() - bare.keys() == {"intervals"} and "cam" not in full
        assert all(full[key] == bare[key] for key in bare if key != "subgroups")

    def test_the_grad_cams_and_the_robustness_are_examined_on_request(self, evaluate):
        status, report, _ = evaluate("--faithfulness", "--corruptions", 2, "--bootstrap", 100)
        assert status == 0
        measured = report["corruptions"]
        assert measured["n"] == 2 and {len(rows) for rows in measured["corruptions"].values()} == {5}
        assert all(0 <= row["accuracy"] <= 1 for rows in measured["corruptions"].values() for row in rows)
        cam = report["cam"]
        assert [row["image"] for row in cam["per_image"]] == [row["image"] for row in report["per_image"]]
        tumours = sum(
            row["class"] != "normal" and max(row["probabilities"], key=row["probabilities"].get) != "normal"
            for row in report["per_image"]
        )
        assert cam["measures"]["energy_inside"]["n"] == tumours > 0
        for name in ("deletion_auc", "insertion_auc_random", "randomised_correlation"):
            assert cam["measures"][name]["n"] == 9 and cam["without_evidence_n"] == 0
            assert len(cam["measures"][name]["interval"]) == 2
        row = cam["per_image"][0]
        assert row["deletion_gain"] == pytest.approx(row["deletion_auc_random"] - row["deletion_auc"])
        assert row["area_share"] == pytest.approx(disc(72, 96, 36, 48, 72 / 5).mean())

    def test_two_approaches_are_compared_image_by_image(self, evaluate, tmp_path):
        _, first, _ = evaluate()
        earlier = tmp_path / "earlier.json"
        changed = {**first, "approach": "other", "per_image": first["per_image"][::-1]}
        for row in changed["per_image"]:
            row["dice"] = row["dice"] and row["dice"] / 2
        earlier.write_text(json.dumps(changed))
        status, report, _ = evaluate("--compare", earlier)
        assert status == 0
        found = report["difference"]
        assert (found["minus"], found["minus_sha256"]) == ("other", first["weights_sha256"])
        assert found["minus_answers_sha256"] == first["answers_sha256"]
        assert found["accuracy"] == {"difference": 0, "interval": [0, 0], "p": 1}
        dice = found["lesion_dice"]
        assert dice["difference"] == pytest.approx(report["lesion_dice"] / 2)
        assert dice["interval"][0] < dice["difference"] < dice["interval"][1] and dice["p"] < 0.05

    def test_only_reports_of_the_same_images_are_compared(self, evaluate, tmp_path):
        (tmp_path / "one.csv").write_text("image\nbenign case (2).png\n")
        _, first, _ = evaluate("--images", tmp_path / "one.csv")
        (tmp_path / "one.json").write_text(json.dumps(first))
        (tmp_path / "none.json").write_text("{}")
        for name, words, message in (
            ("one.json", (), "lacks 8 of the 9 images"),
            ("none.json", (), "none.json is not a report"),
            ("nowhere.json", (), "nowhere.json is not a report"),
            ("one.json", ("--bootstrap", 0), "--bootstrap must not be negative, nor 0 where --compare is given"),
        ):
            status, _, err = evaluate("--compare", tmp_path / name, *words)
            assert status == 2
            (line,) = err.splitlines()
            assert line.startswith("error: ") and message in line

    @pytest.mark.parametrize(("images", "message"), [
        ("locked_test", "None of the 156 images of 'locked_test' lies in the data folder"),
        ("nothing.csv", "nothing.csv cannot be read"),
        ("validation", "split.csv is missing"),
    ])  # fmt: skip
    def test_nothing_to_evaluate_is_one_line_and_status_2(self, evaluate, images, message):
        status, report, err = evaluate("--images", images)
        assert (status, report) == (2, None)
        (line,) = err.splitlines()
        assert line.startswith("error: ") and message in line
