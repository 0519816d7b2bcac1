"""What fewer networks of an ensemble give."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from busi_demo.analysis.answer import Answer
from busi_demo.data.busi import index_folder
from busi_demo.evaluation.card.card import model_card
from busi_demo.evaluation.card.tables import fewer_table
from busi_demo.evaluation.fewer import SharedMembers, choices, measure_fewer
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import image_result
from busi_demo.imaging import GroundTruth
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.predictor import Predictor
from busi_demo.models import create_model
from busi_demo.models.ensemble import Ensemble
from busi_demo.models.two_stage import TwoStage
from busi_demo.weights.split_file import SplitRow, write_split
from busi_demo.weights.store import Weights
from busi_demo.weights.trust_file import answers_sha256

FOLDS = (4, 0, 2)


def several(key: str, **settings) -> list:
    networks = []
    for seed in range(len(FOLDS)):
        torch.manual_seed(seed)
        networks.append(create_model(key, **settings).eval())
    return networks


@pytest.fixture(scope="module")
def ensembles() -> dict[str, Weights]:
    cnns = Ensemble(several("multitask_cnn", decoder_width=8, class_width=8), FOLDS).eval()
    detectors = Ensemble(several("multitask_unet", decoder_channels=(8,), width=8), FOLDS).eval()
    torch.manual_seed(9)
    head = deepcopy(detectors.head)
    for bias, member in enumerate(head.heads):
        torch.nn.init.constant_(member[-1].bias, bias)
    two_stage = TwoStage().behind(detectors, head).eval()
    return {model.key: Weights(model, Preprocess(size=64)) for model in (cnns, two_stage)}


def test_each_network_is_in_as_many_choices():
    assert choices(FOLDS, 2) == [(4, 0), (0, 2), (2, 4)] and choices(FOLDS, 1) == [(4,), (0,), (2,)]
    assert choices(FOLDS, 3) == [FOLDS]


@pytest.mark.parametrize("key", ["multitask_cnn", "two_stage"])
def test_the_rows_are_the_means_over_the_choices(ensembles, busi, key):
    """Each number as from a predictor that has these networks alone and shares nothing."""
    weights, samples = ensembles[key], index_folder(busi)[::3]
    rows = measure_fewer(weights, samples, timed=1)
    assert [(row["networks"], row["choices"]) for row in rows] == [(1, 3), (2, 3), (3, 1)]
    for row, chosen in zip(rows, ([(4,), (0,), (2,)], [(4, 0), (0, 2), (2, 4)], [FOLDS]), strict=True):
        summaries = []
        for folds in chosen:
            predictor = Predictor(replace(weights, model=weights.model.part(folds)))
            answers = [(Answer(predictor.predict(s.read()[0]), GroundTruth(s.read()[1])), s) for s in samples]
            summaries.append(summarise([image_result(*pair) for pair in answers]))
        assert row["milliseconds"] > 0
        for name in ("accuracy", "lesion_dice", "brier"):
            assert row[name] == pytest.approx(sum(s[name] for s in summaries) / len(summaries), abs=1e-6), name
        aucs = [s["auc"]["malignant"] for s in summaries]
        assert row["malignant_auc"] == pytest.approx(sum(aucs) / len(aucs), abs=1e-6)
    assert len({row["brier"] for row in rows}) == 3


def test_a_network_of_several_ensembles_runs_once(ensembles, noise, monkeypatch):
    model, runs = ensembles["multitask_cnn"].model, []
    for member in model.members:
        tensors = member.tensors
        monkeypatch.setattr(member, "tensors", lambda x, tensors=tensors: runs.append(x) or tensors(x))
    shared = SharedMembers()
    with torch.no_grad():
        found = [shared.output(model.part(folds), noise[:1]) for folds in ((4, 0), (0, 2), FOLDS)]
        assert len(runs) == len(FOLDS)
        torch.testing.assert_close(found[1].class_logits, model.part((0, 2))(noise[:1]).class_logits)
        shared.output(model, noise[1:2])
    assert len(runs) == 2 * len(FOLDS) + 2  # the two of the comparison, and all on another input


def test_the_script_writes_what_the_card_shows(run_script, busi, weights_folder, tmp_path):
    output = tmp_path / "fewer.json"
    status, out, err = run_script("train/fewer_networks.py", "--data", busi, "--weights", weights_folder,
                                  "--count", 5, "--output", output)  # fmt: skip
    assert status == 0 and "wrote" in out, err
    measured = json.loads(output.read_text())
    assert measured["data"] == "busi" and measured["n"] == 5
    assert [len(own["rows"]) for own in measured["approaches"].values()] == [1, 1, 1, 1]
    own = measured["approaches"]["multitask_cnn"]
    config = json.loads((weights_folder / "multitask_cnn" / "config.json").read_text())
    answers = {key: "other" for key in measured["approaches"]} | {"multitask_cnn": answers_sha256(config)}
    text = fewer_table(measured, answers)
    row = own["rows"][0]
    assert f"| `multitask_cnn` | 1 | {row['milliseconds']:.0f} | {row['accuracy']:.3f} |" in text
    assert text.startswith("5 images of busi, 5 of them timed; threads: 1.") and text.count("| `multitask_") == 1
    assert text.endswith(
        "other weights, sizes or calibrations were measured: `two_stage`, `multitask_resnet50`, `multitask_unet`."
    )
    warmer = answers | {"multitask_cnn": answers_sha256(config | {"temperature": 3.0})}
    assert "| approach | networks |" not in fewer_table(measured, warmer)
    card = model_card({}, {}, fewer=measured)
    assert "other weights, sizes or calibrations were measured" in card and "| approach | networks |" not in card
    assert "train/fewer_networks.py" in model_card({}, {})


def test_the_script_measures_on_unknown_images_alone(run_script, busi, weights_folder, tmp_path):
    output = tmp_path / "fewer.json"
    words = ["train/fewer_networks.py", "--data", busi, "--output", output, "--weights"]
    status, _, err = run_script(*words, tmp_path)
    assert status == 2 and "holds the weights of no approach: name their folder with --weights" in err
    shutil.copytree(weights_folder / "multitask_cnn", tmp_path / "multitask_cnn")
    first = index_folder(busi)[0]
    write_split(tmp_path / "multitask_cnn", [SplitRow(first.name, first.label, "busi", "a", "train")])
    status, _, err = run_script(*words, tmp_path)
    assert status == 2 and err.startswith("error: 1 of the 9 images were trained on: give a data set that no network")
    assert not output.exists()


def test_a_measure_that_is_not_defined_stays_so(ensembles, busi):
    benign = [sample for sample in index_folder(busi) if sample.label == "benign"]
    assert all(row["malignant_auc"] is None for row in measure_fewer(ensembles["multitask_cnn"], benign, timed=1))
