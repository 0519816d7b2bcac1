"""Decode any source to one upright Pillow image, before the conversion to 8-bit grey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from busi_demo.imaging.deep_colour import deep_colour
from busi_demo.imaging.kinds import HEAD, is_dicom, kind_of
from busi_demo.imaging.png_chunks import SIGNATURE, picture_chunks
from busi_demo.imaging.source import (
    EXPECTED,
    MAX_PIXELS,
    Undecoded,
    frame_index,
    name_of,
    open_stream,
    too_costly,
    too_large,
)
from busi_demo.imaging.tiff import as_meant, forget_other_palette
from busi_demo.types import InputError

# Pillow's names. No other format is opened: some readers start other programs (EPS) or fetch files.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a TIFF tag and its value
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_SWAPPING = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded source.

    Attributes:
        image: upright; mode "L", "RGB" (transparent parts black), or a mode of more than 8 bits.
        spacing: millimetres per pixel as (row, column), from DICOM files only: the resolution in a PNG, JPEG or TIFF
            file is that of a print, or arbitrary.
        aspect: height of a pixel divided by its width where a DICOM file tells this alone; else 1.
        notes: sentences on what was changed.
        format: of the file, as Pillow names it ("PNG", "TIFF", ...), or "DICOM"; `None` for an image in memory.
        header: of a DICOM file, see `dicom.HEADER`; else empty.
        white_is_zero: low values are bright, in an image of more than 8 bits.
        number, frames: which of how many frames or pages of the file this is, from 1 on.
        looks_other: browsers show the file black or empty: they take the upper byte of 16 bits, of which a file may use
            the lower ones alone, and respect a transparency that hides all.
    """

    image: Image.Image
    spacing: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    format: str | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    white_is_zero: bool = False
    number: int = 1
    frames: int = 1
    aspect: float = 1.0
    looks_other: bool = False


_PHOTOGRAPHS = ("JPEG", "MPO")  # their further pictures are previews and maps


def decode(source: Undecoded, frame: int | None = None) -> Picture:
    """Decode one frame or page.

    Args:
        source: what to decode.
        frame: its number, from 1 on; `None`: the first page, or the middle frame of a DICOM file.
    Raises:
        InputError: the source cannot be decoded, or has no such frame.
    """
    if isinstance(source, Image.Image):
        return _from_pillow(source, name_of(source), frame)
    if isinstance(source, np.ndarray):
        return _from_pillow(_from_array(source), name_of(source), frame)
    if not isinstance(source, Undecoded):
        raise InputError(f"Expected the path or bytes of {EXPECTED}, or an array, got {type(source).__name__}.")
    name = name_of(source)
    with _opened(source) as (stream, head):
        if is_dicom(head):
            from busi_demo.imaging.dicom import read_dicom  # slow to import

            shown = read_dicom(stream, name, frame)
            return Picture(
                Image.fromarray(shown.pixels), shown.spacing, shown.notes, "DICOM", shown.header,
                number=shown.number, frames=shown.frames, aspect=shown.aspect,
            )  # fmt: skip
        image = _open_pillow(stream, name, head)
        return _from_pillow(image, name, frame, stream)


def frames_in(source: str | Path | bytes) -> tuple[int, int]:
    """The number of the frame or page that `decode` reads by default, from 1 on, and how many there are. No pixels are
    read.

    Args:
        source: path or bytes of a file.
    Raises:
        InputError: it is not an image file of a known kind, or damaged.
    """
    name = name_of(source)
    with _opened(source) as (stream, head):
        if is_dicom(head):
            from busi_demo.imaging import dicom  # slow to import

            return dicom.frames_in(stream, name)
        image = _open_pillow(stream, name, head)
        try:
            return 1, _pages(image)
        except Exception as error:  # decoders raise nearly every type on damaged files
            raise _damaged(name, error) from error


def size_of(path: Path) -> tuple[int, int]:
    """(H, W) of the first page of an image file as `decode` gives it, from its header alone.

    Raises:
        InputError: it is not an image file of a known kind, or too large.
    """
    name = name_of(path)
    with _opened(path) as (stream, head):
        if is_dicom(head):
            return decode(path).image.size[::-1]
        image = _open_pillow(stream, name, head)
        _check_size(image, name)
        turned = image.format != "TIFF" and _turn(image) in _SWAPPING  # Pillow tells that of a TIFF file turned
        return (image.width, image.height) if turned else (image.height, image.width)


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[tuple[BinaryIO, bytes]]:
    """A file at its start, and its first bytes."""
    with open_stream(source) as stream:
        head = stream.read(HEAD)
        stream.seek(0)
        yield picture_chunks(stream) if head.startswith(SIGNATURE) else stream, head


def is_deep(image: Image.Image) -> bool:
    """Whether the grey values may need more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _check_size(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise too_large(name)


def _damaged(name: str, error: Exception) -> InputError:
    if isinstance(error, MemoryError):
        return too_costly(name)
    return InputError(
        f"{name} is damaged or cut short ({_reason(error)}), expected {EXPECTED}: copy or export it again."
    )


def _pages(image: Image.Image) -> int:
    """Number of pages or frames that are pictures in their own right."""
    return 1 if image.format in _PHOTOGRAPHS else getattr(image, "n_frames", 1)


def _from_pillow(image: Image.Image, name: str, number: int | None = None, stream: BinaryIO | None = None) -> Picture:
    """Decode a Pillow image: one frame, upright, without transparency. Its pixels may not be loaded yet.

    Args:
        stream: the file, where the image comes from one.
    """
    _check_size(image, name)
    try:
        frames = _pages(image)
        index = frame_index(number, frames, name)
        if number is not None and frames > 1:
            image.seek(index)
            _check_size(image, name)
        forget_other_palette(image)
        white_is_zero = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]
        notes: tuple[str, ...] = ()
        upright, looks_other = image, is_deep(image)
        if stream is not None and (deep := deep_colour(image, stream, index)):
            (upright, notes), looks_other = deep, True
        image.load()  # turns TIFF files itself
        if upright is image and isinstance(image, TiffImageFile):
            upright = as_meant(image)
        if (turn := _turn(image)) is not None:
            upright = upright.transpose(turn)
        if not is_deep(upright):
            upright, more = _flatten(upright)
            notes, looks_other = notes + more, looks_other or bool(more)
    except InputError:
        raise
    except Exception as error:  # decoders raise nearly every type on damaged files
        raise _damaged(name, error) from error
    if frames > 1:
        chosen = f"Number {number}" if number is not None else "The first"
        notes = (f"{chosen} of {frames} pages or frames was used.", *notes)
    return Picture(
        upright,
        notes=notes,
        format=image.format,
        white_is_zero=white_is_zero and is_deep(upright),
        number=index + 1,
        frames=frames,
        looks_other=looks_other,
    )


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How EXIF data say that an image is turned upright; damaged ones are ignored."""
    try:
        return _TURNS.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))
    except Exception:  # Pillow raises nearly every type on damaged EXIF data
        return None


def _flatten(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert an 8-bit or 1-bit image of any colour mode to "L" or "RGB", with notes. Transparent parts become black,
    but not the whole of it: some programs leave the channel of transparency empty."""
    notes: tuple[str, ...] = ()
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() == (0, 0):
            image, notes = image.convert("RGB"), ("All of the image is transparent: it is shown without transparency.",)
        else:
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB"), notes


def _open_pillow(stream: BinaryIO, name: str, head: bytes) -> Image.Image:
    """Open an image file without decoding its pixels; InputError if it is not an image."""
    try:
        return Image.open(stream, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(name) from error
    except UnidentifiedImageError as error:
        if kind := kind_of(head):
            raise InputError(f"{name} is {kind}, expected {EXPECTED}: export the image as PNG.") from error
        raise InputError(f"{name} cannot be read as an image, expected {EXPECTED}: export it as PNG.") from error
    except MemoryError as error:
        raise too_costly(name) from error
    except Exception as error:  # a damaged header
        raise InputError(
            f"{name} is damaged ({_reason(error)}), expected {EXPECTED}: copy or export it again."
        ) from error


def _reason(error: Exception) -> str:
    """The first line of an error's text, or its kind."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


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
