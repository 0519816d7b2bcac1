"""Networks of several folds that are measured together without being joined: --weights with several folders."""

from __future__ import annotations

import json
import runpy
import shutil

import pytest
from helpers import ROOT
from members import HELD_OUT, KEY, make_member

from busi_demo.inference.predictor import Predictor
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.store import load_weights, read_config
from busi_demo.weights.trust_file import answers_sha256

UNET = "multitask_unet"


@pytest.fixture
def folders(members):
    """The weights folders of the two networks."""
    return [member.parent for member in members]


@pytest.fixture
def run(run_script, busi):
    def run(script, *words):
        return run_script(f"train/{script}.py", "--data", busi, "--approach", KEY, *words)

    return run


@pytest.fixture
def cases_of(monkeypatch):
    """The function of train/fit_trust.py."""
    monkeypatch.syspath_prepend(ROOT / "train")
    return runpy.run_path(str(ROOT / "train" / "fit_trust.py"), run_name="fit_trust")["cases_of"]


def test_they_are_calibrated_measured_and_trusted_like_the_ensemble_of_them(
    members, folders, run, run_script, busi, cases_of, tmp_path
):
    joined = tmp_path / "joined"
    assert run_script("train/join_folds.py", *members, "--data", busi, "--output", joined)[0] == 0
    sha256 = [read_config(member).sha256 for member in members]
    status, _, err = run("calibrate", "--weights", *folders)
    assert status == 0, err
    after = [load_weights(member) for member in members]
    assert [w.calibration for w in after] == 2 * [load_weights(joined / KEY).calibration]
    assert [w.config.sha256 for w in after] == sha256
    assert [w.config.facts["metrics"]["validation"]["n"] for w in after] == [len(HELD_OUT[3]), len(HELD_OUT[0])]
    assert [w.config.fold for w in after] == [3, 0]

    reports = []
    for name, weights in (("folds", folders), ("joined", [joined])):
        output = tmp_path / f"{name}.json"
        status, _, err = run("evaluate", "--images", "validation", "--output", output, "--weights", *weights)
        assert status == 0, err
        reports.append(json.loads(output.read_text()))
    of_folds, of_ensemble = reports
    assert of_folds["per_image"] == of_ensemble["per_image"] and of_folds["intervals"] == of_ensemble["intervals"]
    assert of_folds["cross_validated"] and of_folds["images"] == "validation"
    assert of_folds["weights_sha256"] == sha256
    assert of_folds["answers_sha256"] == [answers_sha256(w.config.to_json()) for w in after]

    cases, expected = cases_of(KEY, busi, folders), cases_of(KEY, busi, [joined])
    assert len(cases) == len(HELD_OUT[0]) + len(HELD_OUT[3])
    assert [c.prediction.probabilities for c in cases] == [c.prediction.probabilities for c in expected]
    together = [{c.label for c in cases if c.fold == fold} for fold in (0, 1)]
    assert together == [{"benign", "malignant", "normal"}, {"benign", "malignant"}]  # fold 3 is the first folder


def test_trust_is_written_to_the_first_of_them(folders, members, run):
    assert run("calibrate", "--weights", *folders)[0] == 0
    status, out, err = run("fit_trust", "--weights", *folders)
    assert status == 0, err
    assert f"wrote {members[0] / 'trust.json'} from 5 images" in out
    assert not (members[1] / "trust.json").exists()


def test_the_consensus_is_of_the_approaches_of_each_folder(members, folders, run_script, busi, tmp_path):
    for fold, folder in zip((3, 0), folders, strict=True):
        make_member(folder, fold, key=UNET)
    words = "--data", busi, "--approach", "consensus", "--images", "validation", "--output", tmp_path / "x.json"
    for key in (KEY, UNET):
        status, _, err = run_script("train/calibrate.py", "--data", busi, "--approach", key, "--weights", *folders)
        assert status == 0, err
    status, _, err = run_script("train/evaluate.py", *words, "--weights", *folders)
    assert status == 0, err
    report = json.loads((tmp_path / "x.json").read_text())
    assert report["weights_sha256"] == [
        {key: read_config(folder / key).sha256 for key in (KEY, UNET)} for folder in folders
    ]
    for fold, folder in zip((3, 0), folders, strict=True):
        both = [Predictor(load_weights(folder / key)) for key in (UNET, KEY)]
        for row in (row for row in report["per_image"] if row["image"] in HELD_OUT[fold]):
            alone = [one.predict(busi / row["class"] / row["image"]).probabilities for one in both]
            mean = {name: (alone[0][name] + alone[1][name]) / 2 for name in CLASSES}
            assert row["probabilities"] == pytest.approx(mean, abs=1e-4)

    make_member(tmp_path / "other", 3, key=UNET)
    shutil.copytree(members[1], tmp_path / "other" / KEY)
    status, _, err = run_script("train/evaluate.py", *words, "--weights", folders[0], tmp_path / "other")
    assert status == 2 and "multitask_unet both held out fold 3: give one a fold." in err
    make_member(folders[1], 0, key="multitask_resnet50")
    status, _, err = run_script("train/evaluate.py", *words, "--weights", *folders)
    assert status == 2 and f"holds the approaches multitask_resnet50, {KEY}, {UNET}, {folders[0]} holds {KEY}, " in err


def test_what_does_not_belong_together_is_refused(members, folders, run, cases_of, busi, tmp_path):
    with pytest.raises(InputError, match=r"0/multitask_cnn was made with calibration .*by train/calibrate\.py"):
        cases_of(KEY, busi, folders)
    validation = ("--output", tmp_path / "x.json", "--images", "validation")
    other = make_member(tmp_path / "other", 1, epochs=9).parent
    for script, words, message in (
        ("calibrate", ("--weights", folders[0], other), "other/multitask_cnn was made with training {'epochs': 9}, "),
        ("calibrate", ("--weights", folders[0], folders[0]), "both held out fold 3: give one a fold."),
        ("calibrate", ("--weights", folders[0], tmp_path / "no"), "The weights of multitask_cnn are missing"),
        ("evaluate", ("--weights", *folders, *validation), "calibrate them together"),
        ("evaluate", ("--weights", folders[0], folders[0], *validation), "both held out fold 3: give one a fold."),
        ("evaluate", ("--weights", *folders, *validation[:-1], "all"), "with --images validation alone: give one."),
    ):
        status, _, err = run(script, *words)
        (line,) = err.splitlines()
        assert status == 2 and line.startswith("error: ") and message in line
    assert not (tmp_path / "x.json").exists() and not (tmp_path / "no").exists()


def test_an_ensemble_is_given_alone(members, run, run_script, busi, tmp_path):
    joined = tmp_path / "joined"
    assert run_script("train/join_folds.py", *members, "--data", busi, "--output", joined)[0] == 0
    for script in ("calibrate", "fit_trust"):
        status, _, err = run(script, "--weights", joined, members[0].parent)
        assert status == 2 and "holds no single network that held out one fold: give that folder alone." in err
    status, _, err = run_script("train/fit_trust.py", "--data", busi, "--weights", joined, members[0].parent)
    assert status == 2 and "name these with --approach." in err


def test_what_the_calibration_was_fitted_to_is_recorded(members, folders, run):
    assert run("calibrate", "--weights", *folders)[0] == 0
    expected = sorted((c.fold, c.sha256) for c in map(read_config, members))
    assert [tuple(row.values()) for row in read_config(members[0]).facts["calibrated_with"]] == expected
    status, _, err = run("calibrate", "--weights", folders[0])
    assert status == 0 and "note: the calibration before was fitted to 2 networks" in err
    assert "calibrated_with" not in read_config(members[0]).facts
