"""Read the example images of the gallery."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from busi_demo.project import ROOT

EXAMPLES_FOLDER = ROOT / "examples"


_THUMBNAIL = (320, 320)


@dataclass(frozen=True)
class Example:
    """One gallery image.

    Attributes:
        image, mask: the picture and the true mask, as Pillow images.
        label: true class.
        description: one line on what it shows.
        real: whether it is a held-out image of a data set, not a simulated one.
    """

    image: Image.Image
    mask: Image.Image
    label: str
    description: str
    real: bool = False

    @property
    def thumbnail(self) -> Image.Image:
        """The image, at most 320 pixels a side."""
        small = self.image.copy()
        small.thumbnail(_THUMBNAIL)
        return small


def load_examples(folder: Path = EXAMPLES_FOLDER) -> tuple[Example, ...]:
    """Read `examples.json` and the files it names, here and in `real/`, which `python -m busi_demo examples` makes;
    an empty tuple if there is none, since the page works without examples."""
    return _load(folder, real=False) + _load(folder / "real", real=True)


def _load(folder: Path, real: bool) -> tuple[Example, ...]:
    try:
        rows = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(
        Example(_read(folder / row["image"]), _read(folder / row["mask"]), row["label"], row["description"], real)
        for row in rows
    )


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("L")
