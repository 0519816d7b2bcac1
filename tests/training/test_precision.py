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


class Slow(Answer):
    """Takes the seconds it is told to, on a clock of its own; once, on its first pass in bf16, 50 s more."""

    def __init__(self, fp32: float, bf16: float, mixed: float = 0.1) -> None:
        super().__init__(0.0, mixed)
        self.seconds, self.now, self.interrupted = (fp32, bf16), 0.0, False

    def forward(self, x: torch.Tensor) -> ModelOutput:
        mixed = torch.is_autocast_enabled("cpu")
        self.now += self.seconds[mixed] + (50 if mixed and not self.interrupted else 0)
        self.interrupted |= mixed
        return super().forward(x)


def choose(monkeypatch, model: Slow) -> str:
    monkeypatch.setattr(precision.time, "perf_counter", lambda: model.now)
    return choose_precision(model, CPU, 64)


@pytest.mark.parametrize(("fp32", "bf16", "chosen"), [(2.0, 1.0, "bf16"), (1.0, 1.0, "fp32"), (1.0, 3.0, "fp32")])
def test_auto_takes_the_faster_one_and_forgives_an_interruption(monkeypatch, fp32, bf16, chosen):
    assert choose(monkeypatch, Slow(fp32, bf16)) == chosen


def test_auto_takes_fp32_where_they_disagree(monkeypatch):
    assert choose(monkeypatch, Slow(9.0, 1.0, mixed=1.0)) == "fp32"


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
