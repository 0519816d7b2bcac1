"""The controls that change how an answer is seen."""

from __future__ import annotations

from typing import Any

import gradio as gr

from busi_demo.analysis.view import CAM_OPACITY, View
from busi_demo.imaging.masks import THRESHOLD
from busi_demo.inference.cam_methods import CAM_METHODS, DEFAULT_CAM_METHOD
from busi_demo.types import CLASSES
from busi_demo.ui import texts
from busi_demo.ui.inputs import TypedSlider
from busi_demo.ui.session import Session

PREDICTED = "predicted"
_STEP = 0.01


class Controls:
    """Threshold, opacity, class and method of the CAM, in a row, made inside an open `gr.Blocks`.

    Attributes:
        components: in the order in which `view_of` takes their values.
    """

    def __init__(self) -> None:
        with gr.Row(elem_id="controls"):
            self.threshold = TypedSlider(
                0.01, 0.99, THRESHOLD, step=_STEP, label=texts.THRESHOLD, info=texts.THRESHOLD_INFO,
                buttons=[], min_width=220, elem_id="threshold",
            )  # fmt: skip
            self.opacity = TypedSlider(
                0, 1, CAM_OPACITY, step=0.05, label=texts.OPACITY, info=texts.OPACITY_INFO,
                buttons=[], min_width=220, elem_id="opacity",
            )  # fmt: skip
            self.cam_class = gr.Dropdown(
                [(texts.PREDICTED_CLASS, PREDICTED), *((name, name) for name in CLASSES)], value=PREDICTED,
                label=texts.CAM_CLASS, info=texts.CAM_CLASS_INFO, filterable=False, min_width=200, elem_id="cam-class",
            )  # fmt: skip
            self.method = gr.Dropdown(
                [(method.title, key) for key, method in CAM_METHODS.items()], value=DEFAULT_CAM_METHOD,
                label=texts.CAM_METHOD, info=texts.CAM_METHOD_INFO, filterable=False, min_width=220,
                elem_id="cam-method",
            )  # fmt: skip
        self.uncertainty = gr.Checkbox(label=texts.UNCERTAINTY, container=False, elem_id="uncertainty")
        self.components = [self.threshold, self.opacity, self.cam_class, self.method]

    def defaults(self, session: Session) -> tuple[Any, ...]:
        """Default values of all components."""
        threshold = session.analysed.forward_pass.threshold if session.analysed else THRESHOLD
        return threshold, CAM_OPACITY, PREDICTED, DEFAULT_CAM_METHOD


def view_of(
    session: Session,
    threshold: float,
    opacity: float,
    cam_class: str,
    method: str,
    spacing: float | None,
    uncertainty: bool = False,
) -> View:
    """The view that the controls describe.

    A threshold that equals the one of the approach counts as not chosen: the mask then agrees with the class.
    """
    own = session.analysed.forward_pass.threshold if session.analysed else THRESHOLD
    return View(
        threshold=None if abs(threshold - own) < _STEP / 2 else threshold,
        cam_class=None if cam_class == PREDICTED else cam_class,
        cam_method=method,
        opacity=opacity,
        spacing=spacing or None,
        uncertainty=bool(uncertainty),
    )
