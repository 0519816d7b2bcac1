from __future__ import annotations

import math

import pytest
import torch
from helpers import DiscSample

from busi_demo.data.findings import FINDINGS, UNKNOWN, finding_targets
from busi_demo.models import approach_class
from busi_demo.training.findings import FindingsHead, findings_head
from busi_demo.training.losses import JointObjective


def test_targets_are_positions_and_unknown_where_nothing_is_told():
    targets = finding_targets(DiscSample("benign", findings={"birads": "4", "histology": "lipoma"}))
    assert (int(targets["birads"]), int(targets["histology"])) == (2, UNKNOWN)
    assert {int(v) for v in finding_targets(DiscSample("normal")).values()} == {UNKNOWN}


def test_the_loss_is_the_mean_cross_entropy_of_the_known():
    head = FindingsHead(2)
    for layer in head.values():
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    features = torch.ones(3, 2, 4, 4)
    batch = {"birads": torch.tensor([0, UNKNOWN, 3]), "histology": torch.full((3,), UNKNOWN)}
    # equal logits: ln 4 for BI-RADS, and nothing for histology, of which nothing is known
    assert head.loss(features, batch).item() == pytest.approx(math.log(len(FINDINGS["birads"])) / 2)


def test_the_head_learns_beside_the_model_and_starts_the_same_with_the_same_seed():
    model = approach_class("multitask_cnn").fresh()
    head, again = findings_head(model, 3), findings_head(model, 3)
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), again.state_dict().values(), strict=True))
    objective = JointObjective(findings=head, w_findings=0.5)
    n = 2
    batch = {
        "mask": torch.zeros(n, 1, 64, 64), "label": torch.zeros(n, dtype=torch.long),
        "mask_known": torch.ones(n), "label_known": torch.ones(n),
        "birads": torch.tensor([1, 2]), "histology": torch.tensor([UNKNOWN, 0]),
    }  # fmt: skip
    losses = objective.losses(model.train(), torch.randn(n, 1, 64, 64), batch)
    expected = losses["segmentation"] + losses["classification"] + 0.5 * losses["findings"]
    assert losses["loss"].item() == pytest.approx(expected.item())
    losses["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.auxiliary.parameters())
    assert list(JointObjective().auxiliary.parameters()) == []
