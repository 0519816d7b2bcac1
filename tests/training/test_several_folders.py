"""Networks of several folds that are measured together without being joined: --weights with several folders."""

from __future__ import annotations

import json
import runpy

import pytest
from helpers import ROOT
from members import HELD_OUT, KEY, make_member

from busi_demo.types import InputError
from busi_demo.weights.store import load_weights, read_config
from busi_demo.weights.trust_file import answers_sha256


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


def test_what_does_not_belong_together_is_refused(members, folders, run, cases_of, busi, tmp_path):
    with pytest.raises(InputError, match=r"has other thresholds or another calibration than .*3/multitask_cnn: run "):
        cases_of(KEY, busi, folders)
    output = ("--output", tmp_path / "x.json", "--images")
    other = make_member(tmp_path / "other", 1, epochs=9).parent
    for script, words, message in (
        ("calibrate", ("--weights", folders[0], other), "train all networks of an ensemble alike"),
        ("calibrate", ("--weights", folders[0], folders[0]), "held out different folds, got folds [3, 3]"),
        ("evaluate", ("--weights", folders[0], folders[0], *output, "validation"),
         "both held out benign/benign case (2).png: give --weights folders of networks that each held out another"),
        ("evaluate", ("--weights", *folders, *output, "all"), "with --images validation alone: give one."),
    ):  # fmt: skip
        status, _, err = run(script, *words)
        (line,) = err.splitlines()
        assert status == 2 and line.startswith("error: ") and message in line
    assert not (tmp_path / "x.json").exists()
