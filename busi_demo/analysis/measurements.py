"""The size and shape of a lesion, from its mask.

This is the geometry of an outline. It is not an assessment: no BI-RADS descriptor or category follows from it, even
where the same words are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from busi_demo.imaging.text import percent

WIDER, TALLER, EVEN = "wider than tall", "taller than wide", "as wide as tall"


@dataclass(frozen=True)
class Measurements:
    """The result of `measure`. The area and the number of regions are of the whole mask, all other values of its
    largest region.

    A pixel is a rectangle of the size of the spacing, not a point: a single pixel has an area and a diagonal.

    Attributes:
        unit: "mm" if the pixel spacing is known, else "px", the width of a pixel.
        regions: number of connected regions (4 neighbours), at least 1.
        area: of all regions, in square units.
        area_fraction: share of the image's area, in (0, 1].
        longest: longest diameter, the largest distance between two points of the region (maximum Feret diameter).
        perpendicular: extent of the region at right angles to its longest diameter.
        angle: degrees in [0, 90] between the longest diameter and the skin line, which is taken to be the image's
            horizontal: 0 is parallel to the skin.
        width, height: extent along the image's horizontal and vertical.
        orientation: `WIDER`, `TALLER` or `EVEN`, by width and height.
        roundness: area of the region divided by that of a disc of its longest diameter, in (0, 1]; 1 for a disc, the
            ratio of the axes for an ellipse (ISO 9276-6 roundness).
        equivalent_diameter: diameter of a disc of the same area.
    """

    unit: str
    regions: int
    area: float
    area_fraction: float
    longest: float
    perpendicular: float
    angle: float
    width: float
    height: float
    orientation: str
    roundness: float
    equivalent_diameter: float

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Label and value of each measurement, as text for people."""
        rows = [
            ("Area", f"{self.area:,.{self._digits}f} {self.unit}² ({percent(self.area_fraction)} of the image)"),
            ("Longest diameter", f"{self._length(self.longest)}, {self.angle:.0f}° to the skin line"),
            ("Perpendicular diameter", self._length(self.perpendicular)),
            ("Orientation", f"{self.orientation} ({self._length(self.width)} by {self._length(self.height)})"),
            ("Roundness", f"{self.roundness:.2f} (1 is a disc)"),
            ("Diameter of a disc of its area", self._length(self.equivalent_diameter)),
        ]
        if self.regions > 1:
            rows.insert(0, ("Regions", f"{self.regions}; area of all, the rest of the largest"))
        return tuple(rows)

    @property
    def _digits(self) -> int:
        return 1 if self.unit == "mm" else 0

    def _length(self, value: float) -> str:
        return f"{value:.{self._digits}f} {self.unit}"


def measure(mask: np.ndarray, spacing: tuple[float, float] | None = None, aspect: float = 1.0) -> Measurements | None:
    """Measure a lesion.

    Args:
        mask: bool (H, W), True inside the lesion. Of several connected regions the largest is measured, except for
            the area; of equally large regions the first from the top.
        spacing: millimetres per pixel as (row, column); `None` if it is unknown: lengths are then in widths of a pixel.
        aspect: height of a pixel divided by its width, where the spacing is unknown.
    Returns:
        The measurements; `None` if the mask is empty.
    Raises:
        ValueError: mask is not bool (H, W), or spacing is not two finite numbers above 0.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask must be bool (H, W), got {mask.dtype} {mask.shape}.")
    pixel = np.array(spacing or (aspect, 1.0), dtype=np.float64)
    if pixel.shape != (2,) or not (np.isfinite(pixel).all() and (pixel > 0).all()):
        raise ValueError(f"spacing must be None or two finite numbers above 0, got {spacing}.")
    labels, regions = ndimage.label(mask)
    if not regions:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == sizes.argmax() + 1
    hull = _hull(largest, pixel)
    distances = squareform(pdist(hull))
    one, other = np.unravel_index(distances.argmax(), distances.shape)
    longest, (down, right) = distances[one, other], hull[other] - hull[one]
    across = hull @ np.array([right, -down]) / longest
    height, width = np.ptp(hull, axis=0)
    area = sizes.max() * pixel.prod()
    return Measurements(
        unit="px" if spacing is None else "mm",
        regions=regions,
        area=float(sizes.sum() * pixel.prod()),
        area_fraction=float(mask.mean()),
        longest=float(longest),
        perpendicular=float(np.ptp(across)),
        angle=float(np.degrees(np.arctan2(abs(down), abs(right)))),
        width=float(width),
        height=float(height),
        orientation=EVEN if np.isclose(width, height) else WIDER if width > height else TALLER,
        roundness=float(4 * area / (np.pi * longest**2)),
        equivalent_diameter=float(np.sqrt(4 * area / np.pi)),
    )


def _hull(region: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Corners of the convex hull of a region's pixels: bool (H, W) with some True -> float64 (N, 2) as (y, x)."""
    rows = np.flatnonzero(region.any(axis=1))
    inside = region[rows]
    left, right = inside.argmax(axis=1), inside.shape[1] - inside[:, ::-1].argmax(axis=1)
    corners = [np.stack([y, x], axis=1) for y in (rows, rows + 1) for x in (left, right)]
    points = np.concatenate(corners) * pixel
    return points[ConvexHull(points).vertices]
