from __future__ import annotations

import pytest
import torch

from busi_demo.models.base import ApproachModel
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
def machine(monkeypatch):
    """Set the CPU instructions that torch reports."""
    return lambda **known: monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)


@pytest.mark.parametrize(("known", "chosen"), [
    ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
    ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
    ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, "fp32"),
    ({"neon": True}, "fp32"),
])  # fmt: skip
def test_auto_chooses_bf16_where_the_machine_has_it(machine, known, chosen):
    machine(**known)
    assert choose_precision(Answer(0.0, 0.1), CPU, 64) == chosen


def test_auto_chooses_fp32_where_torch_reports_nothing(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision(Answer(0.0, 0.1), CPU, 64) == "fp32"


def test_auto_chooses_fp32_where_the_outputs_disagree(machine):
    machine(avx512_bf16=True)
    assert choose_precision(Answer(0.0, 1.0), CPU, 64) == "fp32"


@pytest.mark.parametrize("requested", ["fp32", "bf16"])
@pytest.mark.parametrize("native", [True, False])
def test_a_requested_precision_is_used(machine, requested, native):
    machine(avx512_bf16=native)
    assert choose_precision(Answer(0.0, 9.0), CPU, 64, requested) == requested


def test_choosing_keeps_mode_and_random_state(machine):
    machine(avx512_bf16=True)
    model = Answer(0.0, 0.0).train()
    state = torch.random.get_rng_state()
    choose_precision(model, CPU, 64)
    assert model.training and torch.equal(torch.random.get_rng_state(), state)


def test_autocast_follows_the_name():
    for name, expected in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(CPU, name):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
