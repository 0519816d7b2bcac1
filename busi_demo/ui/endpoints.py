"""Endpoints for programs; gradio_client and the page's API link show them with their documentation."""

from __future__ import annotations

from typing import Any

import gradio as gr

from busi_demo.analysis.view import Settings
from busi_demo.inference.cam_methods import CAM_METHODS, CAM_OPACITY, DEFAULT_CAM_METHOD
from busi_demo.models import title_of
from busi_demo.types import CLASSES, InputError
from busi_demo.ui import texts
from busi_demo.ui.analyse.controls import PREDICTED
from busi_demo.ui.events import LONG, MODEL


def declare_analyse_endpoint(image: gr.Image, approach: gr.Radio, mask: gr.Image) -> None:
    """Declare `/analyse`, inside an open `gr.Blocks`.

    Args:
        image, approach, mask: the inputs whose types and defaults the endpoint has.
    """
    threshold = gr.Number(label="mask threshold", visible=False)
    cam_class = gr.Dropdown([PREDICTED, *CLASSES], value=PREDICTED, label="class to explain", visible=False)
    cam_method = gr.Dropdown(list(CAM_METHODS), value=DEFAULT_CAM_METHOD, label="CAM method", visible=False)
    opacity = gr.Number(CAM_OPACITY, label="CAM opacity", visible=False)
    spacing = gr.Number(label="millimetres per pixel", visible=False)
    figure = gr.Image(label="five panels", format="png", visible=False)
    probabilities = gr.Label(label="class and probabilities", visible=False)
    record = gr.JSON(label="numbers", visible=False)
    gr.Button(visible=False).click(
        analyse_endpoint,
        [image, approach, mask, threshold, cam_class, cam_method, opacity, spacing],
        [figure, probabilities, record],
        api_name="analyse",
        **MODEL,
    )


def analyse_endpoint(
    image: str | None,
    approach: str,
    mask: str | None = None,
    threshold: float | None = None,
    cam_class: str = PREDICTED,
    cam_method: str = DEFAULT_CAM_METHOD,
    opacity: float = CAM_OPACITY,
    spacing: float | None = None,
) -> tuple[Any, dict[str, float], dict]:
    """Segment, classify and explain one breast ultrasound image. Research demo, not a medical device.

    Args:
        image: the ultrasound image, a DICOM, PNG, JPEG, BMP, TIFF, WebP or GIF file.
        approach: key of the approach: two_stage, multitask_resnet50, multitask_cnn or multitask_unet (the default).
        mask: the ground-truth mask, a file that is white inside the lesion; optional, adds Dice and IoU.
        threshold: mask probability, between 0 and 1, from which a pixel counts as lesion; without it that of the
            approach, with a mask that agrees with the class.
        cam_class: the class that the map explains: benign, malignant, normal, or predicted (the default).
        cam_method: how the map is made: grad_cam (the default), grad_cam_plus_plus, hires_cam, layer_cam, xgrad_cam or
            eigen_cam.
        opacity: of the map's strongest pixel in the overlay, 0 to 1.
        spacing: millimetres per pixel, 0.001 to 5; without it what the file says, else measurements are in pixels.
    Returns:
        the five-panel figure (PNG), the predicted class with all probabilities, and all numbers as JSON: among them
        measurements of the lesion, how far to trust the answer, and the training or test image that this one is.
    """
    from busi_demo.analysis.analysis import examine  # loads what the first page need not wait for

    if not image:
        raise gr.Error(texts.API_NO_IMAGE, print_exception=False)
    settings = Settings(threshold, None if cam_class == PREDICTED else cam_class, cam_method, opacity, spacing)
    try:
        examined = examine(image, approach, mask)
        found = examined.view(settings)
        report = examined.report(found)
        more = {name: report[name] for name in ("measurements", "trust", "seen")}
        return found.figure(), dict(found.prediction.probabilities), found.record | more
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error


def declare_batch_endpoint(files: gr.File, approach: gr.Dropdown) -> None:
    """Declare `/batch`, inside an open `gr.Blocks`.

    Args:
        files, approach: the inputs whose types and defaults the endpoint has.
    """
    table = gr.File(label="table (CSV)", visible=False)
    figures = gr.File(label="figures (zip)", visible=False)
    rows = gr.JSON(label="rows", visible=False)

    def batch_endpoint(files: list[str], approach: str) -> tuple[str, str, list[dict[str, Any]]]:
        """Analyse many breast ultrasound images. Research demo, not a medical device.

        Args:
            files: image files (PNG, JPEG, BMP, TIFF, WebP, GIF, DICOM) and zip archives of them; NAME_mask.png beside
                NAME.png is its ground truth.
            approach: key of the approach: two_stage, multitask_resnet50, multitask_cnn or multitask_unet (the default);
                or all, for each of them and their consensus.
        Returns:
            the table (CSV), a zip archive of the table and the five-panel figures, and the rows as JSON; a file that
            could not be used is a row with its error.
        """
        from busi_demo.ui.batch.job import run_batch  # loads what the first page need not wait for

        if not files:
            raise gr.Error(texts.API_NO_FILES, print_exception=False)
        try:
            *_, end = run_batch(files, approach, table.GRADIO_CACHE)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return str(end.table), str(end.figures), end.rows

    gr.Button(visible=False).click(batch_endpoint, [files, approach], [table, figures, rows], api_name="batch", **LONG)


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
    from busi_demo.analysis.answer import consensus_record  # loads what the first page need not wait for
    from busi_demo.ui.compare.comparison import compare, panels

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
