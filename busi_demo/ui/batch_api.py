"""The endpoint `/batch` for programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.events import LONG


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
        from busi_demo.ui.batch_job import run_batch  # loads what the first page need not wait for

        if not files:
            raise gr.Error(texts.API_NO_FILES, print_exception=False)
        try:
            *_, end = run_batch(files, approach, table.GRADIO_CACHE)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return str(end.table), str(end.figures), end.rows

    gr.Button(visible=False).click(batch_endpoint, [files, approach], [table, figures, rows], api_name="batch", **LONG)
