"""An image and its ground truth, as read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from busi_demo.imaging.frame import box_words
from busi_demo.imaging.grey import colour_share
from busi_demo.types import Box, InputError

MIN_SIDE = 32
"""Shortest side of a usable image, in pixels."""

_SQUARE, _FLATTEST = 1.02, 4.0  # ratios of pixel sides: square to all purposes, and not to be believed


@dataclass(frozen=True, eq=False)
class GreyImage:
    """An image as read.

    Attributes:
        pixels: uint8 (H, W), grey values 0 to 255.
        spacing: millimetres per pixel as (row, column); `None` where it is unknown.
        aspect: height of a pixel divided by its width, where the spacing is unknown; else ignored.
        notes: sentences for people on what was changed or looks unusual.
        format: of the file, as Pillow names it ("PNG", "TIFF", ...), or "DICOM"; `None` for an image in memory.
        frame: the part that is ultrasound and that networks see; `None`: all of it.
        frame_note: a sentence for people on how the frame was found or chosen; `None` if there is nothing to say.
        colours: the picture in colour, small, see `grey.colours_of`; `None` if it is grey.
        number, frames: which of how many frames or pages of the file this is, from 1 on.
        looks_other: browsers show the file black or empty, see `picture.Picture`.
        header: of a DICOM file, Modality, BodyPartExamined and PhotometricInterpretation where it has them; else empty.
    Raises:
        ValueError: pixels is not uint8 (H, W), the aspect is not above 0, or the frame is empty or leaves the image.
    """

    pixels: np.ndarray
    spacing: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    format: str | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    colours: np.ndarray | None = None
    frame: Box | None = None
    frame_note: str | None = None
    number: int = 1
    frames: int = 1
    aspect: float = 1.0
    looks_other: bool = False

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be uint8 (H, W), got {self.pixels.dtype} {self.pixels.shape}.")
        if not 0 < self.aspect < np.inf:
            raise ValueError(f"aspect must be a finite number above 0, got {self.aspect}.")
        if self.frame is not None:
            (x0, y0, x1, y1), (height, width) = self.frame, self.pixels.shape
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise ValueError(f"frame must lie within {width} x {height} pixels, got {self.frame}.")

    @property
    def warnings(self) -> tuple[str, ...]:
        """All notes."""
        return (*self.notes, self.frame_note) if self.frame_note else self.notes

    @property
    def frame_share(self) -> float:
        """Share of the image's pixels that lie in the frame, in (0, 1]."""
        return self.pixels[self._inside].size / self.pixels.size

    @property
    def coloured(self) -> float:
        """Share of the pixels in the frame that have a colour, apart from one even tint, 0 to 1."""
        if self.colours is None:
            return 0.0
        if self.frame is None:
            return colour_share(self.colours)
        (height, width), (rows, columns) = self.pixels.shape, self.colours.shape[:2]
        x0, y0, x1, y1 = self.frame
        # small pixels at the edge of the frame have colours of both sides
        top, left = y0 * rows // height + 2, x0 * columns // width + 2
        bottom, right = y1 * rows // height - 1, x1 * columns // width - 1
        return colour_share(self.colours[top : max(bottom, top + 1), left : max(right, left + 1)])

    @property
    def framed(self) -> np.ndarray:
        """What networks see, uint8 (h, w): the frame, stretched so that its pixels are square if the spacing or the
        aspect says that they are not."""
        part = self.pixels[self._inside]
        height, width = part.shape
        if self.is_oblong:
            down, across = (side / min(self.pixel_sides) for side in self.pixel_sides)
            height, width = round(height * down), round(width * across)
        if part.shape == (height, width):
            return part
        return np.array(Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR))

    def placed(self, values: np.ndarray) -> np.ndarray:
        """A map of what networks see, float32 (h, w) like `framed` -> float32 (H, W) in the image, 0 outside of the
        frame."""
        part = self.pixels[self._inside]
        if values.shape != part.shape:
            size = part.shape[::-1]
            values = np.array(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
        if part.shape == self.pixels.shape:
            return values
        placed = np.zeros(self.pixels.shape, dtype=values.dtype)
        placed[self._inside] = values
        return placed

    def cropped(self, box: Box) -> GreyImage:
        """The image with a frame that a person chose, instead of the one that was found.

        Raises:
            InputError: the box leaves the image, or a side is shorter than `MIN_SIDE`.
        """
        (x0, y0, x1, y1), (height, width) = box, self.pixels.shape
        inside = min(x0, y0) >= 0 and x1 <= width and y1 <= height
        if not inside or min(x1 - x0, y1 - y0) < MIN_SIDE:
            raise InputError(
                f"The crop must lie within the image of {width} x {height} pixels and be at least {MIN_SIDE} pixels "
                f"a side, got {box_words(box)}."
            )
        if box == (0, 0, width, height):
            return replace(self, frame=None, frame_note=None)
        return replace(self, frame=box, frame_note=f"Only the chosen part was used, {box_words(box)}.")

    @property
    def pixel_sides(self) -> tuple[float, float]:
        """Height and width of a pixel: in millimetres if the spacing is known, else with a width of 1."""
        return self.spacing or (self.aspect, 1.0)

    @property
    def is_oblong(self) -> bool:
        """Whether pixels are so far from square that networks must not see them as they are."""
        return _SQUARE < max(self.pixel_sides) / min(self.pixel_sides) <= _FLATTEST

    @property
    def _inside(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        if self.frame is None:
            return slice(None), slice(None)
        x0, y0, x1, y1 = self.frame
        return slice(y0, y1), slice(x0, x1)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What is known of the true lesion of an image.

    Attributes:
        mask: bool (H, W), True inside the true lesion; `None` if it is unknown.
        notes: sentences for people on how the mask was read.
    """

    mask: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def check(self, shape: tuple[int, ...]) -> None:
        """Check that the mask, if there is one, belongs to an image of this shape, (H, W).

        Raises:
            InputError: the mask is not bool, or has another shape.
        """
        if self.mask is not None and (self.mask.shape != shape or self.mask.dtype != np.bool_):
            raise InputError(
                f"The ground truth must be bool {shape} like the image, got {self.mask.dtype} {self.mask.shape}: "
                "read it with read_mask(source, image.shape)."
            )


UNKNOWN_TRUTH = GroundTruth()
"""Of an image without a mask."""
