"""Complete or remove the attributes of a DICOM dataset that would cost the picture: damaged numbers, missing depths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

from pydicom.dataset import Dataset

_DECIMALS = ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImagerPixelSpacing",
             "NominalScannedPixelSpacing", "PixelAspectRatio")  # fmt: skip


def mend(dataset: Dataset) -> None:
    """Change a dataset so that its picture can be shown: decimal commas become points, numbers that are none are
    removed, and image attributes without which no picture can be decoded get their usual values."""
    for keyword in _DECIMALS:
        if keyword in dataset:
            values = numbers(dataset, keyword)
            del dataset[keyword]
            if values:
                setattr(dataset, keyword, values if len(values) > 1 else values[0])
    if dataset.get("RescaleSlope") == 0:
        del dataset.RescaleSlope
    if ("RescaleSlope" in dataset) != ("RescaleIntercept" in dataset):
        for keyword, neutral in (("RescaleSlope", 1), ("RescaleIntercept", 0)):
            if keyword not in dataset:
                setattr(dataset, keyword, neutral)
    kind = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    samples = dataset.get("SamplesPerPixel") or (3 if kind.startswith(("RGB", "YBR")) or _holds_three(dataset) else 1)
    dataset.SamplesPerPixel = samples
    if samples == 1:
        has_table = "RedPaletteColorLookupTableDescriptor" in dataset
        kept = kind in ("MONOCHROME1", "CMYK") or (kind == "PALETTE COLOR" and has_table)
        kind = kind if kept else "MONOCHROME2"
    elif not kind.startswith(("RGB", "YBR")):
        kind = "RGB" if samples == 3 else kind if kind.startswith("CMYK") else "MONOCHROME2"
    dataset.PhotometricInterpretation = kind
    if samples > 1 and dataset.get("PlanarConfiguration") not in (0, 1):
        dataset.PlanarConfiguration = 0
    if "PixelData" in dataset:
        _mend_depth(dataset)


def _holds_three(dataset: Dataset) -> bool:
    """Whether one frame of uncompressed pixels is as long as three samples a pixel are."""
    sizes = [dataset.get(keyword) for keyword in ("Rows", "Columns")]
    several = (numbers(dataset, "NumberOfFrames") or [1])[0] > 1
    if several or not all(isinstance(size, int) and size for size in sizes):
        return False
    expected = 3 * math.prod(sizes) * ((dataset.get("BitsAllocated") or 8) // 8)
    return expected <= len(dataset.get("PixelData") or b"") <= expected + 1


def _mend_depth(dataset: Dataset) -> None:
    allocated = dataset.get("BitsAllocated") or (16 if _needs_two_bytes(dataset) else 8)
    stored = dataset.get("BitsStored") or allocated
    dataset.BitsAllocated, dataset.BitsStored = allocated, min(stored, allocated)
    high = dataset.get("HighBit")
    if not isinstance(high, int) or not dataset.BitsStored <= high + 1 <= allocated:
        dataset.HighBit = dataset.BitsStored - 1
    if dataset.get("PixelRepresentation") not in (0, 1):
        dataset.PixelRepresentation = 0


def _needs_two_bytes(dataset: Dataset) -> bool:
    """Whether samples have more than 8 bits, by what else a dataset tells of them and by the length of its pixels."""
    if (dataset.get("BitsStored") or 0) > 8 or (dataset.get("HighBit") or 0) > 7:
        return True
    count = max(1, int((numbers(dataset, "NumberOfFrames") or [1])[0]))
    samples = count * math.prod(dataset.get(keyword) or 0 for keyword in ("Rows", "Columns", "SamplesPerPixel"))
    return bool(samples) and len(dataset.PixelData) // samples == 2


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """The finite values of a numeric attribute, also of one with decimal commas; empty if it is missing, or if one of
    its values is no number."""
    values: object = None
    with suppress(Exception):  # pydicom raises nearly every type on damaged values
        element = dataset.get_item(keyword)
        values = element.value if element is not None else None  # not yet converted: bytes
        if isinstance(values, bytes) and element is not None and element.VR not in ("DS", "IS"):
            binary = element.VR not in (None, "UN") or dataset[keyword].VR not in ("DS", "IS")
            values = dataset[keyword].value if binary else values
    if isinstance(values, bytes):
        values = values.decode("ascii", "replace").strip("\0 ").split("\\")
    elif isinstance(values, str) or not isinstance(values, Sequence):
        values = [values]
    assert isinstance(values, Sequence)
    try:
        found = [float(str(value).strip().replace(",", ".")) for value in values]
    except ValueError:
        return []
    return found if all(map(math.isfinite, found)) else []
