"""The pixel spacing of a DICOM dataset: from ultrasound regions or the attributes of other kinds of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from busi_demo.imaging.dicom.mend import numbers

_CENTIMETRES = 3  # of Physical Units X and Y Direction, DICOM PS3.3 C.8.5.5.1.15
_TWO_DIMENSIONAL = 1  # of Region Spatial Format, C.8.5.5.1.1
_SAME_SCALE = 0.01
_PIXEL = (0.005, 1.5)  # mm
_PLACEHOLDER = (1.0, 1.0)  # mm, of writers that know no scale
_LONG_SIDE = (4.0, 400.0)  # mm
_STRETCH = 4.0

Spacing = tuple[float, float]


def spacing_of(dataset: Dataset, shape: Sequence[int]) -> tuple[Spacing | None, tuple[str, ...]]:
    """Find the scale of the picture.

    Args:
        dataset: after `mend`.
        shape: (H, W) of the picture.
    Returns:
        Millimetres per pixel as (row, column), of the largest calibrated two-dimensional region or else of the whole
        image, and notes. A scale that no breast ultrasound has (such as a picture under 4 mm or over 40 cm) counts as
        unknown, and so do pixels of exactly 1 x 1 mm outside of regions.
    """
    found = _of_regions(dataset)
    regions = [(area, spacing) for area, spacing in found if _is_plausible(spacing, shape)]
    if regions:
        spacing = max(regions)[1]
        if any(not np.allclose(other, spacing, rtol=_SAME_SCALE) for _, other in regions):
            return spacing, ("The file has regions of different scales: lengths are those of the largest.",)
        return spacing, ()
    absurd = [spacing for _, spacing in found]
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        values = numbers(dataset, keyword)
        if len(values) == 2 and min(values) > 0:
            spacing = values[0], values[1]
            if spacing != _PLACEHOLDER and _is_plausible(spacing, shape):
                return spacing, ()
            absurd.append(spacing)
    if absurd:
        row, column = absurd[0]
        why = "which stands for no scale" if absurd[0] == _PLACEHOLDER else "which no breast ultrasound has"
        return None, (f"The file gives pixels of {row:g} x {column:g} mm, {why}: lengths are unknown.",)
    return None, ()


def aspect_of(dataset: Dataset) -> float:
    """Height of a pixel divided by its width, as the file tells it without a scale; 1 where it does not."""
    values = numbers(dataset, "PixelAspectRatio")  # vertical, horizontal
    if len(values) != 2 or min(values) <= 0 or max(values) > _STRETCH * min(values):
        return 1.0
    return values[0] / values[1]


def _is_plausible(spacing: Spacing, shape: Sequence[int]) -> bool:
    longest = max(spacing[0] * shape[0], spacing[1] * shape[1])
    return (
        all(_PIXEL[0] <= side <= _PIXEL[1] for side in spacing)
        and _LONG_SIDE[0] <= longest <= _LONG_SIDE[1]
        and max(spacing) <= _STRETCH * min(spacing)
    )


def _of_regions(dataset: Dataset) -> list[tuple[float, Spacing]]:
    """Area in pixels and spacing of each region that is calibrated; the others are ignored."""
    try:
        regions = list(dataset.get("SequenceOfUltrasoundRegions") or ())
    except Exception:  # pydicom raises nearly every type on damaged values
        return []
    found = []
    for region in regions:
        units = [numbers(region, f"PhysicalUnits{axis}Direction") for axis in "XY"]
        form = numbers(region, "RegionSpatialFormat") or [_TWO_DIMENSIONAL]
        row, column = (numbers(region, f"PhysicalDelta{axis}") for axis in "YX")
        if units == [[_CENTIMETRES]] * 2 and form == [_TWO_DIMENSIONAL] and row and column and row[0] and column[0]:
            found.append((_area(region), (abs(row[0]) * 10, abs(column[0]) * 10)))  # of either sign
    return found


def _area(region: Dataset) -> float:
    """In pixels; 0 where the region does not say where it lies."""
    sides = [[numbers(region, f"RegionLocation{end}") for end in (f"Min{axis}0", f"Max{axis}1")] for axis in "XY"]
    if not all(value for side in sides for value in side):
        return 0.0
    width, height = (high[0] - low[0] for low, high in sides)
    return abs(width * height)
