"""The examples that ship with the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from busi_demo.gallery.load import Example
from busi_demo.ui import texts


def example_gallery(examples: Sequence[Example], **options: Any) -> gr.Gallery:
    """One row of thumbnails to click."""
    return gr.Gallery(
        [(example.thumbnail, caption(example)) for example in examples],
        show_label=False, columns=len(examples), height="auto", format="png", object_fit="cover",
        allow_preview=False, interactive=False, buttons=[], **options,
    )  # fmt: skip


def caption(example: Example) -> str:
    """What stands below an example in the gallery."""
    return texts.REAL_EXAMPLE.format(example.label) if example.real else example.label
