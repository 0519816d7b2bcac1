"""Read one frame and the pixel spacing of an ultrasound DICOM file.

DICOM files name patients. No text of the file is passed on, and no message of pydicom, which may quote that text.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing, get_decoder, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian

from busi_demo.imaging.source import MAX_PIXELS, too_large
from busi_demo.types import InputError

# Warnings would quote invalid values in a server's log.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

_HEADER = 132  # bytes before the file meta information, PS3.10 7.1
_CENTIMETRES = 3  # of Physical Units X and Y Direction, DICOM PS3.3 C.8.5.5.1.15
_TWO_DIMENSIONAL = 1  # of Region Spatial Format, C.8.5.5.1.1
_SAME_SCALE = 0.01


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a DICOM file.

    Attributes:
        pixels: uint8 (H, W) grey or uint8 (H, W, 3) RGB; float32 (H, W) of unknown range where the file holds floats.
        spacing: millimetres per pixel as (row, column); `None` where it is unknown.
        notes: sentences on what was chosen or looks unusual.
    """

    pixels: np.ndarray
    spacing: tuple[float, float] | None
    notes: tuple[str, ...]


def read_dicom(stream: BinaryIO, name: str) -> Frame:
    """Read the only or the middle frame.

    The values are prepared for display as the file specifies: rescaled (modality LUT), windowed (the first VOI LUT or
    window), MONOCHROME1 inverted, and the full scale of the stored bits scaled to 0 to 255; palettes and YBR become
    RGB. The compressed formats are those of Pillow and pydicom: JPEG baseline and extended, JPEG 2000, RLE.

    Args:
        stream: a file with a DICOM preamble, at its start.
        name: of the file, for the messages.
    Raises:
        InputError: the file is damaged, has no image, or has an encoding that is not supported.
    """
    try:
        _check_syntax(stream, name)
        dataset = pydicom.dcmread(stream)
        if not {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & set(dataset.dir()):
            raise InputError(f"{name} is a DICOM file without a picture in it: export the image itself.")
        if dataset.Rows * dataset.Columns > MAX_PIXELS:
            raise too_large(name)
        frames = int(dataset.get("NumberOfFrames") or 1)
        pixels = _pixels(dataset, frames // 2, name)
        spacing, notes = _spacing(dataset)
        burnt_in = dataset.get("BurnedInAnnotation") == "YES"
    except InputError:
        raise
    except Exception as error:  # pydicom raises nearly every type on damaged files
        raise InputError(
            f"{name} is a damaged DICOM file, or coded in a way that cannot be read here: export it again, or as PNG."
        ) from error
    if frames > 1:
        notes = (f"The middle one of {frames} frames was used (number {frames // 2 + 1}).", *notes)
    if burnt_in:
        notes += ("The file says that text is burnt into its picture: see that it names no patient.",)
    return Frame(pixels, spacing, notes)


def _check_syntax(stream: BinaryIO, name: str) -> None:
    """Refuse unsupported encodings from the header alone: a deflated file may decompress to any size."""
    stream.seek(_HEADER)
    header = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2)
    syntax = header.TransferSyntaxUID
    stream.seek(0)
    try:
        readable = syntax != DeflatedExplicitVRLittleEndian and get_decoder(syntax).is_available
    except NotImplementedError:
        readable = False
    if not readable:
        raise InputError(
            f"{name} is DICOM in a coding that cannot be read here ({syntax.name}): "
            "export it uncompressed, as JPEG or JPEG 2000 DICOM, or as PNG."
        )


def _pixels(dataset: Dataset, index: int, name: str) -> np.ndarray:
    """One frame as `Frame.pixels`."""
    stored = pixel_array(dataset, index=index)
    kind = dataset.PhotometricInterpretation
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        if stored.dtype.kind == "f":
            return stored.astype(np.float32)
        grey = _display_values(stored, dataset)
        return 255 - grey if kind == "MONOCHROME1" else grey
    if kind == "PALETTE COLOR":
        colours = apply_color_lut(stored, dataset)[..., :3]
        bits = 8 * colours.itemsize
    elif kind == "RGB" or kind.startswith("YBR_"):
        colours, bits = stored, dataset.BitsStored
    else:
        raise InputError(f"{name} is DICOM with colours of a kind that cannot be read here: export it as PNG.")
    return np.ascontiguousarray(colours >> (bits - 8) if bits > 8 else colours).astype(np.uint8)


def _display_values(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Stored integers (H, W) -> uint8 (H, W) for display, before any inversion."""
    bits = dataset.BitsStored
    darkest = -(2 ** (bits - 1)) if dataset.PixelRepresentation else 0
    values = apply_modality_lut(stored, dataset)
    if dataset.get("ModalityLUTSequence"):
        low, high = 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        low, high = apply_modality_lut(np.array([darkest, darkest + 2**bits - 1]), dataset)
    if dataset.get("VOILUTSequence"):
        values = apply_voi(values, dataset)
        low, high = 0.0, 2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif _has_window(dataset):
        # maps `low` to `high`; with a negative slope, `high` is the smaller one
        values = apply_windowing(values, dataset)
    else:
        low, high = min(low, high), max(low, high)
    scale = 255 / (high - low) if high != low else 0.0
    return np.rint((values - float(low)) * scale).clip(0, 255).astype(np.uint8)


def _has_window(dataset: Dataset) -> bool:
    """Whether the file has a valid window. Some have an empty or incomplete window, or one of width 0; LINEAR needs
    a width of at least 1 (DICOM PS3.3, C.11.2.1)."""
    centre, width = (
        np.atleast_1d(np.asarray(dataset.get(keyword), dtype=np.float64)) for keyword in ("WindowCenter", "WindowWidth")
    )
    if not centre.size or not width.size or not np.isfinite(centre[0]):
        return False
    function = (dataset.get("VOILUTFunction") or "LINEAR").upper()
    return bool(width[0] >= 1 if function == "LINEAR" else function in ("LINEAR_EXACT", "SIGMOID") and width[0] > 0)


def _spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Millimetres per pixel as (row, column), of the largest calibrated two-dimensional region or else of the whole
    image, and notes."""
    regions = [r for r in dataset.get("SequenceOfUltrasoundRegions") or () if _is_calibrated(r)]
    if regions:
        largest = max(regions, key=_area)
        spacing = _delta(largest)
        if any(not np.allclose(_delta(region), spacing, rtol=_SAME_SCALE) for region in regions):
            return spacing, ("The file has regions of different scales: lengths are those of the largest.",)
        return spacing, ()
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        value = dataset.get(keyword)
        if isinstance(value, Sequence) and len(value) == 2 and _is_usable(value):
            return (float(value[0]), float(value[1])), ()
    return None, ()


def _is_calibrated(region: Dataset) -> bool:
    units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
    two_dimensional = region.get("RegionSpatialFormat", _TWO_DIMENSIONAL) == _TWO_DIMENSIONAL
    return two_dimensional and units == (_CENTIMETRES, _CENTIMETRES) and _is_usable(_delta(region))


def _delta(region: Dataset) -> tuple[float, float]:
    """Millimetres per pixel as (row, column); the file has centimetres, of either sign."""
    return abs(float(region.PhysicalDeltaY)) * 10, abs(float(region.PhysicalDeltaX)) * 10


def _is_usable(spacing: Sequence[float]) -> bool:
    return all(0 < float(side) < float("inf") for side in spacing)


def _area(region: Dataset) -> int:
    width = region.RegionLocationMaxX1 - region.RegionLocationMinX0
    return width * (region.RegionLocationMaxY1 - region.RegionLocationMinY0)
