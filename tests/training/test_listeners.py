"""The calls of `fit` to its listeners, and the files of TensorBoard, read back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from helpers import DiscSample
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from busi_demo.data.dataset import CanvasDataset
from busi_demo.data.reading import read_samples
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import create_model
from busi_demo.training import loop
from busi_demo.training.config import TrainConfig
from busi_demo.training.listeners import Listener, TensorBoard
from busi_demo.training.loop import _Progress, fit
from busi_demo.training.losses import JointObjective

# 2 steps an epoch, 6 in all
CONFIG = TrainConfig(
    approach="multitask_cnn", epochs=3, samples_per_epoch=8, batch_size=4, image_size=64, start_size=64,
    precision="fp32",
)  # fmt: skip


class Recorder(Listener):
    """Records its calls; stops like Ctrl-C after the given step."""

    def __init__(self, stop_at: int = 0) -> None:
        self.calls, self.stop_at = [], stop_at

    def started(self, step, history):
        self.calls.append(("started", step, len(history)))

    def stepped(self, step, losses, rate):
        self.calls.append(("stepped", step, sorted(losses)))
        if step == self.stop_at:
            raise KeyboardInterrupt

    def finished_epoch(self, step, row):
        self.calls.append(("finished_epoch", step, row["epoch"]))


def train(folder: Path, *listeners: Listener, resume: bool = False) -> list[str]:
    torch.manual_seed(0)
    samples, preprocess, said = [DiscSample(k) for k in ("benign", "malignant", "normal")], Preprocess(size=64), []
    model = create_model("multitask_cnn", decoder_width=8, class_width=8)
    dataset = CanvasDataset(read_samples(samples, preprocess))
    fit(model, JointObjective(), dataset, torch.ones(3), dataset,
        preprocess, CONFIG, folder, resume, said.append, listeners)  # fmt: skip
    return said


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_listeners_are_called_once_for_each_event(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    losses, first, second = ["classification", "loss", "segmentation"], Recorder(stop_at=4), Recorder()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, first)
    assert first.calls == [("started", 0, 0), ("stepped", 1, losses), ("stepped", 2, losses), ("finished_epoch", 2, 1),
                          ("stepped", 3, losses), ("stepped", 4, losses)]  # fmt: skip
    train(tmp_path, second, resume=True)
    assert second.calls[0] == ("started", 3, 1)
    assert [step for kind, step, _ in second.calls if kind == "stepped"] == [4, 5, 6]


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_tensorboard_has_the_values_of_the_history(tmp_path):
    train(tmp_path, TensorBoard(tmp_path))
    found = scalars(tmp_path)
    for name in ("train_loss", "val_score", "val_lesion_dice", "learning_rate", "data_wait_share"):
        expected = {2 * int(row["epoch"]): pytest.approx(float(row[name]), rel=1e-6) for row in table(tmp_path)}
        assert found[f"epoch/{name}"] == expected


def test_tensorboard_has_losses_every_ten_steps_and_a_resumed_run_overwrites_what_it_repeats(tmp_path):
    first = TensorBoard(tmp_path)
    first.started(0, [])
    for step in range(1, 36):
        first.stepped(step, {"loss": 1.0}, 0.1)
    first.finished_epoch(35, {"epoch": 1, "val_normal_false_mask_rate": None})
    again = TensorBoard(tmp_path)
    again.started(25, [])
    for step in range(26, 42):
        again.stepped(step, {"loss": 2.0}, 0.2)
    again.finished_epoch(41, {"epoch": 1})
    found = scalars(tmp_path)
    assert found["step/loss"] == {10: 1.0, 20: 1.0, 30: 2.0, 40: 2.0}
    assert found["step/learning_rate"][40] == pytest.approx(0.2)
    assert found["epoch/epoch"] == {41: 1.0}
    assert "epoch/val_normal_false_mask_rate" not in found


def test_without_tensorboard_no_file_is_written(tmp_path):
    train(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "checkpoint.pt", "history.csv"]


def test_waiting_for_data_by_hand(monkeypatch):
    now, progress = [0.0], _Progress()
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])

    def slow(batches):
        for batch in batches:
            now[0] += 3.0  # the time that data take
            yield batch

    for _ in progress.watch(slow(range(4))):
        now[0] += 1.0  # the time that a step takes
    assert (progress.waited, progress.seconds) == (12.0, 16.0)
    progress.end_epoch({"epoch": 1})
    assert progress.table() == [{"epoch": 1, "data_wait_share": 0.75}]
    assert (progress.waited, progress.seconds) == (0.0, 0.0)


def test_an_epoch_records_its_share_of_waiting(tmp_path):
    said = train(tmp_path)
    shares = [float(row["data_wait_share"]) for row in table(tmp_path)]
    assert len(shares) == 3 and all(0 < share < 1 for share in shares)
    assert f"data_wait_share {shares[-1]:.4g}" in said[-1]


def test_epochs_of_older_checkpoints_have_no_share():
    progress = _Progress(history=[{"epoch": 1}])
    progress.seconds, progress.waited = 4.0, 1.0
    progress.end_epoch({"epoch": 2})
    assert [row["data_wait_share"] for row in progress.table()] == [None, 0.25]
