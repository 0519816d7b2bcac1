"""Read one frame and the pixel spacing of an ultrasound DICOM file.

DICOM files name patients. No text of the file is passed on except the codes of `HEADER`, and no message of pydicom,
which may quote that text.

What is only of use beside the picture never costs the picture: scales, windows, frame counts and colour labels that are
missing, damaged or contradict the pixel data are ignored, with a note where that changes what is shown.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from busi_demo.imaging.dicom.display import display_pixels
from busi_demo.imaging.dicom.frames import Frames, UnreadableCodingError
from busi_demo.imaging.dicom.mend import mend
from busi_demo.imaging.dicom.spacing import aspect_of, spacing_of
from busi_demo.imaging.kinds import HEAD, MARK, PREAMBLE, dicom_start
from busi_demo.imaging.source import MAX_PIXELS, frame_index, too_costly, too_large
from busi_demo.types import InputError

# Warnings would quote invalid values in a server's log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

HEADER = ("Modality", "BodyPartExamined", "PhotometricInterpretation")
"""Attributes that are passed on: codes of what is shown, never of who."""

_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")  # the value representation CS, PS3.5 6.2
_PIXELS = {"PixelData", "FloatPixelData", "DoubleFloatPixelData"}


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a DICOM file.

    Attributes:
        pixels: uint8 (H, W) grey or uint8 (H, W, 3) RGB; float32 (H, W) of unknown range where the file holds floats.
        spacing: millimetres per pixel as (row, column); `None` where it is unknown.
        notes: sentences on what was chosen or looks unusual.
        header: attribute of `HEADER` -> its value in capitals, where the file has a valid one.
        number, frames: which of how many frames this is, from 1 on.
        aspect: height of a pixel divided by its width, where the spacing is unknown; else 1.
    """

    pixels: np.ndarray
    spacing: tuple[float, float] | None
    notes: tuple[str, ...]
    header: Mapping[str, str]
    number: int
    frames: int
    aspect: float


def read_dicom(stream: BinaryIO, name: str, number: int | None = None) -> Frame:
    """Read one frame.

    The values are prepared for display as the file specifies: rescaled (modality LUT), windowed (the first VOI LUT or
    window), MONOCHROME1 inverted, and the full scale of the stored bits scaled to 0 to 255; palettes and YBR become
    RGB. Colours that use fewer bits than the file says have the scale of those. The compressed formats are JPEG
    (baseline, 8-bit extended, lossless), JPEG-LS, JPEG 2000 and RLE. The data say which of them it is, how large the
    picture is and, where they can, in what colours it is coded; the header is only asked for what the data do not say.

    Args:
        stream: a file for which `is_dicom` is True, at its start.
        name: of the file, for the messages.
        number: of the frame, from 1; `None`: the middle one.
    Raises:
        InputError: the file is damaged, has no image or no such frame, or has an encoding that is not supported.
    """
    try:
        dataset = _open(stream, name)
        frames = Frames(dataset)
        index = frame_index(number, frames.count, name, middle=True)
        if frames.rows(index) * frames.columns(index) > MAX_PIXELS:
            raise too_large(name)
        stored = frames.decode(index)
        pixels, notes = display_pixels(stored, dataset, name)
        spacing, more = spacing_of(dataset, stored.shape[:2])
        aspect = 1.0 if spacing else aspect_of(dataset)
        burnt_in = dataset.get("BurnedInAnnotation") == "YES"
        header = _header(dataset)
    except InputError:
        raise
    except UnreadableCodingError as error:
        raise _unreadable(name, error.syntax) from error
    except Exception as error:  # pydicom raises nearly every type on damaged files
        raise _damaged(name, error) from error
    if frames.count > 1:
        chosen = "The middle one" if number is None else "One"
        notes = (f"{chosen} of {frames.count} frames was used (number {index + 1}).", *notes)
    if frames.announced not in (None, frames.count):
        notes = (f"The file announces {frames.announced} frames, but holds {frames.count}.", *notes)
    notes += more
    if burnt_in:
        notes += ("The file says that text is burnt into its picture: see that it names no patient.",)
    return Frame(pixels, spacing, notes, header, index + 1, frames.count, aspect)


def _damaged(name: str, error: Exception) -> InputError:
    if isinstance(error, MemoryError):
        return too_costly(name)
    return InputError(
        f"{name} is a damaged DICOM file, or coded in a way that cannot be read here: export it again, or as PNG."
    )


def frames_in(stream: BinaryIO, name: str) -> tuple[int, int]:
    """The number of the frame that `read_dicom` reads by default, from 1 on, and how many frames there are.

    Raises:
        InputError: as for `read_dicom`; pixels are not looked at.
    """
    try:
        count = Frames(_open(stream, name)).count
    except InputError:
        raise
    except Exception as error:
        raise _damaged(name, error) from error
    return frame_index(None, count, name, middle=True) + 1, count


def _open(stream: BinaryIO, name: str) -> Dataset:
    """The dataset, with what `mend` completes.

    Raises:
        InputError: it has no pixels, or is deflated, which may decompress to any size.
    """
    start = dicom_start(stream.read(HEAD)) or 0
    stream.seek(start)
    meta = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise _unreadable(name, DeflatedExplicitVRLittleEndian)
    whole = start in (0, PREAMBLE + len(MARK))
    stream.seek(0 if whole else start)
    if not whole:  # pydicom knows a preamble with its mark, or neither
        stream = io.BytesIO(stream.read())
    dataset = pydicom.dcmread(stream, force=True)
    if not _PIXELS & set(dataset.dir()):
        if "DirectoryRecordSequence" in dataset:
            raise InputError(f"{name} is the table of contents of a DICOM folder, not an image: give the images in it.")
        if not {"SOPClassUID", "Modality", "Rows"} & set(dataset.dir()):
            raise ValueError("There is nothing of an image in the dataset.")
        raise InputError(f"{name} is a DICOM file without a picture in it: export the image itself.")
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    mend(dataset)
    return dataset


def _unreadable(name: str, syntax: UID) -> InputError:
    return InputError(
        f"{name} is DICOM in a coding that cannot be read here ({syntax.name}): "
        "export it uncompressed, as JPEG or JPEG 2000 DICOM, or as PNG."
    )


def _header(dataset: Dataset) -> dict[str, str]:
    values = {keyword: str(dataset.get(keyword) or "").strip().upper() for keyword in HEADER}
    return {keyword: value for keyword, value in values.items() if _CODE.fullmatch(value)}
