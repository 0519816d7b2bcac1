"""Endpoints for programs; gradio_client and the page's API link show them with their documentation."""

from __future__ import annotations

from typing import Any

import gradio as gr

from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.events import MODEL


def declare_analyse_endpoint(image: gr.Image, approach: gr.Radio, mask: gr.Image) -> None:
    """Declare `/analyse`, inside an open `gr.Blocks`.

    Args:
        image, approach, mask: the inputs whose types and defaults the endpoint has.
    """
    figure = gr.Image(label="five panels", format="png", visible=False)
    probabilities = gr.Label(label="class and probabilities", visible=False)
    record = gr.JSON(label="numbers", visible=False)
    gr.Button(visible=False).click(
        analyse_endpoint, [image, approach, mask], [figure, probabilities, record], api_name="analyse", **MODEL
    )


def analyse_endpoint(image: str | None, approach: str, mask: str | None = None) -> tuple[Any, dict[str, float], dict]:
    """Segment, classify and explain one breast ultrasound image. Research demo, not a medical device.

    Args:
        image: the ultrasound image, a PNG, JPEG, BMP, TIFF, WebP, GIF or DICOM file.
        approach: key of the approach: two_stage, multitask_resnet50, multitask_cnn or multitask_unet (the default).
        mask: the ground-truth mask, a file that is white inside the lesion; optional, adds Dice and IoU.
    Returns:
        the five-panel figure (PNG), the predicted class with all probabilities, and all numbers as JSON.
    """
    from busi_demo.ui.analysis import analyse  # loads what the first page need not wait for

    if not image:
        raise gr.Error(texts.API_NO_IMAGE, print_exception=False)
    try:
        found = analyse(image, approach, mask)
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return found.figure(), dict(found.prediction.probabilities), found.record
