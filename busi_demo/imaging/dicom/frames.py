"""The frames of a DICOM dataset: how many there are, and decoding one of them."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragments, parse_basic_offsets
from pydicom.pixels import convert_color_space, pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from busi_demo.imaging.dicom.codecs import DECODED_HERE, decode_frame
from busi_demo.imaging.dicom.codestream import Codestream, bare, parse, starts_frame
from busi_demo.imaging.dicom.mend import numbers

_ITEM = b"\xfe\xff\x00\xe0"
_MUCH = 2.0  # times as much colour
_YBR = ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420")


class UnreadableCodingError(Exception):
    """The pixel data have a coding that cannot be decoded.

    Attributes:
        syntax: the one that the file declares.
    """

    def __init__(self, syntax: UID) -> None:
        super().__init__(syntax.name)
        self.syntax = syntax


class Frames:
    """The frames of a dataset, which was mended. None is decoded before `decode`.

    Attributes:
        count: how many the pixel data hold, at least 1.
        announced: the file's Number of Frames, where it names one.
    Raises:
        UnreadableCodingError: the pixel data have another coding than those of `codestream`.
        ValueError: compressed pixel data do not hold a frame.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        given = numbers(dataset, "NumberOfFrames")
        self.announced = int(given[0]) if given and given[0] >= 1 else None
        self._coded: list[bytes] | None = None
        if "PixelData" not in dataset:
            self.count = self.announced or 1
        elif self._is_coded():
            self._coded = _coded_frames(dataset.PixelData, self.announced)
            self.count = len(self._coded)
        else:
            self.count = self._native_count()
        self._headers: dict[int, Codestream] = {}

    def rows(self, index: int) -> int:
        """Height of a frame in pixels, from 0 on."""
        return (self._coded and self._header(index).rows) or int(self._dataset.Rows)

    def columns(self, index: int) -> int:
        """Width of a frame in pixels, from 0 on."""
        return (self._coded and self._header(index).columns) or int(self._dataset.Columns)

    def decode(self, index: int) -> np.ndarray:
        """Decode one frame, from 0 on.

        Returns:
            Stored values (H, W), or RGB (H, W, 3).
        """
        dataset = self._dataset
        if self._coded is None:
            return self._decode_native(index)
        header, data = self._header(index), bare(self._coded[index])
        if header.syntax == JPEGBaseline8Bit:
            pixels = _decode_jpeg(data, header)
            dataset.BitsAllocated = dataset.BitsStored = 8
            dataset.HighBit, dataset.PixelRepresentation = 7, 0  # JPEG with loss has no signed samples
            return pixels
        if header.syntax == JPEGExtended12Bit:
            dataset.PixelRepresentation = 0
        dataset.Rows, dataset.Columns = self.rows(index), self.columns(index)
        dataset.SamplesPerPixel = header.samples or dataset.SamplesPerPixel
        declared = dataset.BitsStored
        if header.bits:
            dataset.BitsAllocated = 8 if header.bits <= 8 else 16
            signed = dataset.PixelRepresentation == 1
            dataset.BitsStored = min(declared, header.bits) if signed else header.bits
        dataset.HighBit = dataset.BitsStored - 1
        if dataset.SamplesPerPixel == 3 and not dataset.PhotometricInterpretation.startswith(("RGB", "YBR")):
            dataset.PhotometricInterpretation = "RGB"
        if dataset.SamplesPerPixel == 1 and dataset.PhotometricInterpretation.startswith(("RGB", "YBR")):
            dataset.PhotometricInterpretation = "MONOCHROME2"
        if dataset.SamplesPerPixel > 1 and "PlanarConfiguration" not in dataset:
            dataset.PlanarConfiguration = 0
        if header.syntax in DECODED_HERE:
            stored = decode_frame(data, header, self._signed_bits())
        else:
            stored = self._decode_with_pydicom(data, header)
        if declared < dataset.BitsStored and stored.max() < 2**declared:
            dataset.BitsStored = declared  # the data have room for more than the picture uses
        kind = dataset.PhotometricInterpretation
        if stored.ndim == 3 and stored.itemsize == 1 and header.colour != "RGB":
            return _as_rgb(stored, kind in _YBR, certain=header.colour is not None)
        return stored

    def _decode_native(self, index: int) -> np.ndarray:
        """An uncompressed frame; values that lie in the upper bits are moved down."""
        dataset = self._dataset
        dataset.NumberOfFrames = self.count
        kind, bits, unused = dataset.PhotometricInterpretation, dataset.BitsStored, dataset.HighBit + 1
        if kind in ("RGB", "YBR_FULL") and dataset.BitsAllocated == 8:
            return _as_rgb(pixel_array(dataset, index=index, raw=True), kind == "YBR_FULL")
        if unused > bits and not dataset.PixelRepresentation:
            dataset.BitsStored = dataset.BitsAllocated
            stored = pixel_array(dataset, index=index)
            dataset.BitsStored = bits
            return (stored >> (unused - bits)) & (2**bits - 1)
        stored = pixel_array(dataset, index=index)
        if stored.ndim == 3 and kind.startswith("YBR_PARTIAL") and stored.itemsize == 1:
            stored = convert_color_space(stored, "YBR_FULL", "RGB")  # a little too little contrast
        return stored

    def _decode_with_pydicom(self, data: bytes, header: Codestream) -> np.ndarray:
        dataset = self._dataset
        dataset.PixelData, dataset.NumberOfFrames = encapsulate([data]), 1
        dataset.file_meta.TransferSyntaxUID = header.syntax
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in dataset:
                delattr(dataset, keyword)
        if header.syntax == RLELossless:
            return pixel_array(dataset, index=0, raw=True)
        try:
            return pixel_array(dataset, index=0, raw=True, decoding_plugin="pillow")
        except Exception:  # Pillow has no colours of more than 8 bits
            return decode_frame(data, header, self._signed_bits())

    def _signed_bits(self) -> int | None:
        return self._dataset.BitsStored if self._dataset.PixelRepresentation == 1 else None

    def _header(self, index: int) -> Codestream:
        assert self._coded is not None
        if index not in self._headers:
            header = parse(self._coded[index])
            declared = UID(self._dataset.file_meta.get("TransferSyntaxUID", ""))
            if header is None:
                raise UnreadableCodingError(declared)
            self._headers[index] = header
        return self._headers[index]

    def _is_coded(self) -> bool:
        """Whether the pixel data are compressed. If not, the transfer syntax becomes the one that the file was read
        with: a file without meta information, or with a wrong one, still has a picture."""
        data, meta = self._dataset.PixelData, self._dataset.file_meta
        declared = UID(meta.get("TransferSyntaxUID", ""))
        if data[:4] == _ITEM or starts_frame(data):
            return True
        if declared.is_transfer_syntax and declared.is_compressed and 8 * len(data) < self._bits_of_a_frame():
            raise UnreadableCodingError(declared)
        implicit, little = self._dataset.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain
        return False

    def _bits_of_a_frame(self) -> int:
        """Of uncompressed data."""
        keywords = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
        return math.prod(int(self._dataset[keyword].value) for keyword in keywords)

    def _native_count(self) -> int:
        dataset = self._dataset
        bits, length = self._bits_of_a_frame(), 8 * len(dataset.PixelData)
        if dataset.PhotometricInterpretation == "YBR_FULL_422":
            if length >= bits * (self.announced or 1):
                dataset.PhotometricInterpretation = "YBR_FULL"  # one colour for each pixel, whatever it is called
            else:
                bits = bits * 2 // 3
        held = max(1, length // bits)
        return min(held, self.announced or held)


def _coded_frames(data: bytes, announced: int | None) -> list[bytes]:
    """The compressed frames, each in one piece."""
    if data[:4] != _ITEM:
        return [data]  # not packed into items
    offsets = parse_basic_offsets(data)
    table = 8 + 4 * len(offsets)
    fragments, starts, position = [], [], 0
    for fragment in generate_fragments(data[table:]):
        if fragment:
            fragments.append(fragment)
            starts.append(position)
        position += 8 + len(fragment)
    if not fragments:
        raise ValueError("There is no frame in the pixel data.")
    begins = [starts_frame(fragment) for fragment in fragments]
    if announced == len(fragments) and (all(begins) or not any(begins)):
        return fragments
    if not any(begins):  # run lengths: a fragment is a frame
        begins = [parse(fragment) is not None for fragment in fragments]
    if offsets and set(offsets) <= set(starts) and len(offsets) == announced:
        begins = [start in offsets for start in starts]
    frames: list[list[bytes]] = []
    for fragment, begin in zip(fragments, begins, strict=True):
        if begin or not frames:
            frames.append([fragment])
        else:
            frames[-1].append(fragment)
    return [b"".join(parts) for parts in frames]


def _as_rgb(samples: np.ndarray, is_ycbcr: bool, certain: bool = False) -> np.ndarray:
    """8-bit samples (H, W, 3) as RGB. What the file calls them is not believed where the picture tells otherwise:
    ultrasound is mostly grey, so the reading with much less colour is the right one."""
    if not certain:
        as_ycbcr, as_rgb = _colourfulness(samples)
        is_ycbcr = as_ycbcr * _MUCH < as_rgb or (is_ycbcr and not as_rgb * _MUCH < as_ycbcr)
    return convert_color_space(samples, "YBR_FULL", "RGB") if is_ycbcr else samples


def _colourfulness(samples: np.ndarray) -> tuple[float, float]:
    """How much colour a picture has, read as YCbCr and as RGB."""
    values = samples.astype(np.int16)
    return float(np.abs(values[..., 1:] - 128).mean()), float(np.abs(values[..., 1:] - values[..., :1]).mean())


def _decode_jpeg(data: bytes, header: Codestream) -> np.ndarray:
    """An 8-bit JPEG frame as uint8 (H, W) or RGB (H, W, 3).

    Where neither markers nor sampling tell RGB from YCbCr, the picture does: ultrasound is mostly grey, so the reading
    with less colour is the right one.
    """
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    if image.mode in ("L", "RGB") and (image.mode == "L" or header.colour):
        return np.array(image)
    if image.mode != "RGB":
        return np.array(image.convert("RGB"))
    image.draft("YCbCr", image.size)  # the samples as stored
    stored = np.array(image)
    as_ycbcr, as_rgb = _colourfulness(stored)
    return stored if as_rgb < as_ycbcr else np.array(image.convert("RGB"))
