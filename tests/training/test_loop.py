"""The training loop on a few small images, uninterrupted and interrupted."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from helpers import DiscSample
from stumbling import Stumbling

from busi_demo.data.augment import training_augmentation
from busi_demo.data.dataset import CanvasDataset
from busi_demo.data.reading import read_samples
from busi_demo.evaluation.plots import LOSS_STYLES, SCORE_STYLES
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import create_model
from busi_demo.training import loop
from busi_demo.training.checkpoint import RunFolder, read_state
from busi_demo.training.config import WEIGHTS_OPTIONS, TrainConfig
from busi_demo.training.loop import fit
from busi_demo.training.losses import JointObjective
from busi_demo.types import InputError
from busi_demo.weights.calibration import Calibration
from busi_demo.weights.store import save_weights

# 3 steps an epoch, 6 in all
CONFIG = TrainConfig(
    approach="multitask_cnn", epochs=2, samples_per_epoch=12, batch_size=4, learning_rate=5e-3, image_size=64,
    start_size=64, precision="fp32",
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    samples, preprocess = [DiscSample(label) for label in ("benign", "malignant", "normal") * 2], Preprocess(size=64)
    return CanvasDataset(read_samples(samples, preprocess), training_augmentation()), CanvasDataset(
        read_samples(samples[:3], preprocess)
    )


@pytest.fixture
def train(data):
    """Run `fit` from the same initial weights; returns model and history."""

    def run(folder, config=CONFIG, objective=None, resume=False):
        torch.manual_seed(0)
        model = create_model("multitask_cnn", decoder_width=8, class_width=8)
        objective = objective or JointObjective()
        weights, said = torch.ones(6), []
        history = fit(
            model, objective, data[0], weights, data[1], Preprocess(size=64), config, folder, resume, said.append
        )
        return model, history

    return run


def assert_same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_run_leaves_history_and_checkpoints(train, tmp_path):
    model, history = train(tmp_path)
    assert not model.training
    assert [row["epoch"] for row in history] == [1, 2]
    assert {"input_size", "learning_rate", "train_loss", "train_segmentation", "train_classification", "val_score",
            "val_accuracy", "val_lesion_dice", "val_malignant_auc", "val_cross_entropy"} <= set(history[0])  # fmt: skip
    assert LOSS_STYLES.keys() | SCORE_STYLES.keys() <= set(history[0])  # every curve of the report is there
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "checkpoint.pt", "history.csv"]
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in rows] == [row["train_loss"] for row in history]


def test_it_learns(train, tmp_path):
    _, history = train(tmp_path, replace(CONFIG, epochs=20))
    losses = [row["train_loss"] for row in history]
    assert losses[-1] < 0.7 * losses[0]


def test_the_model_ends_with_the_best_validated_weights(train, tmp_path):
    model, history = train(tmp_path, replace(CONFIG, epochs=4))
    best = RunFolder(tmp_path).load_best()
    assert all(torch.equal(tensor, best[name]) for name, tensor in model.state_dict().items())
    state = read_state(tmp_path / "checkpoint.pt")
    assert state["progress"]["best_score"] == max(row["val_score"] for row in history)


class Worsening(JointObjective):
    """The score falls from epoch to epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.next_score = 1.0

    def score(self, summary) -> float:
        self.next_score -= 0.1
        return self.next_score


def test_keep_last_keeps_the_last_weights(train, tmp_path):
    model, _ = train(tmp_path, replace(CONFIG, keep="last"), Worsening())
    averaged = read_state(tmp_path / "checkpoint.pt")["averaged"]
    assert all(torch.equal(tensor, averaged[f"module.{name}"]) for name, tensor in model.state_dict().items())


def test_equal_seeds_give_equal_weights_and_others_do_not(train, tmp_path):
    one, other, third = (
        train(tmp_path / name, replace(CONFIG, seed=seed))[0] for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert_same(one, other)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), third.parameters(), strict=True))


@pytest.mark.parametrize("stop_at", [1, 3, 4, 5, 6])
def test_an_interrupted_run_ends_with_the_same_weights(train, tmp_path, monkeypatch, stop_at):
    undisturbed, history = train(tmp_path / "undisturbed")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # a checkpoint after every step
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", objective=Stumbling(stop_at))
    resumed, resumed_history = train(tmp_path / "run", resume=True)
    assert_same(undisturbed, resumed)
    assert resumed_history == history


def test_steps_after_the_last_checkpoint_are_repeated(train, tmp_path):
    undisturbed, _ = train(tmp_path / "undisturbed")
    with pytest.raises(KeyboardInterrupt):  # the only checkpoint is that of the first epoch
        train(tmp_path / "run", objective=Stumbling(6))
    counting = Stumbling(99)
    resumed, _ = train(tmp_path / "run", objective=counting, resume=True)
    assert counting.steps == 3
    assert_same(undisturbed, resumed)


def test_killed_between_best_weights_and_checkpoint(train, tmp_path, monkeypatch):
    undisturbed, _ = train(tmp_path / "undisturbed")
    save, saved = RunFolder.save_checkpoint, []

    def killed(self, state):
        if saved:
            raise KeyboardInterrupt
        saved.append(save(self, state))

    monkeypatch.setattr(RunFolder, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run")
    monkeypatch.undo()
    assert_same(undisturbed, train(tmp_path / "run", resume=True)[0])


@pytest.mark.parametrize("name", ["checkpoint.pt", "best.pt"])
def test_a_damaged_file_of_a_run_gets_one_sentence(train, tmp_path, name):
    train(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (content, content[:-1], b"", None):
        if damaged is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(damaged)
        if damaged is None and name == "checkpoint.pt":
            continue  # a new run
        with pytest.raises(InputError, match=f"{name} is missing or damaged, .* put back a copy, or delete"):
            train(tmp_path, resume=True)


@pytest.mark.parametrize("option", [*WEIGHTS_OPTIONS, "detector_from"])
def test_a_run_is_not_resumed_with_other_weights_at_the_same_path(data, tmp_path, option):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    own = option in WEIGHTS_OPTIONS
    config = replace(CONFIG, epochs=1, **({option: str(folder)} if own else {}))

    def run(resume: bool):
        model = create_model("multitask_cnn", decoder_width=8, class_width=8)
        return fit(model, JointObjective(), data[0], torch.ones(6), data[1], Preprocess(size=64), config,
                   tmp_path / "run", resume, parts_from=None if own else {option: folder})  # fmt: skip

    history = run(resume=False)
    assert run(resume=True) == history
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(
        InputError, match=f"was started with other weights in --{option.replace('_', '-')}: resume with the same"
    ):
        run(resume=True)


def test_a_run_is_not_resumed_with_a_teacher_that_was_calibrated_anew(models, train, tmp_path):
    folder = tmp_path / "weights"
    config = replace(CONFIG, epochs=1, teacher=str(folder))
    for temperature in (1.0, 2.0):
        save_weights(folder, models["multitask_cnn"], Preprocess(64), calibration=Calibration(temperature), facts={})
        if temperature == 1:
            history = train(tmp_path / "run", config)[1]
            assert train(tmp_path / "run", config, resume=True)[1] == history
    with pytest.raises(InputError, match="was started with other weights in --teacher"):
        train(tmp_path / "run", config, resume=True)


def test_resuming_a_finished_run_trains_nothing(train, tmp_path):
    model, history = train(tmp_path)
    counting = Stumbling(99)
    again, same_history = train(tmp_path, objective=counting, resume=True)
    assert counting.steps == 0 and same_history == history
    assert_same(model, again)


def test_resuming_without_a_checkpoint_starts_a_new_run(train, tmp_path):
    assert_same(train(tmp_path / "a")[0], train(tmp_path / "b", resume=True)[0])


def test_an_unfinished_run_is_not_overwritten(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, objective=Stumbling(5))
    with pytest.raises(InputError, match="holds an unfinished run: add --resume"):
        train(tmp_path)


def test_a_finished_run_may_be_repeated(train, tmp_path):
    first, _ = train(tmp_path)
    assert_same(first, train(tmp_path)[0])


def test_resuming_with_other_images_is_refused(train, data, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, objective=Stumbling(5))
    monkeypatch.setattr(data[1], "samples", data[1].samples[::-1])
    with pytest.raises(InputError, match=r"was started with other images, .* resume with the same data folders"):
        train(tmp_path, resume=True)


def test_resuming_with_other_settings_is_refused(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, objective=Stumbling(5))
    with pytest.raises(InputError, match=r"was started with learning_rate=0\.005, not 0\.001"):
        train(tmp_path, replace(CONFIG, learning_rate=1e-3), resume=True)


def test_a_batch_larger_than_an_epoch_is_refused(train, tmp_path):
    with pytest.raises(InputError, match=r"--batch-size \(4\) must not exceed the 3 images of an epoch"):
        train(tmp_path, replace(CONFIG, samples_per_epoch=3))


class Diverging(JointObjective):
    def losses(self, model, x, batch):
        return {name: loss * float("nan") for name, loss in super().losses(model, x, batch).items()}


def test_a_loss_that_is_not_finite_stops_the_run(train, tmp_path):
    with pytest.raises(FloatingPointError, match="The loss is nan: lower --learning-rate"):
        train(tmp_path, objective=Diverging())


def test_a_validation_set_without_normals_is_scored(data, tmp_path):
    validation = CanvasDataset(read_samples([DiscSample("benign"), DiscSample("malignant")], Preprocess(size=64)))
    model = create_model("multitask_cnn", decoder_width=8, class_width=8)
    said = []
    history = fit(model, JointObjective(), data[0], torch.ones(6), validation, Preprocess(size=64), CONFIG, tmp_path,
                  say=said.append)  # fmt: skip
    assert history[-1]["val_normal_false_mask_rate"] is None
    assert len(said) == 2 and "val_score" in said[0]


def test_the_input_grows_during_the_run(train, tmp_path):
    _, history = train(tmp_path, replace(CONFIG, image_size=96))
    assert [row["input_size"] for row in history] == [64, 96]
    assert all(later["learning_rate"] < earlier["learning_rate"] for earlier, later in pairwise(history))
