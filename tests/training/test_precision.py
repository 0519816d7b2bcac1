from __future__ import annotations

import pytest
import torch

from busi_demo.models.base import ApproachModel
from busi_demo.training import precision
from busi_demo.training.precision import autocast, choose_precision
from busi_demo.types import ModelOutput

CPU = torch.device("cpu")


class Answer(ApproachModel):
    """Gives one logit everywhere, another one under autocast."""

    key = title = summary = "answer"

    def __init__(self, plain: float, mixed: float) -> None:
        super().__init__()
        self.plain, self.mixed = plain, mixed
        self.unit = torch.nn.Identity()

    def forward(self, x: torch.Tensor) -> ModelOutput:
        logit = self.mixed if torch.is_autocast_enabled("cpu") else self.plain
        return ModelOutput(x * 0 + logit, x.mean(dim=(1, 2, 3))[:, None].expand(-1, 3), x, self.unit)


@pytest.fixture
def clock(monkeypatch):
    """Set how long fp32 and bf16 take."""

    def set_seconds(fp32: float, bf16: float) -> None:
        readings = iter([0.0, fp32, 100.0, 100.0 + bf16])
        monkeypatch.setattr(precision.time, "perf_counter", lambda: next(readings))

    return set_seconds


@pytest.mark.parametrize(("fp32", "bf16", "chosen"), [(2.0, 1.0, "bf16"), (1.0, 1.0, "fp32"), (1.0, 3.0, "fp32")])
def test_auto_takes_the_faster_one(clock, fp32, bf16, chosen):
    clock(fp32, bf16)
    assert choose_precision(Answer(0.0, 0.1), CPU, 64) == chosen


def test_auto_takes_fp32_where_they_disagree(clock):
    clock(9.0, 1.0)
    assert choose_precision(Answer(0.0, 1.0), CPU, 64) == "fp32"


@pytest.mark.parametrize("requested", ["fp32", "bf16"])
def test_what_was_asked_for_is_not_timed(monkeypatch, requested):
    monkeypatch.setattr(precision.time, "perf_counter", lambda: pytest.fail("timed"))
    assert choose_precision(Answer(0.0, 9.0), CPU, 64, requested) == requested


def test_choosing_leaves_mode_and_randomness_alone():
    model = Answer(0.0, 0.0).train()
    state = torch.random.get_rng_state()
    choose_precision(model, CPU, 64)
    assert model.training and torch.equal(torch.random.get_rng_state(), state)


def test_autocast_follows_the_name():
    for name, expected in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(CPU, name):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
