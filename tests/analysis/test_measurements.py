from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import answer

from busi_demo.analysis.analysis import AnalysedImage, ImageFacts
from busi_demo.analysis.measurements import EVEN, TALLER, WIDER, Measurements, measure
from busi_demo.analysis.view import DEFAULT_VIEW, View
from busi_demo.imaging import UNKNOWN_TRUTH


def rectangle(height: int, width: int, shape: tuple[int, int] = (60, 80), top: int = 7, left: int = 9) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def ellipse(semi_x: float, semi_y: float, degrees: float = 0.0, spacing: tuple[float, float] = (1, 1)) -> np.ndarray:
    """An ellipse in the middle of 400 x 400 pixels, its axes in units of `spacing`, turned anticlockwise."""
    y, x = np.mgrid[:400, :400] - 199.5
    y, x, turn = -y * spacing[0], x * spacing[1], math.radians(degrees)
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    return (along / semi_x) ** 2 + (across / semi_y) ** 2 <= 1


def test_a_rectangle():
    found = measure(rectangle(3, 4))
    assert asdict(found) == pytest.approx({
        "unit": "px", "regions": 1, "area": 12, "area_fraction": 12 / 4800,
        "longest": 5, "perpendicular": 2 * 3 * 4 / 5,  # both other corners lie 12 / 5 from the diagonal
        "angle": math.degrees(math.atan2(3, 4)), "width": 4, "height": 3, "orientation": WIDER,
        "roundness": 12 / (math.pi * 2.5**2), "equivalent_diameter": math.sqrt(48 / math.pi),
    })  # fmt: skip


def test_spacing_gives_millimetres_and_can_change_the_orientation():
    found = measure(rectangle(3, 4), spacing=(0.4, 0.1))  # 1.2 mm high, 0.4 mm wide
    assert found.unit == "mm" and found.orientation == TALLER
    assert (found.width, found.height, found.area) == pytest.approx((0.4, 1.2, 0.48))
    assert found.longest == pytest.approx(math.hypot(0.4, 1.2))
    assert found.perpendicular == pytest.approx(2 * 0.48 / math.hypot(0.4, 1.2))
    assert found.angle == pytest.approx(math.degrees(math.atan(3)))
    assert found.area_fraction == pytest.approx(12 / 4800)


@pytest.mark.parametrize(("mask", "longest", "angle"), [
    (rectangle(1, 1), math.sqrt(2), 45),
    (rectangle(1, 5), math.sqrt(26), math.degrees(math.atan(1 / 5))),
    (rectangle(60, 80, top=0, left=0), 100, math.degrees(math.atan(3 / 4))),
])  # fmt: skip
def test_extreme_masks(mask, longest, angle):
    found = measure(mask)
    assert (found.longest, found.angle) == pytest.approx((longest, angle))
    assert found.area == mask.sum() and 0 < found.roundness < 1


def test_a_single_pixel_is_as_wide_as_tall():
    assert measure(rectangle(1, 1)).orientation == EVEN
    assert measure(rectangle(1, 1), (0.2, 0.1)).orientation == TALLER


def test_an_empty_mask_has_no_size():
    assert measure(np.zeros((5, 6), dtype=bool)) is None


# The outline of a digital ellipse lies within a pixel of the true one, and its tips are flat.
@pytest.mark.parametrize(("degrees", "orientation", "angle"), [
    (0, WIDER, 0), (30, WIDER, 30), (60, TALLER, 60), (90, TALLER, 90), (120, TALLER, 60), (150, WIDER, 30),
])  # fmt: skip
def test_a_turned_ellipse(degrees, orientation, angle):
    found = measure(ellipse(120, 50, degrees))
    assert found.longest == pytest.approx(240, abs=2)
    assert found.perpendicular == pytest.approx(100, abs=2)
    assert found.angle == pytest.approx(angle, abs=3)
    assert found.orientation == orientation
    assert found.roundness == pytest.approx(50 / 120, rel=0.02)
    assert found.area == pytest.approx(math.pi * 120 * 50, rel=0.005)
    assert found.equivalent_diameter == pytest.approx(2 * math.sqrt(120 * 50), rel=0.005)


def test_a_disc_is_round():
    found = measure(ellipse(100, 100))
    assert found.orientation == EVEN and found.roundness == pytest.approx(1, abs=0.02)


def test_pixels_that_are_not_square_give_the_same_ellipse():
    spacing = (0.2, 0.1)
    found = measure(ellipse(15, 6, 40, spacing), spacing)
    assert found.longest == pytest.approx(30, abs=0.4)
    assert found.perpendicular == pytest.approx(12, abs=0.4)
    assert found.angle == pytest.approx(40, abs=2)
    assert found.area == pytest.approx(math.pi * 15 * 6, rel=0.005)


def test_the_largest_region_is_measured_and_the_area_of_all():
    both = rectangle(3, 4) | rectangle(2, 2, top=40, left=60)
    found, alone = measure(both), measure(rectangle(3, 4))
    assert (found.regions, found.area, found.area_fraction) == (2, 16, 16 / 4800)
    assert (found.longest, found.roundness) == (alone.longest, alone.roundness)
    assert found.rows()[0][0] == "Regions" and alone.rows()[0][0] == "Area"


def test_pixels_that_touch_at_a_corner_are_two_regions():
    assert measure(np.eye(2, dtype=bool)).regions == 2


def test_the_rows_for_people():
    rows = dict(measure(rectangle(30, 40), (0.1, 0.1)).rows())
    assert rows["Area"] == "12.0 mm² (25.0% of the image)"
    assert rows["Longest diameter"] == "5.0 mm, 37° to the skin line"
    assert rows["Orientation"] == "wider than tall (4.0 mm by 3.0 mm)"
    assert dict(measure(rectangle(30, 40)).rows())["Area"] == "1,200 px² (25.0% of the image)"


@pytest.mark.parametrize(("mask", "spacing"), [
    (np.ones((4, 4)), None), (np.ones((2, 2, 2), dtype=bool), None),
    (np.ones((4, 4), dtype=bool), (0.1, 0.0)), (np.ones((4, 4), dtype=bool), (0.1, float("nan"))),
])  # fmt: skip
def test_invalid_arguments_are_refused(mask, spacing):
    with pytest.raises(ValueError, match="must be"):
        measure(mask, spacing)


def test_lengths_are_those_of_square_pixels():
    """Pixels are twice as wide as high: 10 by 5 of them are a square, with a scale and without one."""
    mask = rectangle(10, 5)

    def measured(view: View = DEFAULT_VIEW, **fields: object) -> Measurements:
        passed = SimpleNamespace(prediction=lambda *_: answer(mask, **fields))
        return AnalysedImage(passed, UNKNOWN_TRUTH, ImageFacts()).analysis(view).measurements

    for found, side, unit in (
        (measured(aspect=0.5), 5, "px"),
        (measured(View(spacing=0.2), aspect=0.5), 1, "mm"),
        (measured(View(spacing=0.2), spacing=(0.3, 0.6)), 1, "mm"),  # the shape is that of the file
        (measured(spacing=(0.3, 0.6)), 3, "mm"),
    ):
        assert (found.width, found.height, found.area) == pytest.approx((side, side, side**2))
        assert (found.angle, found.unit, found.orientation) == (pytest.approx(45), unit, EVEN)
