from __future__ import annotations

import numpy as np
import pytest
import torch

from busi_demo.models import approach_class
from busi_demo.models.ensemble import Ensemble, _disagreement
from busi_demo.types import binary_entropy


def test_entropy_in_bits():
    found = binary_entropy(np.array([0.5, 0.25, 0.0, 1.0], dtype=np.float32))
    assert found == pytest.approx([1, 0.8113, 0, 0], abs=1e-4) and found.dtype == np.float32


def test_networks_that_agree_do_not_disagree_and_sure_opposites_disagree_wholly():
    same = torch.full((2, 1, 1, 1, 1), 0.3)
    assert _disagreement(same).item() == pytest.approx(0, abs=1e-6)
    opposite = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1)
    assert _disagreement(opposite).item() == pytest.approx(1, abs=1e-4)
    # entropy of 0.5 less the mean entropy of 0.25 and 0.75
    half = torch.tensor([0.25, 0.75]).reshape(2, 1, 1, 1, 1)
    assert _disagreement(half).item() == pytest.approx(1 - 0.8113, abs=1e-4)


def test_an_ensemble_tells_disagreement_and_one_network_none():
    members = [approach_class("multitask_cnn").fresh().eval() for _ in range(2)]
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        output = Ensemble(members, [0, 1]).eval()(x)
        assert members[0](x).disagreement is None
    assert output.disagreement.shape == (1, 1, 64, 64)
    assert output.disagreement.min() >= 0 and output.disagreement.max() <= 1
