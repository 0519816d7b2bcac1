"""Colour images of 16 bits a sample in PNG and TIFF files, of which Pillow only gives the upper 8 bits."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile

from busi_demo.imaging.depth import depth_of, to_8_bits
from busi_demo.imaging.tiff import forget_other_palette

# Raw modes of Pillow that take the upper byte of a sample -> those that take the lower byte of the same data.
_LOWER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_BITS_PER_SAMPLE = 258  # a TIFF tag


def deep_colour(image: Image.Image, stream: BinaryIO, index: int) -> tuple[Image.Image, tuple[str, ...]] | None:
    """Read all 16 bits of the samples and scale them by the smallest usual depth that holds the largest one.

    Args:
        image: an open image, its pixels not loaded yet.
        stream: its file.
        index: of the frame that it is at.
    Returns:
        An 8-bit image of the same mode, and a note if values were scaled; `None` where the image is not of this kind.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.format not in ("PNG", "TIFF"):
        return None
    if image.mode not in ("RGB", "RGBA", "LA", "RGBX"):
        return None
    modes = [_deep_mode(image, _raw_mode(tile.args)) for tile in image.tile]
    if not modes or "" in modes:
        return None
    if modes == ["LA;16B"]:
        return _scaled(_grey_with_alpha(image), image)
    stream.seek(0)
    again = Image.open(stream, formats=(image.format,))
    again.seek(index)
    forget_other_palette(again)
    for opened, own in ((again, [mode[:-1] + _LOWER[mode[-1]] for mode in modes]), (image, modes)):
        opened.tile = [
            tile._replace(args=_with_raw_mode(tile.args, mode)) for tile, mode in zip(opened.tile, own, strict=True)
        ]
    return _scaled(np.asarray(image).astype(np.uint16) << 8 | np.asarray(again), image)


def _deep_mode(image: ImageFile.ImageFile, raw: str) -> str:
    """The raw mode with which Pillow decodes 16 bits a sample; empty where there are fewer. Where a TIFF file stores
    its colours one after the other, Pillow forgets their depth."""
    if ";16" in raw:
        return raw
    bits = image.tag_v2.get(_BITS_PER_SAMPLE) if image.format == "TIFF" else None  # type: ignore[attr-defined]
    if raw not in ("R", "G", "B", "A") or not bits or set(bits) != {16}:
        return ""
    order = "L" if image.tag_v2.prefix == b"II" else "B"  # type: ignore[attr-defined]
    return f"{raw};16{'N' if image.tile[0].codec_name == 'libtiff' else order}"


def _grey_with_alpha(image: ImageFile.ImageFile) -> np.ndarray:
    """A PNG of 16-bit grey and alpha as uint16 (H, W, 4): its four bytes a pixel are read like RGBA."""
    image.tile = [tile._replace(args=_with_raw_mode(tile.args, "RGBA")) for tile in image.tile]
    stored = np.asarray(image).astype(np.uint16)
    grey, alpha = stored[..., 0] << 8 | stored[..., 1], stored[..., 2] << 8 | stored[..., 3]
    return np.dstack([grey, grey, grey, alpha])


def _scaled(values: np.ndarray, image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    colours = values[..., :3]
    depth = depth_of(int(colours.max()))
    channels = [to_8_bits(colours, depth)]
    if values.shape[2] == 4 and image.mode != "RGBX":
        alpha = values[..., 3:]
        channels.append(to_8_bits(alpha, depth_of(int(alpha.max()))))
    scaled = Image.fromarray(np.concatenate(channels, axis=2))
    if depth == 8:
        return scaled, ()
    return scaled, (f"16-bit colours were scaled to 8 bits: 0 to {2**depth - 1} ({depth} bits) became 0 to 255.",)


def _raw_mode(arguments: Any) -> str:
    """Of the arguments of a tile's decoder: the raw mode alone, or first of several."""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _with_raw_mode(arguments: Any, mode: str) -> Any:
    return (mode, *arguments[1:]) if isinstance(arguments, tuple) else mode
