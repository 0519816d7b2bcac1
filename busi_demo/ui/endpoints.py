"""Endpoints for programs; gradio_client and the page's API link show them with their documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import gradio as gr

from busi_demo.analysis.view import CAM_OPACITY, View
from busi_demo.imaging import read_ground_truth, read_image
from busi_demo.imaging.crop import parse_crop, with_crop
from busi_demo.inference.cam_methods import CAM_METHODS, DEFAULT_CAM_METHOD
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.types import CLASSES, InputError
from busi_demo.ui import held, texts
from busi_demo.ui.analyse.controls import PREDICTED
from busi_demo.ui.events import LONG, PROGRAM

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _listed(keys: Iterable[str], default: str) -> str:
    return ", ".join(f"{key} (the default)" if key == default else key for key in keys)


def _with_keys(endpoint: _Function) -> _Function:
    """Write the keys of approaches and CAM methods into the docstring, which Gradio and MCP show."""
    documentation = endpoint.__doc__ or ""
    documentation = documentation.replace("APPROACH_KEYS", _listed(APPROACHES, DEFAULT_APPROACH))
    endpoint.__doc__ = documentation.replace("CAM_METHOD_KEYS", _listed(CAM_METHODS, DEFAULT_CAM_METHOD))
    return endpoint


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
    crop = gr.Textbox(label="crop", visible=False)
    anyway = gr.Checkbox(label="analyse anyway", visible=False)
    figure = gr.Image(label="five panels", format="png", visible=False)
    probabilities = gr.Label(label="class and probabilities", visible=False)
    record = gr.JSON(label="numbers", visible=False)
    gr.Button(visible=False).click(
        analyse_endpoint,
        [image, approach, mask, threshold, cam_class, cam_method, opacity, spacing, crop, anyway],
        [figure, probabilities, record],
        api_name="analyse",
        **PROGRAM,
    )


@_with_keys
def analyse_endpoint(
    image: str | None,
    approach: str,
    mask: str | None = None,
    threshold: float | None = None,
    cam_class: str = PREDICTED,
    cam_method: str = DEFAULT_CAM_METHOD,
    opacity: float = CAM_OPACITY,
    spacing: float | None = None,
    crop: str | None = None,
    analyse_anyway: bool = False,
) -> tuple[str, dict[str, float], dict]:
    """Segment, classify and explain one breast ultrasound image. Research demo, not a medical device.

    Args:
        image: the ultrasound image, a DICOM, PNG, JPEG, BMP, TIFF, WebP or GIF file.
        approach: key of the approach: APPROACH_KEYS.
        mask: the ground-truth mask, a file that is white inside the lesion; optional, adds Dice and IoU.
        threshold: lowest mask probability of a lesion pixel, between 0 and 1; without it that of the approach,
            with a mask that agrees with the class.
        cam_class: the class that the map explains: benign, malignant, normal, or predicted (the default).
        cam_method: how the map is made: CAM_METHOD_KEYS.
        opacity: of the map's strongest pixel in the overlay, 0 to 1.
        spacing: width of a pixel in millimetres, 0.001 to 5; without it what the file says, else lengths are in pixels.
        crop: the part that is ultrasound, as "x0,y0,x1,y1" in pixels of the image; without it that part is found.
        analyse_anyway: tell the answer on a picture that does not look like a breast ultrasound, too.
    Returns:
        the five-panel figure (PNG), the predicted class with all probabilities, and all numbers as JSON: among them
        measurements of the lesion, how far to trust the answer, and the training or test image that this one is.
    """
    from busi_demo.analysis.analysis import analyse_image  # loads what the first page need not wait for
    from busi_demo.analysis.report import report

    if not image:
        raise gr.Error(texts.API_NO_IMAGE, print_exception=False)
    view = View(threshold, None if cam_class == PREDICTED else cam_class, cam_method, opacity, spacing)
    try:
        grey = with_crop(read_image(image), parse_crop(crop))
        truth = read_ground_truth(mask, grey.pixels.shape)
        analysis = analyse_image(grey, approach, truth, analyse_anyway).analysis(view)
        content = report(analysis)
        more = {name: content[name] for name in ("measurements", "trust", "seen", "known_images_available")}
        record = analysis.answer.record() | more
        return held.save_figure(analysis.figure(), None), record["probabilities"] or {}, record
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
    anyway = gr.Checkbox(label="analyse anyway", visible=False)
    frames = gr.Checkbox(label="all frames", visible=False)

    @_with_keys
    def batch_endpoint(
        files: list[str], approach: str, analyse_anyway: bool = False, all_frames: bool = False
    ) -> tuple[str, str, list[dict[str, Any]]]:
        """Analyse many breast ultrasound images. Research demo, not a medical device.

        Args:
            files: image files (PNG, JPEG, BMP, TIFF, WebP, GIF, DICOM) and zip archives of them; NAME_mask.png beside
                NAME.png is its ground truth.
            approach: key of the approach: APPROACH_KEYS; or all, for each of them and their consensus.
            analyse_anyway: tell the answers on pictures that do not look like a breast ultrasound, too.
            all_frames: analyse each frame of a file that has several, instead of one of them.
        Returns:
            the table (CSV in UTF-8 with a byte order mark, as Excel needs it), a zip archive of the table and the
            five-panel figures, and the rows as JSON; a file that could not be used is a row with its error.
        """
        from busi_demo.ui.batch.job import run_batch  # loads what the first page need not wait for

        if not files:
            raise gr.Error(texts.API_NO_FILES, print_exception=False)
        try:
            *_, end = run_batch(files, approach, table.GRADIO_CACHE, analyse_anyway=analyse_anyway,
                                all_frames=all_frames)  # fmt: skip
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return str(end.table), str(end.figures), end.rows

    gr.Button(visible=False).click(
        batch_endpoint, [files, approach, anyway, frames], [table, figures, rows], api_name="batch", **LONG
    )


def declare_compare_endpoint(image: gr.Image, mask: gr.Image) -> None:
    """Declare `/compare`, inside an open `gr.Blocks`.

    Args:
        image, mask: the inputs whose types and defaults the endpoint has.
    """
    figures = gr.Gallery(label="five panels of each approach, then of the consensus", format="png", visible=False)
    record = gr.JSON(label="numbers", visible=False)
    anyway = gr.Checkbox(label="analyse anyway", visible=False)
    inputs = [image, mask, anyway]
    gr.Button(visible=False).click(compare_endpoint, inputs, [figures, record], api_name="compare", **PROGRAM)


def compare_endpoint(
    image: str | None, mask: str | None = None, analyse_anyway: bool = False
) -> tuple[list[tuple[Any, str]], dict[str, Any]]:
    """Compare all approaches on one breast ultrasound image. Research demo, not a medical device.

    Args:
        image: the ultrasound image, a PNG, JPEG, BMP, TIFF, WebP, GIF or DICOM file.
        mask: the ground-truth mask, a file that is white inside the lesion; optional, adds Dice and IoU.
        analyse_anyway: tell the answers on a picture that does not look like a breast ultrasound, too.
    Returns:
        the five-panel figures (PNG) with their approach's name, the last of them the consensus; and as JSON the
        numbers of the consensus and of each approach, whether they agree (classes_agree, median_dice, disagree), and
        the overlap of each pair of masks. Where `disagree` is true, do not rely on any of them.
    """
    from busi_demo.analysis.answer import consensus_record  # loads what the first page need not wait for
    from busi_demo.ui.compare.comparison import compare

    if not image:
        raise gr.Error(texts.API_NO_IMAGE, print_exception=False)
    try:
        grey = read_image(image)
        *_, known = compare(grey, read_ground_truth(mask, grey.pixels.shape), analyse_anyway)
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error
    if known.consensus is None or known.together is None:
        raise gr.Error(texts.NO_CONSENSUS, print_exception=False)
    figures = [(held.save_figure(answer.figure(), None), answer.title) for answer in (*known.answered, known.together)]
    return figures, consensus_record(known.consensus, known.together.ground_truth)
