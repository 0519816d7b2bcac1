"""An approach is added with one file, one row of `APPROACHES` and one golden value; here a tiny one, for a moment."""

from __future__ import annotations

import csv
import importlib
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import contract
import pytest
from contract import Contract
from helpers import ROOT, fill_weights, picture, save_grey

from busi_demo import models as rooms
from busi_demo.__main__ import main
from busi_demo.evaluation.history import read_stages
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.consensus import load_consensus
from busi_demo.inference.predictor import load_predictor, load_predictors
from busi_demo.models import ALL, APPROACHES, CONSENSUS
from busi_demo.models.base import ApproachModel
from busi_demo.types import CLASSES, InputError
from busi_demo.ui.page import build_page
from busi_demo.weights import store as weights
from busi_demo.weights.store import available_approaches, read_config, save_weights

KEY = "tiny"
SOURCE = '''
from __future__ import annotations

import torch
from torch import nn

from busi_demo.models.base import ApproachModel
from busi_demo.models.heads import ClassificationHead
from busi_demo.types import ModelOutput


class Tiny(ApproachModel):
    """Three convolutions."""

    key = "tiny"
    title = "Tiny network"
    summary = "Three convolutions, for a test."

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.config = {"width": width}
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        )
        self.draw = nn.Sequential(nn.Conv2d(width, 1, 1), nn.Upsample(scale_factor=4, mode="bilinear"))
        self.head = ClassificationHead(width, 0.0)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        features = self.body(x)
        return ModelOutput(self.draw(features), self.head(features), features, self.head)
'''
# Two steps on ten phantoms a class.
TRAINING = ("--approach", KEY, "--data", "phantoms", "--phantoms", "10", "--samples-per-epoch", "8", "--batch-size",
            "4", "--image-size", "64", "--start-size", "64", "--epochs", "1", "--precision", "fp32")  # fmt: skip


@pytest.fixture(scope="module")
def fifth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[ApproachModel]]:
    """One more file in `busi_demo.models` and one more row in `APPROACHES`, until the tests of this file are done."""
    folder = tmp_path_factory.mktemp("models")
    (folder / f"{KEY}.py").write_text(SOURCE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "__path__", [*rooms.__path__, str(folder)])
        model = importlib.import_module(f"busi_demo.models.{KEY}").Tiny
        patch.setitem(APPROACHES, KEY, model)
        yield model
        del sys.modules[f"busi_demo.models.{KEY}"]


def train(folder: Path, *options: str) -> None:
    """Call train/train_multitask.py; weights and run go into a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "train")  # as `python train/train_multitask.py` has it
        script = runpy.run_path(str(ROOT / "train" / "train_multitask.py"))
        script["train"]([*TRAINING, *options, "--output", str(folder), "--run-dir", str(folder / "run")])


@pytest.fixture(scope="module")
def trained(fifth: type[ApproachModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with the new approach alone, as the training script leaves it after two steps."""
    folder = tmp_path_factory.mktemp("weights")
    train(folder)
    return folder


@pytest.fixture
def project_weights(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The new approach's weights as those of the project."""
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", trained)
    load_predictor.cache_clear()
    yield trained
    load_predictor.cache_clear()


class TestContract(Contract):
    """The suite that all approaches pass."""

    @pytest.fixture
    def approach(self, fifth: type[ApproachModel]) -> str:
        return fifth.key

    @pytest.fixture
    def models(self, fifth: type[ApproachModel]) -> dict[str, ApproachModel]:
        return {KEY: fill_weights(fifth()).eval()}

    @pytest.fixture(autouse=True)
    def golden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(contract.GOLDEN, KEY, [-0.4637, 0.4064, -0.023, -0.4688, -0.1971])


def test_a_missing_golden_value_is_told_with_the_line_to_add(fifth):
    with pytest.raises(pytest.fail.Exception, match=r"tiny has no golden value: .* GOLDEN in .*contract.py: \[-?\d"):
        Contract().test_golden_output({KEY: fill_weights(fifth()).eval()}, KEY)


def test_the_training_script_trains_it(trained):
    config = read_config(trained / KEY)
    assert config.approach == KEY and config.architecture == {"width": 8}
    assert [len(stage) for stage in read_stages(trained / KEY)] == [1]


def test_pretrained_encoders_are_refused_with_a_sentence(fifth, tmp_path):
    with pytest.raises(InputError, match="tiny has no encoder with pretrained weights"):
        train(tmp_path, "--encoder-weights", "imagenet")


def test_a_training_that_goes_on_from_its_weights_keeps_their_history(trained, tmp_path):
    train(tmp_path, "--init-from", str(trained / KEY), "--seed", "0")
    first, second = read_stages(tmp_path / KEY)
    assert [first] == read_stages(trained / KEY) and len(second) == 1 and second != first
    train(tmp_path / "third", "--init-from", str(tmp_path / KEY))
    assert read_stages(tmp_path / "third" / KEY)[:2] == [first, second]


def test_the_command_line_offers_it_and_predicts_with_it(project_weights, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert KEY in capsys.readouterr().out
    image = save_grey(tmp_path / "image.png", picture(0))
    assert main(["predict", str(image), "--approach", KEY, "--output", str(tmp_path / "out"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["approach"] == KEY and record["predicted_class"] in CLASSES
    assert (tmp_path / "out" / f"image.{KEY}.png").is_file()


def test_the_page_offers_it(fifth, tmp_path):
    choices = [
        component["props"]["choices"]
        for component in build_page(tmp_path).get_config_file()["components"]
        if component["type"] == "radio"
    ]
    assert any([fifth.title, KEY] in [list(choice) for choice in offered] for offered in choices)


def test_approaches_without_weights_are_known(project_weights):
    assert available_approaches() == [KEY]


def test_without_weights_it_is_left_out_of_the_consensus_with_a_sentence(fifth, tmp_path, monkeypatch, capsys):
    keys = ["multitask_resnet50", "multitask_cnn"]
    for key in keys:
        facts = {"metrics": {}, "data": {}, "training": {}}
        save_weights(
            tmp_path / "weights" / key, fill_weights(APPROACHES[key]()).eval(), Preprocess(size=64), facts=facts
        )
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "weights")
    missing = [key for key in APPROACHES if key not in keys]
    sentence = f"Left out, because there are no weights: {', '.join(missing)}."
    assert KEY in missing and {member.key for member in load_consensus().members} == set(keys)
    members, note = load_predictors(ALL)
    assert {member.key for member in members} == set(keys) and note == sentence
    save_grey(tmp_path / "images" / "image.png", picture(0))
    out = tmp_path / "out"
    assert main(["batch", str(tmp_path / "images"), "--approach", ALL, "--no-figures", "--output", str(out)]) == 0
    assert f"note: {sentence}" in capsys.readouterr().err
    with (out / "batch.csv").open(newline="") as file:
        assert {row["approach"] for row in csv.DictReader(file)} == {*keys, CONSENSUS}
