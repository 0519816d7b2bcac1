"""The frame: the part of a picture that is ultrasound, without page margins, screens of machines and second views.

Ultrasound has grain nearly everywhere; pages, screens and bars are even, and text is thin. So the frame is the largest
dense region of grain, if its edges are sharp: tissue that fades into black has no edge there. A scan on a page of
another grey than black is found by that grey, because its dark parts are then no page.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from busi_demo.imaging.regions import (
    EVEN,
    GRAIN,
    apart,
    box_words,
    dense_boxes,
    find_edge,
    find_end,
    grain_of,
    is_scan,
    moved,
    profiles_of,
    reduced,
    scaled,
    slices,
    strip_of,
    surround_of,
    tolerance,
    with_contrast,
)
from busi_demo.types import Box

_LEAST_SIDE = 32  # pixels of a frame
_LEAST_AREA = 0.02  # of the picture
_ROUNDS = 5  # for example a page, the screen on it, and one of two views there
_DARKEST_PAGE = 30  # of 255: tissue without echoes may be darker
_STEP = 0.45  # of a line: how much more grain there is inside of a sharp edge than outside
_LEAST_DARK = 0.1  # of the area that a dark surround covers; a narrower one is left


@dataclass(frozen=True)
class FoundFrame:
    """The result of `find_frame`.

    Attributes:
        box: the ultrasound; `None`: the whole picture is used.
        note: a sentence for people; `None` if there is nothing to say.
    """

    box: Box | None = None
    note: str | None = None


@dataclass(frozen=True)
class _Part:
    """A smaller part that one step found, in the pixels of the part that it looked at.

    Attributes:
        box: the part; `None`: something surrounds the ultrasound, but its edge is not clear.
        other: another view beside it.
    """

    box: Box | None
    other: Box | None = None


def find_frame(pixels: np.ndarray) -> FoundFrame:
    """Find the ultrasound in a picture.

    Args:
        pixels: uint8 (H, W) in 0..255.
    Returns:
        Its box and a note on it. The whole picture is used if there is only ultrasound in it, or no ultrasound; and,
        with a note, if something seems to surround it whose edge is not clear.
    """
    height, width = pixels.shape
    pixels = with_contrast(pixels)
    whole = box = (0, 0, width, height)
    other, doubt = None, False
    for _ in range(_ROUNDS):
        part = _smaller_part(pixels[slices(box)])
        if part is None:
            break
        if part.box is None:
            doubt = True
            break
        if part.other and min(part.other[2] - part.other[0], part.other[3] - part.other[1]) >= _LEAST_SIDE:
            other = moved(part.other, box)
        box = moved(part.box, box)
    if (box == whole and not doubt) or not is_scan(reduced(pixels[slices(box)])[0]):
        return FoundFrame()
    x0, y0, x1, y1 = box
    too_small = min(x1 - x0, y1 - y0) < _LEAST_SIDE or (x1 - x0) * (y1 - y0) < _LEAST_AREA * height * width
    if too_small or box == whole:
        return FoundFrame(None, _UNCLEAR)
    note = (
        f"Only the ultrasound was used, {box_words(box)} of {width} x {height} pixels; what surrounds it was left out."
    )
    if other:
        note += f" There is another view, {box_words(other)}: choose that part to have it analysed."
    return FoundFrame(box, note)


_UNCLEAR = (
    "Something seems to surround the ultrasound, but it is not clear where that ends: the whole picture was used. If "
    "it contains more than ultrasound, choose the part that is."
)


def _smaller_part(pixels: np.ndarray) -> _Part | None:
    """What the first step that finds something says; `None` where nothing surrounds the ultrasound."""
    if min(pixels.shape) < _LEAST_SIDE:
        return None
    doubt = None
    for step in (_on_page, _without_even_rim, _one_of_two_views, _on_screen):
        part = step(pixels)
        if part and part.box and part.box != (0, 0, *pixels.shape[::-1]):
            return part
        doubt = doubt or part
    return doubt


def _without_even_rim(pixels: np.ndarray) -> _Part | None:
    """Cut lines of one grey, not black, off the sides."""
    left, right = (_even_lines(lines) for lines in (pixels.T, pixels.T[::-1]))
    top, bottom = (_even_lines(lines) for lines in (pixels, pixels[::-1]))
    height, width = pixels.shape
    if not any((left, right, top, bottom)) or left + right >= width or top + bottom >= height:
        return None
    return _Part((left, top, width - right, height - bottom))


def _even_lines(lines: np.ndarray) -> int:
    """How many of the first rows of a uint8 (h, w) array have the grey of the first; 0 if they are few."""
    level = int(np.median(lines[0]))
    if level < _DARKEST_PAGE:
        return 0
    count = 0
    for line in lines:
        if (abs(line.astype(np.int16) - level) <= tolerance(level)).mean() < 0.97:
            break
        count += 1
    return count if count >= 0.01 * len(lines) else 0


def _on_page(pixels: np.ndarray) -> _Part | None:
    """Find a scan on a page of one grey, not black, which may have text on it."""
    small, side = reduced(pixels)
    level, share = surround_of(small)
    if level < _DARKEST_PAGE or share < 0.5:
        return None
    content = abs(pixels.astype(np.int16) - level) > 2 * GRAIN
    seed, other = dense_boxes(reduced(content.astype(np.uint8) * 255)[0] / 255, 0.75, side)
    if seed is None or not is_scan(small[slices(seed, side)]):
        return None
    faint = abs(pixels.astype(np.int16) - level) > 2  # a scan may begin with lines that are nearly as grey as the page
    margins = []
    for (profile, start), (faintly, _) in zip(profiles_of(content, seed), profiles_of(faint, seed), strict=True):
        at, step = find_edge(profile)
        margin = at if step > _STEP else start
        if step <= _STEP and start > 0.03 * len(profile):
            return None  # no page, but tissue that is even at its rim
        while margin > 0 and faintly[margin - 1] >= 0.5:
            margin -= 1
        margins.append(margin)
    box = _inside(margins, pixels.shape)
    return _Part(box, apart(other, box))


def _on_screen(pixels: np.ndarray) -> _Part | None:
    """Find a scan on a surround that is even in most places, as of a screen or a black page."""
    small, side = reduced(pixels)
    grain = grain_of(small)
    noise = float(np.percentile(grain, 20))  # of a photograph
    even, content = min(5, max(EVEN, 1.5 * noise)), grain > min(9, max(GRAIN, 2.5 * noise))
    seed, other = dense_boxes(content, 0.7, 1)
    if seed is None:
        return None
    differs = abs(small - surround_of(small)[0]) > GRAIN
    margins, sharp = [], 0
    profiles = (profiles_of(array, seed) for array in (content, grain > even, differs))
    for (grainy, start), (faintly, _), (differing, _) in zip(*profiles, strict=True):
        at, step = find_edge(grainy)
        at += 1  # grain begins a pixel outside of the edge
        if step < _STEP:
            at, step = find_edge(differing)
        outside = faintly[max(0, at - 3 - strip_of(faintly)) : max(1, at - 3)]
        margins.append(at if step >= _STEP else find_end(faintly, start))
        sharp += at > 0.03 * len(faintly) and step >= _STEP and outside.mean() < 0.35
    box = _inside(margins, small.shape)
    if (box[2] - box[0]) * (box[3] - box[1]) > (1 - _LEAST_DARK) * small.size:
        return None
    if sharp < 2:
        return _Part(None) if sharp else None
    other = apart(other, box)
    return _Part(scaled(box, side, pixels.shape), other and scaled(other, side, pixels.shape))


def _one_of_two_views(pixels: np.ndarray) -> _Part | None:
    """Choose the wider of views that even gaps separate; of equal ones the left."""
    height, width = pixels.shape
    rows = pixels[:: max(1, height // 200)].astype(np.int16)  # a few tell an even column
    levels = np.median(rows, axis=0)
    even = (abs(rows - levels) <= GRAIN).mean(axis=0) >= 0.9
    labels, _ = ndimage.label(even)
    gaps = [(found.start, found.stop) for (found,) in ndimage.find_objects(labels)]
    gaps = [(start, stop) for start, stop in gaps if _is_gap(rows, levels, start, stop)]
    if not gaps:
        return None
    stops, starts = [start for start, _ in gaps] + [width], [0] + [stop for _, stop in gaps]
    views = sorted(zip(starts, stops, strict=True), key=lambda view: view[0] - view[1])
    boxes = [(start, 0, stop, height) for start, stop in views]
    return _Part(boxes[0], boxes[1])


def _is_gap(rows: np.ndarray, levels: np.ndarray, start: int, stop: int) -> bool:
    """Whether even columns lie between two scans: wide enough, and with grain on both sides at once."""
    width = rows.shape[1]
    if start < 0.15 * width or stop > 0.85 * width or stop - start < max(2, 0.004 * width):
        return False
    level = levels[(start + stop) // 2]
    beside = rows[:, start - 4 : start - 1], rows[:, stop + 1 : stop + 4]
    return all((abs(part - level) > 2 * GRAIN).mean() > 0.4 for part in beside)


def _inside(margins: list[int], shape: tuple[int, ...]) -> Box:
    left, right, top, bottom = margins
    return left, top, shape[1] - right, shape[0] - bottom
