"""DICOM files of every kind, made by pydicom."""

from __future__ import annotations

import io

import numpy as np
from helpers import picture
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

GREY = picture(1, 40, 56)
COLOURS = np.dstack([picture(seed, 40, 56) for seed in (1, 2, 3)])
LUMA = np.array(Image.fromarray(COLOURS).convert("L")).astype(int)


def scan(pixels: np.ndarray | bytes = GREY, kind: str = "MONOCHROME2", syntax=ExplicitVRLittleEndian, **tags) -> bytes:
    """The bytes of a DICOM file of 40 x 56 pixels: an array, or encoded bytes."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = UltrasoundImageStorage, "1.2.3"
    dataset.PatientName, dataset.PatientID, dataset.InstitutionName = "Doe^Jane", "4711", "Clinic"
    depth = 8 * pixels.itemsize if isinstance(pixels, np.ndarray) else 8
    dataset.Rows, dataset.Columns, dataset.PhotometricInterpretation = 40, 56, kind
    dataset.SamplesPerPixel = 1 if kind.startswith(("MONO", "PAL")) else 3
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = depth, depth, depth - 1, 0
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels.tobytes() if isinstance(pixels, np.ndarray) else pixels
    dataset["PixelData"].VR = "OW" if depth > 8 else "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def region(delta_x: float, delta_y: float, width: int = 50, **tags) -> Dataset:
    """A calibrated two-dimensional ultrasound region, 20 pixels high."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = 0, 0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = width, 20
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta_x, delta_y
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item


def encoded(form: str, pixels: np.ndarray = GREY, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return encapsulate([stream.getvalue()])
