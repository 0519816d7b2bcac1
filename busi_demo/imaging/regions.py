"""Arrays behind the search for the frame: grain, dense regions, and the edges of a box. A box is (x0, y0, x1, y1)."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from busi_demo.types import Box

EVEN, GRAIN = 3, 6
"""Difference of grey values among neighbours: at most that in a surround, more than that in most of a scan."""

_LEAST_RANGE, _PALE_RANGE = 8, 160  # of grey values: there is nothing to see, and a picture is pale
WORKING_SIDE = 400  # pixels; larger pictures are averaged in blocks
_CLEARLY_PAGE = 80  # of 255: tissue is never that bright and even
_LETTERS = 0.06  # of the shorter side; narrower regions are text


def box_words(box: Box) -> str:
    """A box in words for a sentence."""
    return f"x {box[0]} to {box[2]} and y {box[1]} to {box[3]}"


def apart(other: Box | None, box: Box) -> Box | None:
    """The other box, if there is one that does not overlap the first."""
    if other is None or all(other[i] < box[i + 2] and box[i] < other[i + 2] for i in (0, 1)):
        return None
    return other


def moved(box: Box, by: Box) -> Box:
    """A box in the pixels of a part -> in those of the picture, of which the part is the box `by`."""
    return box[0] + by[0], box[1] + by[1], box[2] + by[0], box[3] + by[1]


def scaled(box: Box, side: int, shape: tuple[int, ...]) -> Box:
    """A box in blocks -> in pixels; what is left over at the end belongs to the last block."""
    height, width = shape
    x0, y0, x1, y1 = box
    x1, y1 = (length if end == length // side else end * side for end, length in ((x1, width), (y1, height)))
    return x0 * side, y0 * side, x1, y1


def slices(box: Box, side: int = 1) -> tuple[slice, slice]:
    """Rows and columns of a box, in blocks of `side` pixels."""
    x0, y0, x1, y1 = (end // side for end in box)
    return slice(y0, y1), slice(x0, x1)


def reduced(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Means of blocks of a uint8 (H, W) array: float32 (h, w) with at most `WORKING_SIDE` a side, but at least one
    block, and the side of a block."""
    side = min(-(-max(pixels.shape) // WORKING_SIDE), *pixels.shape)
    if side == 1:
        return pixels.astype(np.float32), 1
    rows, columns = (length // side for length in pixels.shape)
    whole_blocks = Image.fromarray(np.ascontiguousarray(pixels[: rows * side, : columns * side]))
    return np.asarray(whole_blocks.reduce(side), dtype=np.float32), side


def with_contrast(pixels: np.ndarray) -> np.ndarray:
    """A pale picture with more contrast, so that its grain is seen; any other unchanged. uint8 (H, W) both."""
    few = pixels[:: 1 + pixels.shape[0] // 200, :: 1 + pixels.shape[1] // 200]
    darkest, brightest = np.percentile(few, (1, 99.5))
    if not _LEAST_RANGE < brightest - darkest < _PALE_RANGE:
        return pixels
    values = (np.arange(256) - darkest) * (_PALE_RANGE / (brightest - darkest))
    return values.clip(0, 255).round().astype(np.uint8)[pixels]


def grain_of(values: np.ndarray) -> np.ndarray:
    """Difference of the largest and the smallest value among 3 x 3 pixels: (H, W) -> (H, W)."""
    return ndimage.maximum_filter(values, 3) - ndimage.minimum_filter(values, 3)


def is_scan(values: np.ndarray) -> bool:
    """Whether there is grain in most places."""
    return bool((grain_of(values) > EVEN).mean() > 0.4)


def tolerance(level: int) -> int:
    """How far grey values of an even page lie from its level; tissue at depth may be nearly even and dark grey."""
    return GRAIN if level >= _CLEARLY_PAGE else 2


def surround_of(small: np.ndarray) -> tuple[int, float]:
    """The commonest grey at the rim of a picture, and its share of the rim."""
    rim = max(1, round(0.02 * min(small.shape)))
    ring = np.concatenate([part.ravel() for part in (small[:rim], small[-rim:], small[:, :rim], small[:, -rim:])])
    level = int(np.convolve(np.bincount(ring.round().astype(int), minlength=256), np.ones(5), "same").argmax())
    return level, float((abs(ring - level) <= tolerance(level)).mean())


def dense_boxes(content: np.ndarray, density: float, side: int) -> tuple[Box | None, Box | None]:
    """Bounding boxes of dense regions that are wider than letters.

    Args:
        content: shares in [0, 1], bool or float (h, w).
        density: least mean of the content around a point of a region.
        side: pixels of a block, of which `content` has one value each.
    Returns:
        The box of the largest region, and of the next one where that is not much smaller, in pixels.
    """
    size = max(3, round(_LETTERS * min(content.shape)) | 1)
    dense = ndimage.uniform_filter(content.astype(np.float32), size, mode="constant") >= density
    labels, count = ndimage.label(dense)
    if not count:
        return None, None
    areas = np.bincount(labels.ravel())[1:]
    order = np.argsort(-areas, kind="stable")[:2]
    found = ndimage.find_objects(labels)
    boxes: list[Box | None] = [
        tuple(side * end for end in (columns.start, rows.start, columns.stop, rows.stop))  # type: ignore[misc]
        for rows, columns in (found[i] for i in order if areas[i] >= 0.3 * areas[order[0]])
    ]
    return boxes[0], boxes[1] if len(boxes) > 1 else None


def profiles_of(content: np.ndarray, box: Box) -> list[tuple[np.ndarray, int]]:
    """Shares of content in the lines across a box, from the left, right, top and bottom of the picture to the middle
    of the box; and the line where the box starts."""
    x0, y0, x1, y1 = box
    height, width = content.shape
    columns, rows = content[y0:y1].mean(axis=0), content[:, x0:x1].mean(axis=1)
    return [
        (columns[: (x0 + x1) // 2], x0),
        (columns[::-1][: width - (x0 + x1) // 2], width - x1),
        (rows[: (y0 + y1) // 2], y0),
        (rows[::-1][: height - (y0 + y1) // 2], height - y1),
    ]


def strip_of(profile: np.ndarray) -> int:
    """How many lines beside an edge are looked at."""
    return max(3, round(0.03 * len(profile)))


def find_edge(profile: np.ndarray) -> tuple[int, float]:
    """The outermost of the highest steps of a profile: its line and height; line 0 where the content begins there."""
    strip = strip_of(profile)
    sums = np.concatenate([[0], np.cumsum(profile)])
    at = np.arange(1, len(profile) - strip)
    if not len(at):
        return 0, 0.0
    outer = np.maximum(0, at - strip)
    within = (sums[at + strip] - sums[at]) / strip
    steps = np.where(within < 0.6, 0, within - (sums[at] - sums[outer]) / (at - outer))  # no step of text
    if steps.max() <= 0:
        return 0, 0.0
    high = np.flatnonzero(steps >= 0.8 * steps.max())
    first = high[: 1 + int(np.argmax(np.diff(high, append=high[-1] + 9) > 1))]  # lines beside each other
    best = first[int(steps[first].argmax())]
    return int(at[best]), float(steps[best])


def find_end(faintly: np.ndarray, start: int) -> int:
    """Where grain ends that fades out, from line `start` of a profile outwards."""
    empty = 0
    for line in range(start - 1, -1, -1):
        empty = empty + 1 if faintly[line] < 0.02 else 0
        if empty >= strip_of(faintly):
            return line + empty
    return 0
