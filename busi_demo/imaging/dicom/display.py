"""From the stored values of a DICOM frame to 8 bits for display, as the file specifies."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing

from busi_demo.imaging.depth import depth_of, to_8_bits
from busi_demo.imaging.dicom.mend import numbers
from busi_demo.types import InputError

_FEW, _FAINT = 8, 26  # grey values
_TABLES = ("ModalityLUTSequence", "VOILUTSequence")
_WINDOW = ("WindowCenter", "WindowWidth", "VOILUTSequence")
_SETTINGS = ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept")

Shown = tuple[np.ndarray, tuple[str, ...]]


def display_pixels(stored: np.ndarray, dataset: Dataset, name: str) -> Shown:
    """Convert one decoded frame.

    Args:
        stored: (H, W), or RGB (H, W, 3), of the type that the file has.
        dataset: after `mend`.
        name: of the file, for the messages.
    Returns:
        uint8 (H, W) or (H, W, 3), or float32 (H, W) where the file holds floats; and notes.
    Raises:
        InputError: the colours are of a kind that is not supported.
    """
    kind = dataset.PhotometricInterpretation
    if stored.ndim == 3:
        return _colours(stored, dataset.get("BitsStored"), int(stored.max()))
    if kind == "PALETTE COLOR":
        entries, first = dataset.RedPaletteColorLookupTableDescriptor[:2]
        table = apply_color_lut(first + np.arange(entries or 2**16), dataset)[..., :3]
        colours = apply_color_lut(stored, dataset)[..., :3]
        return _colours(colours, 8 * colours.itemsize, int(table.max()))  # of all frames
    if kind not in ("MONOCHROME1", "MONOCHROME2", "RGB") and not kind.startswith("YBR_"):
        raise InputError(f"{name} is DICOM with colours of a kind that cannot be read here: export it as PNG.")
    if stored.dtype.kind == "f":
        return stored.astype(np.float32), ()
    grey, notes = _grey(stored, dataset)
    return 255 - grey if kind == "MONOCHROME1" else grey, notes


def _colours(colours: np.ndarray, bits: int, largest: int) -> Shown:
    """Colours (H, W, 3) of so many bits, and the largest value that they may have -> uint8 and notes. Where the file
    says no more than what is allocated, or what is not so, the largest value tells how many bits are used."""
    depth = bits
    if bits == 8 * colours.itemsize or largest >= 2**bits:
        depth = depth_of(largest) if largest < 2**16 else max(bits, largest.bit_length())
    values = colours.clip(0, 2**depth - 1)
    shown = to_8_bits(values, depth) if depth <= 16 else to_8_bits(values >> (depth - 16), 16)
    return shown, () if depth == bits else (_spare_note(f"{bits} bits a colour", depth),)


def _grey(stored: np.ndarray, dataset: Dataset) -> Shown:
    """Stored integers (H, W) -> uint8 (H, W) before any inversion, and notes. A table or window that is damaged, or
    that shows nothing of a picture which is not flat, is left out."""
    spare = _leave_spare_bits(stored, dataset)
    with suppress(Exception):  # pydicom raises nearly every type on damaged tables
        grey = _display_values(stored, dataset, windowed=True)
        if _shows(grey, stored, dataset):
            return grey, spare
    note = ("The brightness settings in the file (window or table) show nothing of the picture: they were ignored.",)
    _remove(dataset, _WINDOW)
    with suppress(Exception):
        spare = _leave_spare_bits(stored, dataset)
        grey = _display_values(stored, dataset, windowed=False)
        if grey.min() < grey.max():
            return grey, (*note, *spare)
    _remove(dataset, _SETTINGS)
    spare = spare or _leave_spare_bits(stored, dataset)
    return _display_values(stored, dataset, windowed=False), (*note, *spare)


def _remove(dataset: Dataset, keywords: tuple[str, ...]) -> None:
    for keyword in keywords:
        if keyword in dataset:
            delattr(dataset, keyword)


def _leave_spare_bits(stored: np.ndarray, dataset: Dataset) -> tuple[str, ...]:
    """Where a file says no more than that 16 or 32 bits are allocated, the values tell how many are used, and whether a
    sign is."""
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation == 1
    if _has_window(dataset) or any(keyword in dataset for keyword in _TABLES) or bits not in (16, 32):
        return ()
    low, high = int(stored.min()), int(stored.max())
    needed = high.bit_length() if low >= 0 else max(high, ~low).bit_length() + 1
    used = depth_of(2**needed - 1) if needed <= 16 else needed
    if signed and low >= 0:
        used = min(used, bits - 1)
        dataset.PixelRepresentation = 0
    if used == bits:
        return ()
    dataset.BitsStored = used
    return (_spare_note(f"{bits} bits", used, -(2 ** (used - 1)) if low < 0 else 0),)


def _spare_note(told: str, depth: int, darkest: int = 0) -> str:
    return f"The file tells of {told} and uses {depth}: {darkest} to {darkest + 2**depth - 1} became 0 to 255."


def _shows(grey: np.ndarray, stored: np.ndarray, dataset: Dataset) -> bool:
    """Whether grey values that a window or table gives show a picture: not a few of them where the file stores many, as
    a window that is a placeholder does, and no tenth of the range where all of it is there without."""
    if stored.min() == stored.max():
        return True
    contrast = int(grey.max()) - int(grey.min())
    if contrast == 0:
        return False
    exact = str(dataset.get("VOILUTFunction") or "").upper() == "LINEAR_EXACT"  # may be meant as a threshold
    levels = np.count_nonzero(np.bincount(grey.ravel()))
    if not exact and levels <= _FEW and len(np.unique(stored)) > _FEW * levels:
        return False
    if contrast >= _FAINT:
        return True
    bare = _display_values(stored, dataset, windowed=False)
    return int(bare.max()) - int(bare.min()) < 3 * _FAINT


def _display_values(stored: np.ndarray, dataset: Dataset, windowed: bool) -> np.ndarray:
    bits = dataset.BitsStored
    darkest = -(2 ** (bits - 1)) if dataset.PixelRepresentation else 0
    values = apply_modality_lut(stored, dataset)
    if dataset.get("ModalityLUTSequence"):
        low, high = 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        low, high = apply_modality_lut(np.array([darkest, darkest + 2**bits - 1]), dataset)
    if windowed and dataset.get("VOILUTSequence"):
        values = apply_voi(values, dataset)
        low, high = 0.0, 2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif windowed and _has_window(dataset):
        # maps `low` to `high`; with a negative slope, `high` is the smaller one
        values = apply_windowing(values, dataset)
    else:
        low, high = min(low, high), max(low, high)
    scale = 255 / (high - low) if high != low else 0.0
    return np.rint((values - float(low)) * scale).clip(0, 255).astype(np.uint8)


def _has_window(dataset: Dataset) -> bool:
    """Whether the file has a valid window. Some have an empty or incomplete window, or one of width 0; LINEAR needs
    a width of at least 1 (DICOM PS3.3, C.11.2.1)."""
    centre, width = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if not centre or not width:
        return False
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    return width[0] >= 1 if function == "LINEAR" else function in ("LINEAR_EXACT", "SIGMOID") and width[0] > 0
