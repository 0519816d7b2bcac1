"""Output components that Gradio does not have."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from PIL import Image

from busi_demo.ui import texts
from busi_demo.ui.inputs import WithoutStub


class FigureImage(gr.Image, metaclass=WithoutStub):
    """An image output whose figures are encoded by `analysis.figure.png_bytes`, in a third of the time that Gradio's
    own encoding takes."""

    is_template = True  # shown by the same front end as gr.Image

    def postprocess(self, value: Any) -> Any:
        """A Pillow image of mode "RGB", or whatever `gr.Image` takes -> what the browser is sent."""
        if isinstance(value, Image.Image):
            from busi_demo.analysis.figure import png_bytes  # loads what the first page need not wait for

            value = save_bytes_to_cache(png_bytes(value), "figure.png", self.GRADIO_CACHE)
        return super().postprocess(value)


def figure_output(**options: Any) -> FigureImage:
    """The output of a figure, with buttons to download it and to show it on the whole screen."""
    return FigureImage(
        label=texts.FIGURE, show_label=False, format="png", interactive=False, buttons=["download", "fullscreen"],
        **options,
    )  # fmt: skip
