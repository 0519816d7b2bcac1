from __future__ import annotations

import shutil

import numpy as np
import pytest
from helpers import picture

from busi_demo.inference.consensus import ConsensusPredictor, consensus, load_consensus
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.types import InputError


@pytest.fixture(scope="module")
def ensemble(weights_folder) -> ConsensusPredictor:
    return load_consensus(weights_folder)


def test_the_prediction_is_the_consensus_of_all_members(ensemble, predictors):
    found = ensemble.predict(picture(1))
    expected = consensus([predictors[key].predict(picture(1)) for key in APPROACHES]).prediction
    assert found.approach == ensemble.key == CONSENSUS
    assert found.probabilities == pytest.approx(dict(expected.probabilities), abs=1e-6)
    np.testing.assert_array_equal(found.mask, expected.mask)


def test_approaches_without_weights_are_left_out(weights_folder, tmp_path):
    keys = list(APPROACHES)[1:3]
    for key in keys:
        shutil.copytree(weights_folder / key, tmp_path / key)
    assert [member.key for member in load_consensus(tmp_path).members] == keys
    shutil.rmtree(tmp_path / keys[0])
    with pytest.raises(InputError, match=rf"at least two approaches, found {keys[1]} \(left out, because there are no"):
        load_consensus(tmp_path)


def test_probabilities_equal_those_of_the_predictions(ensemble):
    images = [picture(1), picture(2)]
    found = ensemble.probabilities(images)
    assert found.shape == (2, 3)
    for row, image in zip(found, images, strict=True):
        assert row == pytest.approx(list(ensemble.predict(image).probabilities.values()), abs=1e-4)


def test_every_member_gets_random_weights(ensemble):
    one, other = ensemble.probabilities([picture(1)]), ensemble.randomised(1).probabilities([picture(1)])
    assert not np.allclose(one, other)
    np.testing.assert_allclose(ensemble.randomised(1).probabilities([picture(1)]), other)
