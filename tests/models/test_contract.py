"""Every approach of `APPROACHES` keeps the contract; and what is asked of single ones."""

from __future__ import annotations

import pytest
import torch
from contract import GOLDEN, Contract

from busi_demo.models import APPROACHES, create_model
from busi_demo.types import InputError


class TestContract(Contract):
    """Run on each approach in turn: a new row in `APPROACHES` is tested as well."""


def test_the_cnn_is_smaller_than_the_other_networks(models):
    counts = {key: model.parameter_count() for key, model in models.items()}
    assert all(counts["multitask_cnn"] < counts[key] for key in ("two_stage", "multitask_resnet50", "multitask_unet"))
    assert counts["multitask_cnn"] == sum(p.numel() for p in models["multitask_cnn"].parameters())


def test_no_golden_value_belongs_to_an_unknown_approach():
    assert GOLDEN.keys() <= APPROACHES.keys()


def test_the_cnn_explains_on_a_finer_grid_than_a_resnet(models):
    with torch.no_grad():
        for key, grid in (("multitask_cnn", (28, 28)), ("multitask_resnet50", (7, 7))):
            assert models[key](torch.zeros(1, 1, 224, 224)).features.shape[-2:] == grid


def test_an_unknown_approach_is_answered_with_the_list():
    with pytest.raises(InputError, match=r"no approach 'unet': choose one of .*two_stage.*multitask_unet"):
        create_model("unet")


def test_unet_attention():
    scse = create_model("multitask_unet", attention="scse")
    assert scse.config["attention"] == "scse"
    assert scse.parameter_count() > create_model("multitask_unet").parameter_count()
    with pytest.raises(InputError, match="attention must be 'scse' or left out, got 'gate'"):
        create_model("multitask_unet", attention="gate")
