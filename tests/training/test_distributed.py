"""Two processes, started with torchrun, compared with a single one."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT
from timm.layers import BatchNormAct2d
from torch import nn
from torch.utils.data import SequentialSampler

from busi_demo.models import APPROACHES, create_model
from busi_demo.processes import BatchShares, Processes
from busi_demo.training.batchnorm import WholeBatchNorm, WholeBatchNormAct, normalise_whole_batches
from busi_demo.training.checkpoint import write_state
from busi_demo.training.config import TrainConfig
from busi_demo.training.losses import JointObjective
from busi_demo.training.schedule import step_seed
from busi_demo.types import InputError

RUN = Path(__file__).with_name("distributed_run.py")
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
TINY = ("--data", "phantoms", "--phantoms", 10, "--samples-per-epoch", 8, "--batch-size", 4, "--image-size", 64,
        "--start-size", 64, "--epochs", 1, "--precision", "fp32", "--approach", "multitask_cnn")  # fmt: skip


def torchrun(*words: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The results of `distributed_run.py` in one process, and in each of two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    subprocess.run([sys.executable, str(RUN), str(one)], check=True, capture_output=True, env=ENVIRONMENT)
    started = torchrun(RUN, two, cwd=two)
    assert started.returncode == 0, started.stderr
    files = [one / "result0.pt", two / "result0.pt", two / "result1.pt"]
    return [torch.load(path, weights_only=True) for path in files]


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((value.float() - other[name].float()).abs().max()) for name, value in one.items())


def test_two_processes_take_part(runs):
    assert [found["count"] for found in runs] == [1, 2, 2]


def test_a_batch_norm_sees_the_whole_batch(runs):
    single, *shares = (found["batch_norm"] for found in runs)
    for name in ("output", "input_gradient"):
        whole = torch.empty_like(single[name])
        whole[0::2], whole[1::2] = shares[0][name], shares[1][name]
        torch.testing.assert_close(whole, single[name], rtol=1e-3, atol=1e-3)
    gradient = shares[0]["weight_gradient"] + shares[1]["weight_gradient"]
    torch.testing.assert_close(gradient, single["weight_gradient"], rtol=1e-3, atol=1e-3)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        for share in shares:
            torch.testing.assert_close(share[name], single[name], rtol=1e-4, atol=1e-6)


def test_the_gradients_are_those_of_the_whole_batch(runs):
    one, first, second = (found["step"] for found in runs)
    assert difference(first, second) == 0
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    assert difference(one, first) < 1e-4 * largest


def test_hints_compare_with_the_maps_of_the_whole_batch(runs):
    whole, *shares = (found["hints"] for found in runs)
    torch.testing.assert_close(shares[0] + shares[1], whole, rtol=1e-5, atol=1e-6)


def test_two_processes_train_what_one_trains(runs):
    """Gradients agree to rounding; AdamW's first steps have the size of the learning rate however small a gradient is,
    so six steps of 1e-3 make some 3e-3 of it."""
    one, first, second = runs
    assert difference(first["model"], second["model"]) == 0
    assert difference(one["model"], first["model"]) < 6e-3
    assert first["history"] == second["history"]
    for expected, row, tolerance in zip(one["history"], first["history"], (1e-3, 1e-2), strict=True):
        for name in ("train_loss", "train_segmentation", "train_classification", "val_cross_entropy"):
            assert row[name] == pytest.approx(expected[name], rel=tolerance), name


def test_an_interrupted_run_of_two_processes_ends_with_the_same_weights(runs):
    for found in runs:
        assert difference(found["model"], found["resumed"]) == 0
        assert found["history"] == found["resumed_history"]


def test_only_the_main_process_prints(runs):
    assert [len(found["said"]) for found in runs] == [2, 2, 0]


def test_all_processes_raise_the_same_error(runs):
    assert all("--batch-size (5) must not exceed the 4 images" in found["refused"] for found in runs)


def test_the_script_under_torchrun_prints_and_writes_once(tmp_path):
    words = (ROOT / "train" / "train_multitask.py", *TINY, "--run-dir", "run", "--output", "weights")
    done = torchrun(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for line in ("2 processes on cpu", "training multitask_cnn", "val_score", "wrote weights/multitask_cnn"):
        assert done.stdout.count(line) == 1, line
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["best.pt", "checkpoint.pt", "history.csv"]
    assert not (tmp_path / "weights" / "multitask_cnn.previous").exists()  # written once, not twice


def test_an_error_of_the_main_process_ends_all_processes(tmp_path):
    words = (ROOT / "train" / "train_multitask.py", *TINY, "--run-dir", "run")
    (tmp_path / "run").mkdir()
    write_state(tmp_path / "run" / "checkpoint.pt", {"finished": False})
    done = torchrun(*words, cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("error: run holds an unfinished run: add --resume") == 1
    assert "Traceback" not in done.stderr.split("ChildFailedError")[0].replace(
        "Traceback (most recent call last)", "", 1
    )


class TestInOneProcess:
    @pytest.mark.parametrize(("size", "count"), [(4, 1), (4, 2), (5, 2), (5, 3)])
    def test_shares_make_up_the_batches(self, size, count):
        sampler = SequentialSampler(range(17))
        shares = [list(BatchShares(sampler, size, SimpleNamespace(index=i, count=count))) for i in range(count)]
        assert {len(share) for share in shares} == {17 // size}
        for number, parts in enumerate(zip(*shares, strict=True)):
            assert sorted(chain(*parts)) == list(range(number * size, (number + 1) * size))
            assert all(parts)

    def test_seeds_differ_between_processes_and_steps(self):
        seeds = [step_seed(step, process, TrainConfig(seed=3)) for step in range(50) for process in range(4)]
        assert len(set(seeds)) == 200
        assert step_seed(7, 0, TrainConfig(seed=3)) == 3 * 1_000_003 + 7  # as ever: old runs can be repeated

    def test_every_batch_norm_of_every_approach_is_replaced(self, approach):
        model = create_model(approach)
        names = list(model.state_dict())
        normalise_whole_batches(model)
        norms = [part for part in model.modules() if "norm" in type(part).__name__.lower()]
        assert norms and all(type(part) in (WholeBatchNorm, WholeBatchNormAct) for part in norms)
        assert list(model.state_dict()) == names

    @pytest.mark.parametrize("training", [True, False])
    def test_a_batch_norm_with_activation_gives_the_same_output(self, training):
        torch.manual_seed(0)
        before = BatchNormAct2d(3, act_layer=nn.ReLU6).train(training)
        after, x = deepcopy(before), torch.randn(4, 3, 5, 5) * 5
        normalise_whole_batches(after)
        torch.testing.assert_close(after(x), before(x))
        torch.testing.assert_close(after.state_dict(), before.state_dict())
        assert after(x).min() == 0

    def test_a_single_process_does_not_need_accelerate(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "accelerate", None)  # as if it were not installed
        alone = Processes()
        assert (alone.count, alone.spread(nn.Linear(1, 1)).bias.device.type) == (1, alone.device.type)
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(InputError, match=r"^torchrun with several processes needs the package accelerate: pip"):
            Processes()

    def test_a_single_process_passes_values_through(self):
        processes = Processes()
        with processes.main_first():
            assert (processes.count, processes.index, processes.is_main) == (1, 0, True)
        assert processes.from_main(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            processes.from_main(lambda: 1 / 0)


def test_every_trained_part_gets_a_gradient_in_each_step():
    """Gradients are exchanged for every parameter, so each must have one; for `two_stage` see test_losses.py."""
    known = torch.zeros(2)  # not even where nothing of a batch is known
    batch = {"mask": torch.zeros(2, 1, 64, 64), "label": torch.zeros(2).long(), "mask_known": known}
    for key in sorted(set(APPROACHES) - {"two_stage"}):
        model = create_model(key).train()
        losses = JointObjective(w_seg=0.0).losses(model, torch.randn(2, 1, 64, 64), batch | {"label_known": known})
        losses["loss"].backward()
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
