"""The examples that ship with the project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

EXAMPLES_FOLDER = Path(__file__).resolve().parents[2] / "examples"
_THUMBNAIL = (320, 320)


@dataclass(frozen=True)
class Example:
    """One gallery image.

    Attributes:
        image, mask: the picture and the true mask, as Pillow images.
        label: true class.
        description: one line on what it shows.
    """

    image: Image.Image
    mask: Image.Image
    label: str
    description: str

    @property
    def thumbnail(self) -> Image.Image:
        """The image, at most 320 pixels a side."""
        small = self.image.copy()
        small.thumbnail(_THUMBNAIL)
        return small


def load_examples(folder: Path = EXAMPLES_FOLDER) -> tuple[Example, ...]:
    """Read `examples.json` and the files it names; nothing where there is none, for the page works without."""
    try:
        rows = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(
        Example(_read(folder / row["image"]), _read(folder / row["mask"]), row["label"], row["description"])
        for row in rows
    )


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("L")
