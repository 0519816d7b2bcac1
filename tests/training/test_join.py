"""Networks of several folds, joined and measured by the real scripts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import disc, forget_mirrored, save_grey
from members import HELD_OUT, KEY, TRAINED, make_member

from busi_demo.data.busi import index_folder
from busi_demo.data.phantom import make_phantom
from busi_demo.imaging import read_image
from busi_demo.imaging.masks import dice
from busi_demo.inference.predictor import Predictor
from busi_demo.training import join as join_module
from busi_demo.training.join import evaluate_held_out, load_member
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.calibration import UNCALIBRATED, fit_calibration
from busi_demo.weights.split_file import read_split
from busi_demo.weights.store import load_weights


@pytest.fixture
def join(run_script, busi, tmp_path):
    return lambda *words: run_script("train/join_folds.py", *words, "--data", busi, "--output", tmp_path / "joined")


def test_each_image_is_judged_by_the_network_that_did_not_see_it(join, members, busi, run_script, tmp_path):
    status, out, err = join(*members)
    assert status == 0, err
    assert f"wrote {tmp_path / 'joined' / KEY}" in out
    joined = load_weights(tmp_path / "joined" / KEY)
    assert joined.config.folds == (0, 3) and "fold" not in joined.config.facts["training"]
    assert joined.config.learnt_from == {"init_from": {"approach": KEY, "sha256": None, "git_commit": None}}
    assert [m["learnt_from"]["init_from"]["sha256"][0] for m in joined.config.facts["members"]] == ["0", "3"]
    assert joined.config.data["uncertain_class_left_out_of_validation"] == 2
    assert joined.config.data["train"]["busi"] == {"benign": 4, "malignant": 3, "normal": 2}
    assert joined.config.data["validation"]["busi"] == {"benign": 2, "malignant": 2, "normal": 1}
    assert joined.config.facts["metrics"]["validation"]["n"] == 5

    splits = {row.image: row.split for row in read_split(tmp_path / "joined" / KEY)}
    assert splits == {**{n: f"fold {f}" for f, names in HELD_OUT.items() for n in names},
                      **dict.fromkeys((*TRAINED, "far.png"), "train")}  # fmt: skip
    history = (tmp_path / "joined" / KEY / "report" / "history.csv").read_text().splitlines()
    assert history[1:] == ["1.0,3.5", "2.0,2.5"]  # the mean of 2 and 5, of 1 and 4
    assert (tmp_path / "joined" / KEY / "report" / "history_fold_3.csv").is_file()

    # what the script that measures says of the validation split, by the single networks
    output = tmp_path / "validation.json"
    status, _, err = run_script("train/evaluate.py", "--data", busi, "--approach", KEY, "--images", "validation",
                                "--weights", tmp_path / "joined", "--output", output)  # fmt: skip
    assert status == 0, err
    report = json.loads(output.read_text())
    assert report["cross_validated"] and report["n"] == 5
    assert report["accuracy"] == joined.config.facts["metrics"]["validation"]["accuracy"]
    single = {fold: Predictor(load_weights(folder.parent / KEY)) for folder, fold in zip(members, (3, 0), strict=True)}
    logits, labels = [], []
    for row in report["per_image"]:
        (fold,) = (f for f, names in HELD_OUT.items() if row["image"] in names)
        expected = single[fold].predict(busi / row["class"] / row["image"])
        raw = np.log(list(expected.probabilities.values())) * (2.0 + fold)  # undo its own temperature
        logits.append(raw)
        labels.append(CLASSES.index(row["class"]))
        odds = np.exp(raw / joined.calibration.temperature + joined.calibration.class_bias)
        np.testing.assert_allclose(list(row["probabilities"].values()), odds / odds.sum(), atol=2e-3)
        if row["dice"] is not None:
            assert row["dice"] == pytest.approx(dice(expected.mask, disc(72, 96, 36, 48, 72 / 5)), abs=1e-3)
    fitted = fit_calibration(np.array(logits), np.array(labels))
    assert joined.calibration.temperature == pytest.approx(fitted.temperature, rel=0.02)
    assert joined.calibration.class_bias == pytest.approx(fitted.class_bias, abs=0.02)


def test_the_calibration_is_fitted_to_the_frames_that_networks_see(members, busi, monkeypatch):
    """A scan on a page: its margins are no part of what an answer comes from."""
    for name in ("malignant case (1).png", "malignant case (1)_mask.png"):
        page = np.full((400, 500), 230 * ("mask" not in name), np.uint8)
        page[100:324, 50:274] = make_phantom("malignant", 1).image if page.any() else disc(224, 224, 112, 112, 45) * 255
        save_grey(busi / "malignant" / name, page)
    assert read_image(busi / "malignant" / "malignant case (1).png").frame == (50, 100, 274, 324)
    fitted_to: list[np.ndarray] = []
    monkeypatch.setattr(join_module, "fit_calibration", lambda logits, labels: fitted_to.append(logits) or UNCALIBRATED)
    results, _ = evaluate_held_out([load_member(folder, {}) for folder in members], index_folder(busi))
    answers = [[result.probabilities[label] for label in CLASSES] for result in results]
    np.testing.assert_allclose(np.exp(fitted_to[0]), answers, atol=1e-5)


def test_other_settings_are_had_on_request(join, members, tmp_path):
    status, _, err = join(*members, "--image-size", 96)
    assert status == 0, err
    assert load_weights(tmp_path / "joined" / KEY).preprocess.size == 96
    (tmp_path / "joined" / KEY / "config.json").write_text('{"format": 1}')  # of an earlier version: no reason to stop
    status, _, err = join(*members, "--scales", 1, 0.5)
    assert status == 0, err
    assert load_weights(tmp_path / "joined" / KEY).model.config["scales"] == [1, 0.5]


def test_a_setting_that_there_is_not_is_refused(members):
    with pytest.raises(InputError, match="multitask_cnn has no setting 'width': it has decoder_width"):
        load_member(members[0], {"width": 8})


def test_networks_from_before_a_setting_was_added_belong_to_those_after_it(join, members, tmp_path):
    forget_mirrored(members[0])
    status, _, err = join(*members)
    assert status == 0, err
    assert load_weights(tmp_path / "joined" / KEY).model.config["mirrored"] == []


@pytest.mark.parametrize("shares", [("--mirrored", 0), ("--scales", 1, -0.5), ("--mirrored", "nan")])
def test_a_size_that_there_is_not_is_refused(join, members, shares):
    status, _, err = join(*members, *shares)
    assert status == 2 and "take shares of the input's side above 0, got " in err


def test_what_does_not_belong_together_is_refused(join, members, tmp_path):
    other = make_member(tmp_path / "other", 1, epochs=9)
    again = make_member(tmp_path / "again", 3)
    for words, message in (
        ((members[0], other), "train networks of several folds alike"),
        ((members[0], again), "both held out fold 3: give one a fold."),
        ((members[0],), "Expected two or more networks"),
        ((*members, "--image-size", 100), "--image-size must be a multiple of 32 from 64 on, got 100"),
    ):
        status, _, err = join(*words)
        (line,) = err.splitlines()
        assert status == 2 and line.startswith("error: ") and message in line
    assert not (tmp_path / "joined").exists()
    assert join(*members)[0] == 0
    status, _, err = join(tmp_path / "joined" / KEY, other)
    assert status == 2 and "holds several networks, calibrated when they were put together" in err


def test_one_network_is_calibrated_on_what_it_held_out(members, busi, run_script, tmp_path):
    folder = members[0].parent
    forget_mirrored(folder / KEY)
    before = load_weights(folder / KEY)
    raw = Predictor(before).predict(busi / "benign" / "benign case (2).png").probabilities
    (folder / KEY / "input_check.safetensors").write_bytes(b"of the same network")
    status, _, err = run_script("train/calibrate.py", "--approach", KEY, "--data", busi, "--weights", folder)
    assert status == 0, err
    after = load_weights(folder / KEY)
    assert after.config.sha256 == before.config.sha256
    assert (folder / KEY / "input_check.safetensors").read_bytes() == b"of the same network"
    assert after.config.facts["training"] == before.config.facts["training"]
    assert after.config.facts["metrics"]["validation"]["n"] == len(HELD_OUT[3])
    assert after.calibration.temperature != before.calibration.temperature and any(after.calibration.class_bias)
    odds = np.array(list(raw.values())) ** (before.calibration.temperature / after.calibration.temperature) * np.exp(
        after.calibration.class_bias
    )
    found = Predictor(after).predict(busi / "benign" / "benign case (2).png").probabilities
    np.testing.assert_allclose(list(found.values()), odds / odds.sum(), atol=1e-6)
    assert (folder / KEY / "report" / "history.csv").read_text().splitlines()[1:] == ["1.0,5.0", "2.0,4.0"]
    assert read_split(folder / KEY)[-1].image == "far.png"


def test_an_ensemble_calibrated_at_other_sizes_is_what_joining_at_these_sizes_gives(
    join, members, busi, run_script, tmp_path
):
    sizes = ["--scales", 1, 0.5, "--mirrored", 0.5, "--image-size", 96]
    assert join(*members)[0] == 0
    earlier = load_weights(tmp_path / "joined" / KEY)
    kept = (tmp_path / "joined").rename(tmp_path / "kept")
    assert join(*members, *sizes)[0] == 0
    (kept / KEY / "input_check.safetensors").write_bytes(b"of the size before")
    words = "--approach", KEY, "--data", busi, "--weights", kept, *sizes
    status, _, err = run_script("train/calibrate.py", *words)
    assert status == 0, err
    found, expected = (load_weights(folder / KEY) for folder in (kept, tmp_path / "joined"))
    assert found.calibration != earlier.calibration
    assert not (kept / KEY / "input_check.safetensors").exists()
    assert found.config.to_json() == expected.config.to_json()
    assert read_split(kept / KEY) == read_split(tmp_path / "joined" / KEY)
    reports = [folder / KEY / "report" for folder in (kept, tmp_path / "joined")]
    assert {f.name for f in reports[0].iterdir()} == {f.name for f in reports[1].iterdir()}
    for name in ("history.csv", "history_fold_3.csv", "classification_report.txt"):
        assert (reports[0] / name).read_text() == (reports[1] / name).read_text()
    assert found.model.config["mirrored"] == [0.5]
    status, _, err = run_script("train/calibrate.py", *words, "--mirrored")
    assert status == 0, err
    assert load_weights(kept / KEY).model.config["mirrored"] == []
    status, _, err = run_script("train/calibrate.py", *words[:-1], 100)
    assert status == 2 and "--image-size must be a multiple of 32 from 64 on, got 100" in err


def test_what_an_ensemble_was_trained_on_is_no_result(join, members, busi, run_script, tmp_path):
    assert join(*members)[0] == 0
    status, _, err = run_script("train/evaluate.py", "--data", busi, "--approach", KEY, "--weights",
                                tmp_path / "joined", "--output", tmp_path / "all.json", "--bootstrap", 0)  # fmt: skip
    assert status == 0
    assert "note: 9 of the 9 images were trained on; --images validation measures without that" in err
    assert not json.loads((tmp_path / "all.json").read_text())["cross_validated"]
