"""Files that the clients of a soak send."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers import write_dicom
from PIL import Image

from busi_demo.data.phantom import make_phantom

NO_PICTURES = ("cut.png", "text.png", "page.html")
"""Those of `make_files` that are refused."""


def make_files(folder: Path) -> dict[str, Path]:
    """Pictures of several kinds, and files that are no ultrasound or no pictures; name -> path."""
    folder.mkdir()
    for i, (label, name) in enumerate(
        (("benign", "valid.png"), ("malignant", "b.jpg"), ("normal", "c.tif"), ("benign", "d.webp"))
    ):
        Image.fromarray(make_phantom(label, 4_400_000 + i, 360, 440).image).save(folder / name)
    write_dicom(folder / "e.dcm", make_phantom("malignant", 4_400_009, 300, 400).image, 0.1)
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    whole = (folder / "valid.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_bytes(b"this is no picture")
    (folder / "page.html").write_bytes(b"<!DOCTYPE html><html></html>")
    return {path.name: path for path in sorted(folder.iterdir())}


def pictures(folder: Path, count: int, seed: int) -> list[Path]:
    """So many different pictures, in a new folder."""
    folder.mkdir()
    files = [folder / f"{i}.png" for i in range(count)]
    for i, file in enumerate(files):
        Image.fromarray(make_phantom(("benign", "malignant")[i % 2], seed + i, 360, 440).image).save(file)
    return files
