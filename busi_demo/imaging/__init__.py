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

from dataclasses import replace

import numpy as np
from PIL import Image

from busi_demo.imaging.apart import decode
from busi_demo.imaging.frame import find_frame
from busi_demo.imaging.grey import colours_of, to_grey
from busi_demo.imaging.image import MIN_SIDE, UNKNOWN_TRUTH, GreyImage, GroundTruth
from busi_demo.imaging.masks import is_drawing, is_inverted
from busi_demo.imaging.source import MAX_PIXELS, Undecoded, name_of
from busi_demo.imaging.text import percent
from busi_demo.types import InputError

__all__ = [
    "MAX_PIXELS",
    "MIN_SIDE",
    "UNKNOWN_TRUTH",
    "GreyImage",
    "GroundTruth",
    "MaskSizeError",
    "PictureError",
    "Source",
    "read_ground_truth",
    "read_image",
    "read_mask",
]

_LONGEST = 4  # times the other side, far more than in any image of BUSI


Source = Undecoded | GreyImage
"""What `read_image` takes."""


class MaskSizeError(InputError):
    """A mask has another aspect ratio than its image."""


class PictureError(InputError):
    """A file that should be a mask has many grey values, as an ultrasound image has."""


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
    found, colours = find_frame(pixels), colours_of(picture)
    image = GreyImage(
        pixels, picture.spacing, notes, picture.format, picture.header, colours, found.box, found.note,
        picture.number, picture.frames, picture.aspect, picture.looks_other,
    )  # fmt: skip
    return replace(image, notes=(*notes, _stretched(image))) if image.is_oblong else image


def _stretched(image: GreyImage) -> str:
    down, across = image.pixel_sides
    sides = f"{across:.3g} mm across, {down:.3g} mm down"
    if image.spacing is None:
        sides = f"{down / across:.3g} times as high as wide"
    return f"Its pixels are not square ({sides}): it was stretched first."


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
        PictureError: it is not a mask, and no drawing in two values either.
        MaskSizeError: the mask has another aspect ratio than `shape`.
    """
    picture, name = decode(source), name_of(source)
    grey, _ = to_grey(picture, name)
    notes = picture.notes
    brightest = int(grey.max())
    if brightest == 1:
        grey = grey * np.uint8(255)
    elif 1 < brightest < 128:
        raise _no_mask(grey)(
            f"{name} is not a mask: expected 0 outside and 1 or 255 inside the lesion, but its largest value "
            f"is {brightest}; save the mask as a black and white image."
        )
    white, grey_part = int((grey >= 224).sum()), int(((grey >= 32) & (grey < 224)).sum())
    if grey_part > white:  # more than the soft edge of a small lesion; ultrasound images have 13 times as many
        raise _no_mask(grey)(
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


def _no_mask(grey: np.ndarray) -> type[InputError]:
    """The error for grey values, uint8 (H, W), that are not those of a mask."""
    return InputError if is_drawing(grey) else PictureError


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
