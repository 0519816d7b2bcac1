"""Any picture that a person may give us -> an 8-bit grey array or a mask, or one clear sentence why not.

Grey values keep their meaning as far as the file tells it:

- 8 bits: taken as they are. Colour becomes luma (ITU-R BT.601), transparent parts become black.
- 16 bits: a container that often holds 10 or 12 bits, and no common file says which. The full scale is therefore that
  of the smallest usual depth (8, 10, 12, 14, 16 bits) that holds the largest value, and black stays black. Stretching
  minimum to maximum instead would let one hot pixel or a burnt-in caption decide the brightness of the tissue.
- Floating point, 32 bits or negative numbers (decibels, say): no full scale exists. The range from the smallest to the
  largest value, zero included, is spread over 0 to 255.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from busi_demo.types import InputError

Source = str | Path | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, or an image in memory."""

MIN_SIDE = 32
"""Shortest side of a usable image, in pixels."""

MAX_PIXELS = 50_000_000
"""Largest image that is decoded; what is larger is taken for a mistake or a decompression bomb."""

# Pillow's names. Everything else stays closed: some of its readers start other programs (EPS) or fetch files.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
_EXPECTED = "a PNG, JPEG, BMP, TIFF, WebP or GIF image"
_DEPTHS = (8, 10, 12, 14, 16)


@dataclass(frozen=True)
class GreyImage:
    """An image as read.

    Attributes:
        pixels: uint8 (H, W), grey values 0 to 255.
        spacing: millimetres per pixel as (row, column); `None` where the file does not say.
        notes: sentences on what was changed or looks odd, for the person who gave the image.
    Raises:
        ValueError: pixels is not uint8 (H, W).
    """

    pixels: np.ndarray
    spacing: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be uint8 (H, W), got {self.pixels.dtype} {self.pixels.shape}.")


def read_image(source: Source) -> GreyImage:
    """Read an image, upright (EXIF) and grey; see the module's text for what happens to its values.

    Args:
        source: path or bytes of a PNG, JPEG, BMP, TIFF, WebP or GIF file (the first page or frame is used), a Pillow
            image, or an array: uint8, uint16 or bool (H, W), or uint8 (H, W, 3 or 4) as RGB or RGBA.
    Raises:
        InputError: no such file, not an image, damaged, an array of another type or shape, a side under `MIN_SIDE`,
            or more than `MAX_PIXELS`.
    """
    decoded, notes = _decode(source)
    if min(decoded.size) < MIN_SIDE:
        raise InputError(
            f"{_name(source)} is {decoded.width} x {decoded.height} pixels, expected at least {MIN_SIDE} a side: "
            "use the image in its full resolution."
        )
    pixels, grey_notes = _grey(decoded, _name(source))
    notes += grey_notes
    darkest, brightest = int(pixels.min()), int(pixels.max())
    if darkest == brightest:
        notes += (f"Every pixel has the same grey value ({darkest} of 255): there is nothing to see in this image.",)
    elif brightest < 32:
        notes += (f"The image is almost black: its brightest value is {brightest} of 255.",)
    return GreyImage(pixels, notes=notes)


def read_mask(source: Source, shape: tuple[int, int] | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a lesion mask: white (or 1) inside the lesion, black outside, in any file that `read_image` reads.

    Soft edges (JPEG, antialiasing) are cut at 128 of 255.

    Args:
        source: as for `read_image`; a mask may be smaller than `MIN_SIDE`.
        shape: (H, W) of the image the mask belongs to; a mask of another size but the same aspect ratio (within 3 %)
            is resized to it by nearest neighbour. `None`: the mask keeps its size.
    Returns:
        bool (H, W), True inside the lesion, and notes on what was changed or looks odd.
    Raises:
        InputError: as for `read_image`; the picture is not a mask, or has another aspect ratio than `shape`.
    """
    decoded, notes = _decode(source)
    grey, _ = _grey(decoded, _name(source))
    brightest = int(grey.max())
    if brightest == 1:
        grey = grey * np.uint8(255)
    elif 1 < brightest < 128:
        raise InputError(
            f"{_name(source)} is not a mask: expected 0 outside and 1 or 255 inside the lesion, but its largest value "
            f"is {brightest}; save the mask as a black and white image."
        )
    white, grey_part = int((grey >= 224).sum()), int(((grey >= 32) & (grey < 224)).sum())
    if grey_part > white:  # soft edges of even a small lesion stay below, ultrasound images have 13 times as many
        raise InputError(
            f"{_name(source)} is not a mask: expected a white lesion on black, but {grey_part:,} pixels are grey and "
            f"only {white:,} are white; give the mask that belongs to the image, not an ultrasound image."
        )
    mask = grey >= 128
    if shape is not None and mask.shape != tuple(shape):
        mask = _resize(mask, shape, _name(source))
        notes += (f"The mask was resized from {_size(grey.shape)} to the image's {_size(shape)} pixels.",)
    if not mask.any():
        notes += ("The mask is empty: it marks no lesion.",)
    return mask, notes


def _resize(mask: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    """bool (h, w) -> bool of `shape`, nearest neighbour; InputError where the aspect ratios differ by over 3 %."""
    height, width = shape
    ratio = (mask.shape[1] * height) / (mask.shape[0] * width)
    if not 1 / 1.03 <= ratio <= 1.03:
        raise InputError(
            f"{name} has {_size(mask.shape)} pixels, expected {_size(shape)} like the image or the same proportions: "
            "give the mask that belongs to this image."
        )
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def _size(shape: tuple[int, ...]) -> str:
    """(H, W) as people say it: width x height."""
    return f"{shape[1]} x {shape[0]}"


def _name(source: Source) -> str:
    """What a message calls the source: a path by its last part, lest a server's folders show."""
    return Path(source).name if isinstance(source, str | Path) else "The given image"


def _decode(source: Source) -> tuple[Image.Image, tuple[str, ...]]:
    """Any source -> first frame, upright, as "L", "RGB" on black or a mode of more than 8 bits; and notes."""
    name = _name(source)
    with _open(source) as image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(name)
        try:
            frames = getattr(image, "n_frames", 1)
            upright = ImageOps.exif_transpose(image)
            if not _is_deep(upright):
                upright = _flatten(upright)
        except Exception as error:  # decoders raise nearly every type on damaged files
            raise InputError(
                f"{name} is damaged or cut short ({error}), expected {_EXPECTED}: copy or export it again."
            ) from error
    return upright, (f"The first of {frames} pages or frames was used.",) if frames > 1 else ()


def _is_deep(image: Image.Image) -> bool:
    """Whether the grey values may need more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _flatten(image: Image.Image) -> Image.Image:
    """8-bit or 1-bit image of any colour mode -> "L" or "RGB", transparent parts on black."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


@contextmanager
def _open(source: Source) -> Iterator[Image.Image]:
    """Any source -> Pillow image, header read but pixels perhaps not yet decoded; InputError where there is none."""
    if isinstance(source, Image.Image):
        yield source
        return
    if isinstance(source, np.ndarray):
        yield _from_array(source)
        return
    if not isinstance(source, str | Path | bytes):
        raise InputError(f"Expected the path or bytes of {_EXPECTED}, or an array, got {type(source).__name__}.")
    name = _name(source)
    with _stream(source) as stream:
        if not stream.read(1):
            raise InputError(f"{name} is empty (0 bytes), expected {_EXPECTED}: copy or upload it again.")
        stream.seek(0)
        try:
            image = Image.open(stream, formats=_FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_large(name) from error
        except UnidentifiedImageError as error:
            raise InputError(f"{name} cannot be read as an image, expected {_EXPECTED}: export it as PNG.") from error
        except Exception as error:  # a damaged header
            raise InputError(f"{name} is damaged ({error}), expected {_EXPECTED}: copy or export it again.") from error
        yield image


def _stream(source: str | Path | bytes) -> BinaryIO:
    """Open a file or wrap its bytes for reading."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, expected one file: name {_EXPECTED} in it.")
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist, expected {_EXPECTED}: check the path.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be opened ({error}), expected {_EXPECTED}: check the path.") from error


def _from_array(array: np.ndarray) -> Image.Image:
    """Array -> Pillow image, by its dtype alone: the range of other types would be a guess."""
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16, np.bool_)
    colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    if not (grey or colour) or not array.size:
        raise InputError(
            "An image array must be uint8, uint16 or bool (H, W), or uint8 (H, W, 3 or 4), "
            f"got {array.dtype} {array.shape}: convert it, so that its range is known."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _too_large(name: str) -> InputError:
    return InputError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels, the most that is read: shrink it.")


def _grey(image: Image.Image, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """What `_decode` returns -> uint8 (H, W) and notes on scaled values and colour."""
    if _is_deep(image):
        return _to_8_bits(np.asarray(image), name)
    if image.mode == "L":
        return np.array(image), ()  # a copy, for Pillow's own memory is read-only
    channels = np.asarray(image)
    spread = channels.max(axis=2) - channels.min(axis=2)
    coloured = float((spread > 48).mean())  # above what JPEG does to grey
    note = f"The image has colour (Doppler, a tint or drawn marks?) in {coloured:.1%} of it: only brightness was used."
    return np.array(image.convert("L")), (note,) if coloured > 0.005 else ()


def _to_8_bits(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Integer or float (H, W) of any range -> uint8 (H, W) and notes; the rule is in the module's text."""
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds values that are not numbers (NaN or infinite): export it as an 8-bit PNG.")
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if values.dtype.kind in "iu" and low == 0 and high < 2**16:
        depth = next(bits for bits in _DEPTHS if high < 2**bits)
        if depth == 8:
            return values.astype(np.uint8), ()
        high = 2.0**depth - 1
        note = f"16-bit grey values were scaled to 8 bits: 0 to {high:.0f} ({depth} bits) became 0 to 255."
    else:
        note = f"The values have no fixed range: {low:g} to {high:g} became 0 to 255."
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint((values.astype(np.float64) - low) * scale).astype(np.uint8), (note,)
