"""TIFF files that Pillow does not know, or reads otherwise than they are meant."""

from __future__ import annotations

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

_COLORMAP, _SAMPLE_FORMAT = 320, 339  # tags
_UNSIGNED, _FLOAT = (1,), (3,)

# Big-endian WhiteIsZero of 16 bits, and unsigned integers of 32: Pillow's table has their little-endian forms alone. It
# has no numbers of 64 bits, though it can unpack them.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, _UNSIGNED, 1, (16,), ()), ("I;16B", "I;16B"))
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 1, _UNSIGNED, 1, (32,), ()), ("I", "I;32B"))
TiffImagePlugin.OPEN_INFO.setdefault((b"II", 1, _FLOAT, 1, (64,), ()), ("F", "F;64F"))
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 1, _FLOAT, 1, (64,), ()), ("F", "F;64BF"))


def forget_other_palette(image: Image.Image) -> None:
    """Forget the palette of another page of a TIFF file, in place: Pillow keeps that of the page it was at before, to
    count the pages for example, and paints pages without a palette with it. Call it after a change of page and before
    the pixels are loaded."""
    if isinstance(image, TiffImageFile) and image.mode not in ("P", "PA"):
        image.palette = None


def as_meant(image: TiffImageFile) -> Image.Image:
    """A TIFF image whose pixels are loaded: unsigned integers of 32 bits, which Pillow wraps, as mode "F", a palette of
    8-bit colours, which it takes for the lower half of 16-bit ones, with these; any other as it is."""
    if image.mode == "I" and tuple(image.tag_v2.get(_SAMPLE_FORMAT, _UNSIGNED)) == _UNSIGNED:
        return Image.fromarray(np.asarray(image).view(np.uint32).astype(np.float32))
    colours = image.tag_v2.get(_COLORMAP, ())
    if image.mode in ("P", "PA") and colours and max(colours) < 2**8:
        image.putpalette(np.array(colours, np.uint8).reshape(3, -1).T.tobytes())
    return image
