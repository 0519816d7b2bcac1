"""The scripts on folders that people have: one clear sentence, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import disc, picture, save_grey, write_busi
from PIL import Image

TINY = ("--approach", "multitask_cnn", "--phantom-share", 0, "--samples-per-epoch", 8, "--batch-size", 4,
        "--image-size", 64, "--start-size", 64, "--epochs", 1, "--precision", "fp32")  # fmt: skip
SIZE = (72, 96)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_busi(tmp_path / "own", {"benign": 6, "malignant": 5, "normal": 5}, *SIZE)


@pytest.fixture
def train(run_script, tmp_path):
    """Run a training of one short epoch; returns its status and standard error."""

    def run(data: Path, *words: object) -> tuple[int, str]:
        places = () if "--output" in words else ("--output", tmp_path / "weights")
        places += () if "--run-dir" in words else ("--run-dir", tmp_path / "run")
        status, _, err = run_script("train/train_multitask.py", "--data", data, *TINY, *places, *words)
        assert "Traceback" not in err
        return status, err

    return run


@pytest.fixture
def evaluate(run_script, weights_folder, tmp_path):
    """Run an evaluation; returns its status, report and standard error."""

    def run(data: Path, *words: object) -> tuple[int, dict, str]:
        output = tmp_path / "report.json"
        status, _, err = run_script("train/evaluate.py", "--data", data, "--approach", "multitask_cnn", "--weights",
                                    weights_folder, "--bootstrap", 0, "--output", output, *words)  # fmt: skip
        assert "Traceback" not in err
        return status, json.loads(output.read_text()) if output.is_file() else {}, err

    return run


def one_sentence(status: int, err: str, *words: str) -> None:
    (line,) = [line for line in err.splitlines() if line.startswith("error")]
    assert status == 2 and all(word in line for word in words), line


@pytest.mark.parametrize(("name", "mask", "words"), [
    ("normal/normal case (2)_mask.png", disc(*SIZE, 30, 40, 9), "but its image is in the folder normal"),
    ("benign/benign case (3)_mask.png", ~disc(*SIZE, 30, 40, 9), "of its image and most of its border"),
])  # fmt: skip
def test_masks_that_cannot_be_meant(folder, train, evaluate, name, mask, words):
    save_grey(folder / name, mask)
    status, err = train(folder)
    one_sentence(status, err, name, words)
    status, report, err = evaluate(folder)
    one_sentence(status, err, name, words)
    assert report == {}


def test_lesions_with_empty_masks_train_the_class_and_are_not_scored(folder, train, evaluate):
    for i in (1, 2, 3, 4, 5, 6):
        save_grey(folder / "benign" / f"benign case ({i})_mask.png", np.zeros(SIZE, bool))
    status, err = train(folder)
    assert status == 0 and "note: 6 images have a lesion and an empty mask, benign/benign case (1).png" in err
    status, report, err = evaluate(folder)
    assert status == 0 and report["lesion_n"] == 5 and "note: 6 of 16 images have a lesion and an empty mask" in err


def test_a_class_with_fewer_images_than_folds(tmp_path, train):
    status, err = train(write_busi(tmp_path / "few", {"benign": 9, "malignant": 6, "normal": 2}, *SIZE))
    assert status == 0 and "note: only 2 normal images for 5 folds" in err and "UserWarning" not in err
    status, err = train(write_busi(tmp_path / "fewer", {"benign": 4, "malignant": 4, "normal": 2}, *SIZE))
    one_sentence(status, err, "4 benign, 4 malignant, 2 normal images are too few to split into 5 folds")


def test_one_class_alone(tmp_path, train, evaluate):
    root = write_busi(tmp_path / "one", {"benign": 7}, *SIZE)
    status, err = train(root)
    one_sentence(status, err, "There is no image of the class malignant to train on")
    status, report, _ = evaluate(root, "--bootstrap", 50)
    assert status == 0 and report["macro_f1"] == report["classification_report"]["benign"]["f1-score"]


def test_an_image_turned_by_exif(folder, train, evaluate):
    exif = Image.Exif()
    exif[0x0112] = 8
    (folder / "benign" / "benign case (1).png").unlink()
    Image.fromarray(np.rot90(picture(1, *SIZE))).save(folder / "benign" / "benign case (1).jpg", exif=exif)
    assert train(folder)[0] == 0 and evaluate(folder)[0] == 0


@pytest.mark.parametrize("option", ["--output", "--run-dir"])
def test_a_folder_that_cannot_be_written_is_found_before_the_training(folder, train, tmp_path, decoded, option):
    (tmp_path / "file").write_text("no folder")
    status, err = train(folder, option, tmp_path / "file" / "inside")
    one_sentence(status, err, "cannot be written", option)
    assert decoded == []


def test_a_place_for_the_weights_that_is_a_file(folder, train, tmp_path, decoded):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "multitask_cnn").write_text("no folder")
    status, err = train(folder)
    one_sentence(status, err, "multitask_cnn cannot be written", "--output")
    assert decoded == []


@pytest.mark.parametrize("name", ["report", "config.json", "model.safetensors"])
def test_a_part_of_the_weights_that_cannot_be_written(folder, train, tmp_path, decoded, name):
    place = tmp_path / "weights" / "multitask_cnn" / name
    if name == "report":
        place.parent.mkdir(parents=True)
        place.write_text("no folder")
    else:
        place.mkdir(parents=True)
    status, err = train(folder)
    one_sentence(status, err, name, "--output")
    assert decoded == []


def test_a_report_that_cannot_be_written_is_found_before_the_evaluation(folder, evaluate, tmp_path, decoded):
    (tmp_path / "file").write_text("no folder")
    status, _, err = evaluate(folder, "--output", tmp_path / "file" / "report.json")
    one_sentence(status, err, "cannot be written", "--output")
    assert decoded == []


def test_names_of_published_images_mean_nothing(folder, train, evaluate):
    """`benign (2).png` is in the locked test, `benign (433).png` has two classes, `benign (100).png` several masks."""
    for i, name in enumerate(("benign (2)", "benign (433)", "benign (100)"), start=1):
        for suffix in ("", "_mask"):
            path = folder / "benign" / f"benign case ({i}){suffix}.png"
            path.rename(path.with_name(f"{name}{suffix}.png"))
    status, report, err = evaluate(folder)
    assert (status, report["n"], report["lesion_n"], report["uncertain_class_left_out"]) == (0, 16, 11, 0)
    status, _, err = evaluate(folder, "--images", "locked_test")
    one_sentence(status, err, "None of the 156 images of 'locked_test' lies in the data folder")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_tables_as_spreadsheets_save_them(folder, evaluate, tmp_path, encoding):
    (folder / "cases.csv").write_text("image;patient\nbenign/benign case (1);Sch\u00e4fer\n", encoding=encoding)
    (tmp_path / "list.csv").write_text("Image;note\nbenign case (1).png;\u00e9\n", encoding=encoding)
    status, report, _ = evaluate(folder, "--images", tmp_path / "list.csv")
    assert status == 0 and report["n"] == 1
