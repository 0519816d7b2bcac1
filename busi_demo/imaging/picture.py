"""Decode any source to one upright Pillow image, before the conversion to 8-bit grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from busi_demo.imaging.source import EXPECTED, MAX_PIXELS, Undecoded, name_of, open_stream, too_large
from busi_demo.types import InputError

# Pillow's names. No other format is opened: some readers start other programs (EPS) or fetch files.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
_DICOM_MARK = slice(128, 132), b"DICM"


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded source.

    Attributes:
        image: upright; mode "L", "RGB" (transparent parts black), or a mode of more than 8 bits.
        spacing: millimetres per pixel as (row, column), from DICOM files only: the resolution in a PNG, JPEG or TIFF
            file is that of a print, or arbitrary.
        notes: sentences on what was changed.
        format: of the file, as Pillow names it ("PNG", "TIFF", ...), or "DICOM"; `None` for an image in memory.
    """

    image: Image.Image
    spacing: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    format: str | None = None


def decode(source: Undecoded) -> Picture:
    """Decode the first page, or the middle frame of a DICOM file.

    Raises:
        InputError: the source cannot be decoded.
    """
    if isinstance(source, Image.Image):
        return _from_pillow(source, name_of(source))
    if isinstance(source, np.ndarray):
        return _from_pillow(_from_array(source), name_of(source))
    if not isinstance(source, Undecoded):
        raise InputError(f"Expected the path or bytes of {EXPECTED}, or an array, got {type(source).__name__}.")
    name = name_of(source)
    with open_stream(source) as stream:
        where, mark = _DICOM_MARK
        is_dicom = stream.read(where.stop)[where] == mark
        stream.seek(0)
        if is_dicom:
            from busi_demo.imaging.dicom import read_dicom  # slow to import

            frame = read_dicom(stream, name)
            return Picture(Image.fromarray(frame.pixels), frame.spacing, frame.notes, "DICOM")
        return _from_pillow(_open_pillow(stream, name), name)


def is_deep(image: Image.Image) -> bool:
    """Whether the grey values may need more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _from_pillow(image: Image.Image, name: str) -> Picture:
    """Decode a Pillow image: the first frame, upright, without transparency. Its pixels may not be loaded yet."""
    if image.width * image.height > MAX_PIXELS:
        raise too_large(name)
    try:
        frames = getattr(image, "n_frames", 1)
        upright = ImageOps.exif_transpose(image)
        if not is_deep(upright):
            upright = _flatten(upright)
    except Exception as error:  # decoders raise nearly every type on damaged files
        raise InputError(
            f"{name} is damaged or cut short ({error}), expected {EXPECTED}: copy or export it again."
        ) from error
    notes = (f"The first of {frames} pages or frames was used.",) if frames > 1 else ()
    return Picture(upright, notes=notes, format=image.format)


def _flatten(image: Image.Image) -> Image.Image:
    """Convert an 8-bit or 1-bit image of any colour mode to "L" or "RGB"; transparent parts become black."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _open_pillow(stream: BinaryIO, name: str) -> Image.Image:
    """Open an image file without decoding its pixels; InputError if it is not an image."""
    try:
        return Image.open(stream, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(name) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} cannot be read as an image, expected {EXPECTED}: export it as PNG.") from error
    except Exception as error:  # a damaged header
        raise InputError(f"{name} is damaged ({error}), expected {EXPECTED}: copy or export it again.") from error


def _from_array(array: np.ndarray) -> Image.Image:
    """Array -> Pillow image. Other types are refused, because the range of their values is unknown."""
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16, np.bool_)
    colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    if not (grey or colour) or not array.size:
        raise InputError(
            "An image array must be uint8, uint16 or bool (H, W), or uint8 (H, W, 3 or 4), "
            f"got {array.dtype} {array.shape}: convert it, so that its range is known."
        )
    return Image.fromarray(np.ascontiguousarray(array))
