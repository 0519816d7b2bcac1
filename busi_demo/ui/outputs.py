"""Output components in the form that every tab uses."""

from __future__ import annotations

from typing import Any

import gradio as gr

from busi_demo.ui import texts


def figure_output(**options: Any) -> gr.Image:
    """The output of a figure, with buttons to download it and to show it on the whole screen."""
    return gr.Image(
        label=texts.FIGURE, show_label=False, format="png", interactive=False, buttons=["download", "fullscreen"],
        **options,
    )  # fmt: skip
