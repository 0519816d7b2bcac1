from __future__ import annotations

import numpy as np
import pytest

from busi_demo.data.phantom import make_phantom
from busi_demo.imaging.properties import PROPERTIES, properties


def measured(pixels: np.ndarray) -> dict[str, float]:
    return dict(zip(PROPERTIES, properties(np.ascontiguousarray(pixels)).tolist(), strict=True))


def test_of_two_grey_values_in_known_shares():
    pixels = np.zeros((256, 256), dtype=np.uint8)
    pixels[64:] = 255  # three quarters are bright, and lie below
    values = measured(pixels)
    assert values["dark"] == pytest.approx(0.25) and values["bright"] == pytest.approx(0.75)
    assert values["in 2 tones"] == pytest.approx(1)
    assert values["entropy"] == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)), abs=1e-4)
    mean = 255 * 0.75 + 1
    assert values["band 0"] == pytest.approx(np.log(4 / (mean + 4)), abs=1e-4)
    assert values["band 7"] == pytest.approx(np.log(259 / (mean + 4)), abs=1e-4)
    assert values["asymmetry"] == pytest.approx(0) and values["layers"] > 3
    assert values["anisotropy 0"] > 0 and values["downwards 0"] > 0.9  # one step, to bright


@pytest.mark.parametrize("shape", [(32, 32), (40, 900), (700, 33), (256, 256)])
@pytest.mark.parametrize("grey", [0, 128, 255, None])
def test_every_picture_has_finite_properties(shape, grey):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, shape).astype(np.uint8) if grey is None else np.full(shape, grey, dtype=np.uint8)
    values = properties(pixels)
    assert values.shape == (len(PROPERTIES),) and values.dtype == np.float32 and np.isfinite(values).all()


def test_ultrasound_differs_from_its_negative_and_from_a_quarter_turn_in_what_the_names_say():
    scan = make_phantom("normal", 3).image
    upright, negative, turned = measured(scan), measured(255 - scan), measured(np.rot90(scan))
    assert upright["deviation to mean"] > 0.3 > -0.3 > negative["deviation to mean"]  # speckle grows with brightness
    assert upright["anisotropy 0"] > 0 > turned["anisotropy 0"]  # finer along the beam than across
    assert upright["layers"] > 0 > turned["layers"]


def test_the_size_of_a_picture_hardly_matters():
    scan = make_phantom("benign", 5).image
    small = scan[::2, ::2]
    difference = np.abs(properties(scan) - properties(small))
    assert np.median(difference) < 0.05
