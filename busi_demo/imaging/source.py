"""Where an image comes from: a path, bytes or memory, and how each is called and opened."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from busi_demo.types import InputError

Source = str | Path | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, or an image in memory."""

EXPECTED = "a PNG, JPEG, BMP, TIFF, WebP, GIF or DICOM image"

MAX_PIXELS = 25_000_000
"""Largest image that is decoded; what is larger is taken for a mistake or a decompression bomb."""


def name_of(source: Source) -> str:
    """What a message calls the source: a path by its last part, lest a server's folders show."""
    return Path(source).name if isinstance(source, str | Path) else "The given image"


def open_stream(source: str | Path | bytes) -> BinaryIO:
    """Open a file or wrap its bytes for reading, from the start.

    Raises:
        InputError: there is no such file, it cannot be opened, or it is empty.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else _open_file(Path(source))
    if not stream.read(1):
        stream.close()
        raise InputError(f"{name_of(source)} is empty (0 bytes), expected {EXPECTED}: copy or upload it again.")
    stream.seek(0)
    return stream


def too_large(name: str) -> InputError:
    """What to raise for an image of more than `MAX_PIXELS`."""
    return InputError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels, the most that is read: shrink it.")


def _open_file(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, expected one file: name {EXPECTED} in it.")
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist, expected {EXPECTED}: check the path.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be opened ({error}), expected {EXPECTED}: check the path.") from error
