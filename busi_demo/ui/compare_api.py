"""The endpoint `/compare` for programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.events import MODEL


def declare_compare_endpoint(image: gr.Image, mask: gr.Image) -> None:
    """Declare `/compare`, inside an open `gr.Blocks`.

    Args:
        image, mask: the inputs whose types and defaults the endpoint has.
    """
    figures = gr.Gallery(label="five panels of each approach, then of the consensus", format="png", visible=False)
    record = gr.JSON(label="numbers", visible=False)
    gr.Button(visible=False).click(compare_endpoint, [image, mask], [figures, record], api_name="compare", **MODEL)


def compare_endpoint(image: str | None, mask: str | None = None) -> tuple[list[tuple[Any, str]], dict[str, Any]]:
    """Compare all approaches on one breast ultrasound image. Research demo, not a medical device.

    Args:
        image: the ultrasound image, a PNG, JPEG, BMP, TIFF, WebP, GIF or DICOM file.
        mask: the ground-truth mask, a file that is white inside the lesion; optional, adds Dice and IoU.
    Returns:
        the five-panel figures (PNG) with their approach's name, the last of them the consensus; and as JSON the
        numbers of the consensus and of each approach, whether they agree (classes_agree, median_dice, disagree), and
        the overlap of each pair of masks. Where `disagree` is true, do not rely on any of them.
    """
    from busi_demo.consensus import consensus_record  # loads what the first page need not wait for
    from busi_demo.ui.comparison import compare, panels, title_of

    if not image:
        raise gr.Error(texts.API_NO_IMAGE, print_exception=False)
    try:
        *_, known = compare(image, mask)
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error
    if known.consensus is None:
        raise gr.Error(texts.NO_CONSENSUS, print_exception=False)
    shown = [*known.predictions, known.consensus.prediction]
    figures = [(panels(prediction, known.ground_truth, 5), title_of(prediction.approach)) for prediction in shown]
    return figures, consensus_record(known.consensus, known.ground_truth, known.notes)
