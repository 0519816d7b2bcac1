"""Input components that Gradio does not have."""

from __future__ import annotations

import os
from abc import ABCMeta
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta
from gradio.exceptions import InvalidPathError
from gradio.utils import get_upload_folder
from PIL import Image

from busi_demo.imaging import GreyImage
from busi_demo.ui import held, texts

_BROWSERS_SHOW = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


class WithoutStub(ComponentMeta):
    """Gradio's metaclass without the .pyi file that it writes beside the source of a subclass."""

    def __new__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> Any:
        return ABCMeta.__new__(cls, name, bases, attributes)


class ImageInput(gr.Image, metaclass=WithoutStub):
    """An image input that hands on the path of the uploaded file, unopened.

    Gradio itself would open the file first, and one that is no image would fail before our own reader can say what is
    wrong with it. Gradio checks that a path is an upload only where a client says that it is a file (`meta`).
    """

    is_template = True  # shown by the same front end as gr.Image

    def preprocess(self, payload: Any) -> str | None:
        """What the browser sent -> path of the file, or `None` where there is none.

        Raises:
            InvalidPathError: it is no upload.
        """
        if not payload or not payload.path:
            return None
        if not Path(os.path.realpath(payload.path)).is_relative_to(os.path.realpath(get_upload_folder())):
            raise InvalidPathError("The path is not that of an upload.")
        return payload.path


class TypedSlider(gr.Slider, metaclass=WithoutStub):
    """A slider whose number box may hold anything while a person types.

    Gradio refuses what is out of range, fails where nothing is, and shows the nearest number in range once the box
    is left, without a message. Here that number counts from the start.
    """

    is_template = True

    def preprocess(self, payload: float | None) -> float:
        """What stands in the box -> the nearest number in range; the least where there is none."""
        return super().preprocess(min(max(payload or 0, self.minimum), self.maximum))


def image_input(**options: Any) -> ImageInput:
    """An `ImageInput` for upload, drop and paste that keeps every bit of the file."""
    return ImageInput(
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard"],
        buttons=["fullscreen"],
        interactive=True,
        **options,
    )


def ultrasound_input(height: int, **options: Any) -> ImageInput:
    """The input of the ultrasound image; `height` in pixels."""
    return image_input(
        label=texts.IMAGE, placeholder=texts.IMAGE_PLACEHOLDER, alt_text=texts.IMAGE_ALT, height=height, **options
    )


def mask_input(**options: Any) -> ImageInput:
    """The input of its ground truth."""
    return image_input(
        label=texts.MASK, placeholder=texts.MASK_PLACEHOLDER, alt_text=texts.MASK_ALT, height=200, **options
    )


def stand_in(path: str, image: GreyImage, part: str) -> str | None:
    """A picture to show instead of an upload that browsers cannot show, such as TIFF, DICOM or one of several frames,
    which they would play, or that looks other than what was read of it.

    Args:
        path: the upload.
        image: the upload as read.
        part: of the page that holds it.
    Returns:
        Path of a PNG; `None` where none is needed.
    """
    if image.format in _BROWSERS_SHOW and image.frames == 1 and not image.looks_other:
        return None
    return held.save_png(Image.fromarray(image.pixels), f"{Path(path).stem}.png", part, of=path)
