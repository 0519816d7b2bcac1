"""Read image files as 8-bit grey arrays or masks; `InputError` says in one sentence why a file cannot be read.

Grey values are converted as follows:

- 8 bits: unchanged. Colour becomes luma (ITU-R BT.601), transparent parts become black.
- 16 bits: such a file often holds 10 or 12 bits and does not say which. The full scale is that of the smallest usual
  depth (8, 10, 12, 14, 16 bits) that holds the largest value, and black stays black. If the minimum and the maximum
  were stretched to the full range, one hot pixel or a caption would change the brightness of the tissue.
- Floating point, 32 bits or negative numbers (for example decibels): there is no full scale. The range from the
  smallest to the largest value, including zero, is scaled to 0 to 255.
- Colour of 16 bits a sample: the same rule for the largest value of its colours.
- DICOM: as the file specifies, see `dicom.read_dicom`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from busi_demo.imaging.apart import decode
from busi_demo.imaging.frame import box_words, find_frame
from busi_demo.imaging.grey import colour_share, colours_of, to_grey
from busi_demo.imaging.masks import is_inverted
from busi_demo.imaging.source import MAX_PIXELS, Undecoded, name_of
from busi_demo.imaging.text import percent
from busi_demo.types import Box, InputError

__all__ = [
    "MAX_PIXELS",
    "MIN_SIDE",
    "UNKNOWN_TRUTH",
    "GreyImage",
    "GroundTruth",
    "MaskSizeError",
    "Source",
    "read_ground_truth",
    "read_image",
    "read_mask",
]

MIN_SIDE = 32
"""Shortest side of a usable image, in pixels."""

_SQUARE, _FLATTEST = 1.02, 4.0  # ratios of pixel sides: square to all purposes, and not to be believed
_LONGEST = 4  # times the other side, far more than in any image of BUSI


@dataclass(frozen=True, eq=False)
class GreyImage:
    """An image as read.

    Attributes:
        pixels: uint8 (H, W), grey values 0 to 255.
        spacing: millimetres per pixel as (row, column); `None` where it is unknown.
        notes: sentences for people on what was changed or looks unusual.
        format: of the file, as Pillow names it ("PNG", "TIFF", ...), or "DICOM"; `None` for an image in memory.
        frame: the part that is ultrasound and that networks see; `None`: all of it.
        frame_note: a sentence for people on how the frame was found or chosen; `None` if there is nothing to say.
        colours: the picture in colour, small, see `grey.colours_of`; `None` if it is grey.
        number, frames: which of how many frames or pages of the file this is, from 1 on.
        header: of a DICOM file, Modality, BodyPartExamined and PhotometricInterpretation where it has them; else empty.
    Raises:
        ValueError: pixels is not uint8 (H, W), or the frame is empty or leaves the image.
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

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be uint8 (H, W), got {self.pixels.dtype} {self.pixels.shape}.")
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
        """What networks see, uint8 (h, w): the frame, stretched so that its pixels are square if the spacing says that
        they are not."""
        part = self.pixels[self._inside]
        height, width = part.shape
        if self.spacing and _is_oblong(self.spacing):
            down, across = (side / min(self.spacing) for side in self.spacing)
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
    def _inside(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        if self.frame is None:
            return slice(None), slice(None)
        x0, y0, x1, y1 = self.frame
        return slice(y0, y1), slice(x0, x1)


def _is_oblong(spacing: tuple[float, float]) -> bool:
    """Whether pixels are so far from square that networks must not see them as they are."""
    return _SQUARE < max(spacing) / min(spacing) <= _FLATTEST


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

Source = Undecoded | GreyImage
"""What `read_image` takes."""


class MaskSizeError(InputError):
    """A mask has another aspect ratio than its image."""


def read_image(source: Source, frame: int | None = None) -> GreyImage:
    """Read an image, upright (EXIF) and grey, and find its frame; see the module's docstring for the values.

    Args:
        source: path or bytes of a PNG, JPEG, BMP, TIFF, WebP, GIF or DICOM file, a Pillow image, or an array: uint8,
            uint16 or bool (H, W), or uint8 (H, W, 3 or 4) as RGB or RGBA. A `GreyImage` is returned unchanged.
        frame: number of the frame or page to read, from 1 on; `None`: the middle frame of a DICOM file, or the first
            page or frame of any other file.
    Raises:
        InputError: the file is missing, damaged or not an image, an array has another type or shape, there is no such
            frame, a side is shorter than `MIN_SIDE`, or there are more than `MAX_PIXELS` pixels.
    """
    if isinstance(source, GreyImage):
        return source
    picture, name = decode(source, frame), name_of(source)
    if min(picture.image.size) < MIN_SIDE:
        raise InputError(
            f"{name} is {picture.image.width} x {picture.image.height} pixels, expected at least {MIN_SIDE} a side: "
            "use the image in its full resolution."
        )
    pixels, notes = to_grey(picture, name)
    notes = picture.notes + notes
    darkest, brightest = int(pixels.min()), int(pixels.max())
    if darkest == brightest:
        notes += (f"Every pixel has the same grey value ({darkest} of 255): there is nothing to see in this image.",)
    elif brightest < 32:
        notes += (f"The image is almost black: its brightest value is {brightest} of 255.",)
    if max(pixels.shape) > _LONGEST * min(pixels.shape):
        notes += (f"The image is a strip of {_size(pixels.shape)} pixels: no model was trained on one so narrow.",)
    if picture.spacing and _is_oblong(picture.spacing):
        down, across = picture.spacing
        notes += (f"Its pixels are not square ({across:.3g} mm across, {down:.3g} mm down): it was stretched first.",)
    found, colours = find_frame(pixels), colours_of(picture)
    return GreyImage(
        pixels, picture.spacing, notes, picture.format, picture.header, colours, found.box, found.note,
        picture.number, picture.frames,
    )  # fmt: skip


def read_mask(source: Undecoded, shape: tuple[int, int] | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a lesion mask: white (or 1) inside the lesion, black outside, in any format of `read_image`.

    Soft edges (JPEG, antialiasing) are thresholded at 128 of 255.

    Args:
        source: as for `read_image`; a mask may be smaller than `MIN_SIDE`.
        shape: (H, W) of the image the mask belongs to; a mask of another size but the same aspect ratio (within 3 %)
            is resized to it by nearest neighbour. `None`: the mask keeps its size.
    Returns:
        bool (H, W), True inside the lesion, and notes on what was changed or looks unusual.
    Raises:
        InputError: as for `read_image`, or the image is not a mask.
        MaskSizeError: the mask has another aspect ratio than `shape`.
    """
    picture, name = decode(source), name_of(source)
    grey, _ = to_grey(picture, name)
    notes = picture.notes
    brightest = int(grey.max())
    if brightest == 1:
        grey = grey * np.uint8(255)
    elif 1 < brightest < 128:
        raise InputError(
            f"{name} is not a mask: expected 0 outside and 1 or 255 inside the lesion, but its largest value "
            f"is {brightest}; save the mask as a black and white image."
        )
    white, grey_part = int((grey >= 224).sum()), int(((grey >= 32) & (grey < 224)).sum())
    if grey_part > white:  # more than the soft edge of a small lesion; ultrasound images have 13 times as many
        raise InputError(
            f"{name} is not a mask: expected a white lesion on black, but {grey_part:,} pixels are grey and "
            f"only {white:,} are white; give the mask of the image, not an ultrasound image."
        )
    mask = grey >= 128
    if shape is not None and mask.shape != tuple(shape):
        mask = _resize(mask, shape, name)
        notes += (f"The mask was resized from {_size(grey.shape)} to the image's {_size(shape)} pixels.",)
    if is_inverted(mask):
        notes += (f"The mask marks {percent(float(mask.mean()))} of the image and most of its border as lesion: if it "
                  "is inverted, overlaps with it mean nothing; save it with a white lesion on black.",)  # fmt: skip
    if not mask.any():
        notes += ("The mask is empty: it marks no lesion.",)
    return mask, notes


def read_ground_truth(source: Undecoded | None, shape: tuple[int, ...] | None) -> GroundTruth:
    """`read_mask` for an image of this shape, (H, W); `UNKNOWN_TRUTH` if `source` is `None`."""
    if source is None:
        return UNKNOWN_TRUTH
    return GroundTruth(*read_mask(source, (shape[0], shape[1]) if shape else None))


def _resize(mask: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    """bool (h, w) -> bool of `shape`, nearest neighbour; `MaskSizeError` where the aspect ratios differ by over 3 %."""
    height, width = shape
    ratio = (mask.shape[1] * height) / (mask.shape[0] * width)
    if not 1 / 1.03 <= ratio <= 1.03:
        raise MaskSizeError(
            f"{name} has {_size(mask.shape)} pixels, expected {_size(shape)} like the image or the same proportions: "
            "give the mask that belongs to this image."
        )
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def _size(shape: tuple[int, ...]) -> str:
    """(H, W) as text, width first."""
    return f"{shape[1]} x {shape[0]}"
