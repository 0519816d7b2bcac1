from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_files import scan
from helpers import ROOT, disc, picture, save_grey
from PIL import Image

from busi_demo.__main__ import main
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.types import CLASSES
from busi_demo.weights import store as weights

# `python -m busi_demo` with another weights folder, which is its first argument.
WITH_WEIGHTS = (
    "import pathlib, runpy, sys, busi_demo.weights.store as w; w.WEIGHTS_FOLDER = pathlib.Path(sys.argv.pop(1)); "
    "runpy.run_module('busi_demo', run_name='__main__', alter_sys=True)"
)


@pytest.fixture
def images(tmp_path) -> list[Path]:
    return [
        save_grey(tmp_path / "in" / "wide.png", picture(1, 80, 120)),
        save_grey(tmp_path / "in" / "tall.jpg", picture(2, 90, 70)),
    ]


@pytest.fixture
def bad(tmp_path) -> Path:
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / "broken.png").write_bytes(b"this is no image")
    return tmp_path / "in" / "broken.png"


@pytest.fixture
def predict(weights_folder, tmp_path, monkeypatch, capsys):
    """Run `predict` with the test weights; returns exit status, and lines of standard output and error."""
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", weights_folder)
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, list[str], list[str]]:
        status = main(["predict", *map(str, words)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


def test_all_approaches_on_two_images_and_a_bad_file(weights_folder, images, bad, tmp_path):
    words = [images[0], bad, images[1], "--approach", "all", "--json", "--output", tmp_path / "out"]
    run = subprocess.run(
        [sys.executable, "-c", WITH_WEIGHTS, weights_folder, "predict", *map(str, words)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 2
    *notes, error = sorted(run.stderr.splitlines(), reverse=True)
    assert error.startswith("error: ") and "broken.png" in error
    assert len(notes) == len(APPROACHES)  # these weights have no input check
    assert all(note.startswith("note: ") and "input_check.safetensors is missing" in note for note in notes)

    lines = [json.loads(line) for line in run.stdout.splitlines()]
    answered = [(line["image"], line["approach"]) for line in lines]
    assert answered == [(str(path), key) for path in images for key in APPROACHES]
    for line in lines:
        assert list(line) == ["image", "approach", "predicted_class", "probabilities", "lesion_area_fraction", "dice",
                              "iou", "warnings", "seconds", "input_check", "trust", "prediction_set",
                              "expected_dice"]  # fmt: skip
        assert list(line["probabilities"]) == list(CLASSES)
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert line["predicted_class"] == max(line["probabilities"], key=line["probabilities"].get)
        assert 0 <= line["lesion_area_fraction"] <= 1
        assert line["dice"] is None and line["iou"] is None
        assert isinstance(line["warnings"], list) and line["seconds"] > 0

    expected = {f"{path.stem}.{key}{end}" for path in images for key in APPROACHES for end in (".png", ".mask.png")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    for line in lines:
        source = Path(line["image"])
        with Image.open(tmp_path / "out" / f"{source.stem}.{line['approach']}.mask.png") as mask:
            assert mask.mode == "L" and mask.size == Image.open(source).size
            values = np.asarray(mask)
        assert set(np.unique(values)) <= {0, 255}
        assert (values == 255).mean() == pytest.approx(line["lesion_area_fraction"])
        with Image.open(tmp_path / "out" / f"{source.stem}.{line['approach']}.png") as figure:
            assert figure.width > 2 * figure.height  # five panels in a row


def test_without_json_a_sentence_is_printed(predict, images):
    status, lines, errors = predict(images[0])
    assert (status, errors) == (0, [])
    assert f"wide.png  {DEFAULT_APPROACH}: " in lines[0] and "lesion" in lines[0] and "%" in lines[0]
    assert (Path("output") / f"wide.{DEFAULT_APPROACH}.png").is_file()


def test_the_overlap_with_the_ground_truth_is_printed(predict, images, tmp_path):
    truth = disc(80, 120, 40, 60, 20)
    mask = save_grey(tmp_path / "truth.png", truth)
    status, (line,), _ = predict(images[0], "--approach", "multitask_cnn", "--ground-truth", mask, "--json")
    assert status == 0
    answer = json.loads(line)
    with Image.open("output/wide.multitask_cnn.mask.png") as image:
        found = np.asarray(image) == 255
    both = (found & truth).sum()
    assert answer["dice"] == pytest.approx(2 * both / (found.sum() + truth.sum()))
    assert answer["iou"] == pytest.approx(both / (found | truth).sum())
    status, (words,), _ = predict(images[0], "--approach", "multitask_cnn", "--ground-truth", mask)
    assert f"Dice {answer['dice']:.3f}, IoU {answer['iou']:.3f}" in words


def test_an_image_that_was_used_in_training_is_named_with_each_answer(predict, images, put_on_list):
    known = put_on_list(picture(1, 80, 120))
    status, lines, _ = predict(*images, "--approach", "all", "--json")
    answers = [json.loads(line) for line in lines]
    assert status == 0 and len(answers) == 2 * len(APPROACHES)
    for answer in answers:
        assert (known.sentence in answer["warnings"]) is ("wide.png" in answer["image"])


def test_image_and_mask_are_decoded_once_for_all_approaches(predict, images, tmp_path, decoded):
    mask = save_grey(tmp_path / "truth.png", disc(80, 120, 40, 60, 20))
    status, lines, _ = predict(images[0], "--approach", "all", "--ground-truth", mask, "--json")
    assert status == 0 and len(lines) == len(APPROACHES)
    assert decoded == [str(images[0]), str(mask)]


def test_all_leaves_out_the_approaches_without_weights_and_says_so(
    predict, images, weights_folder, tmp_path, monkeypatch
):
    shutil.copytree(weights_folder / "multitask_cnn", tmp_path / "some" / "multitask_cnn")
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "some")
    status, lines, (note,) = predict(images[0], "--approach", "all")
    assert status == 0 and len([line for line in lines if "wide.png" in line]) == 1
    assert note == "note: Left out, because there are no weights: two_stage, multitask_resnet50, multitask_unet."


def test_a_refused_picture_is_an_answer_without_a_class(predict, tmp_path):
    mask = save_grey(tmp_path / "drawing.png", disc(200, 300, 90, 140, 40))
    status, (line,), _ = predict(mask, "--approach", "multitask_cnn", "--json")
    answer = json.loads(line)
    assert status == 0 and answer["input_check"]["verdict"] == "refused"
    assert "mask or a drawing" in answer["input_check"]["reasons"][0]
    assert [answer[name] for name in ("predicted_class", "probabilities", "lesion_area_fraction")] == [None] * 3
    assert not list(Path("output").glob("drawing*"))

    status, lines, _ = predict(mask, "--approach", "multitask_cnn")
    assert status == 0 and "refused, --analyse-anyway overrides" in lines[0]

    status, (line,), _ = predict(mask, "--approach", "multitask_cnn", "--analyse-anyway", "--json")
    answer = json.loads(line)
    assert answer["predicted_class"] in CLASSES and answer["input_check"]["verdict"] == "refused"
    assert Path("output/drawing.multitask_cnn.png").is_file()


def test_a_ground_truth_belongs_to_one_image(predict, images, tmp_path):
    mask = save_grey(tmp_path / "truth.png", disc(80, 120, 40, 60, 20))
    status, lines, (error,) = predict(*images, "--ground-truth", mask)
    assert (status, lines) == (2, [])
    assert error == "error: --ground-truth is the mask of one image, got 2 images."


def test_a_wrong_ground_truth_is_named(predict, images):
    status, lines, (error,) = predict(images[0], "--ground-truth", "nothing.png")
    assert (status, lines) == (2, []) and "nothing.png does not exist" in error


def test_images_with_the_same_stem_do_not_overwrite_each_other(predict, images, tmp_path):
    namesake = save_grey(tmp_path / "other" / "wide.png", picture(3))
    words = [images[0], namesake, images[1], "--approach", "multitask_cnn"]
    status, lines, (error,) = predict(*words)
    assert status == 2 and len(lines) >= 2
    assert str(namesake) in error and f"would overwrite the results of {images[0]}" in error
    with Image.open("output/wide.multitask_cnn.mask.png") as mask:
        assert mask.size == (120, 80)
    assert Path("output/tall.multitask_cnn.mask.png").is_file()


def test_a_missing_image_is_named_once(predict):
    status, lines, (error,) = predict("nowhere/image.png")
    assert (status, lines) == (2, [])
    assert error.count("nowhere/image.png") == 1


def test_missing_weights_get_one_line(predict, images, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    status, lines, (error,) = predict(images[0])
    assert (status, lines) == (2, [])
    assert "weights of multitask_unet are missing" in error


def test_an_output_that_is_a_file_gets_one_line(predict, images, tmp_path):
    (tmp_path / "taken").write_text("")
    status, lines, (error,) = predict(images[0], "--output", tmp_path / "taken", "--approach", "multitask_cnn")
    assert (status, lines) == (2, [])
    assert (
        error == f"error: The folder {tmp_path / 'taken'} cannot be written (File exists): name another with --output."
    )


def test_results_of_a_name_as_long_as_a_file_system_allows(predict, tmp_path):
    for number in "12":
        image = save_grey(tmp_path / ("\u00e9" * 125 + f"{number}.png"), picture(1))
        status, _, errors = predict(image, "--approach", "multitask_cnn")
        assert (status, errors) == (0, [])
    assert len(list((tmp_path / "output").glob("*.multitask_cnn.mask.png"))) == 2


def test_a_result_that_cannot_be_written_gets_one_line(predict, images, tmp_path):
    taken = tmp_path / "out" / "wide.multitask_cnn.png"
    taken.mkdir(parents=True)
    status, lines, (error,) = predict(*images, "--approach", "multitask_cnn", "--output", tmp_path / "out")
    assert status == 2 and any("tall.jpg" in line for line in lines)
    sentence = f"The result {taken} cannot be written (Is a directory): name another folder with --output."
    assert error == f"error: {images[0]}: {sentence}"


@pytest.mark.parametrize("address", ["https://example.org/scan.png", "ftp://example.org/scan.png"])
def test_an_address_is_not_read(predict, address):
    status, lines, (error,) = predict(address, "--approach", "multitask_cnn")
    assert (status, lines) == (2, [])
    assert "scan.png is an address, expected the path of a file: download it first, and name that file." in error


def test_the_error_for_an_unknown_approach_lists_the_choices(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "image.png", "--approach", "vit"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert all(key in error for key in APPROACHES)


def test_a_crop_is_what_is_analysed(predict, images):
    status, (line,), _ = predict(images[0], "--crop", "10,5,90,70", "--json", "--output", "out")
    record = json.loads(line)
    assert status == 0 and record["input_check"]["frame"] == [10, 5, 90, 70]
    assert "Only the chosen part was used, x 10 to 90 and y 5 to 70." in record["warnings"]
    _, (line,), _ = predict(images[0], "--json", "--output", "other")
    assert json.loads(line)["input_check"] == {"verdict": "accepted", "reasons": [], "frame": [0, 0, 120, 80]}


def test_files_of_an_earlier_answer_do_not_stay_beside_a_refusal(predict, tmp_path):
    mask = save_grey(tmp_path / "shape.png", disc(72, 96, 30, 40, 15))
    words = (mask, "--approach", "multitask_cnn", "--json", "--output", str(tmp_path / "out"))
    predict(*words, "--analyse-anyway")
    assert len(list((tmp_path / "out").iterdir())) == 2
    status, (line,), _ = predict(*words)
    assert status == 0 and json.loads(line)["predicted_class"] is None and not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(("crop", "sentence"), [
    ("1,2,3", "A crop is four whole numbers"),
    ("50,0,10,70", "x0 below x1"),
    ("0,0,500,80", "The crop must lie within the image of 120 x 80 pixels"),
])  # fmt: skip
def test_a_bad_crop_gets_one_sentence(predict, images, crop, sentence):
    status, out, errors = predict(images[0], "--crop", crop, "--output", "out")
    assert status == 2 and out == [] and len(errors) == 1 and sentence in errors[0]


def test_a_frame_of_a_loop(predict, tmp_path):
    loop = np.stack([picture(seed, 40, 56) for seed in range(3)])
    path = tmp_path / "loop.dcm"
    path.write_bytes(scan(loop, NumberOfFrames=3))
    for number, words in ((None, "The middle one of 3 frames was used (number 2)"), (3, "(number 3)")):
        options = () if number is None else ("--frame", number)
        status, out, err = predict(path, "--json", *options)
        assert (status, err) == (0, []) and any(words in warning for warning in json.loads(out[0])["warnings"])
    status, out, err = predict(path, "--frame", 4)
    assert status == 2 and out == [] and len(err) == 1
    assert "loop.dcm has 3 frames, expected a number from 1 to 3, got frame 4: give another number." in err[0]
