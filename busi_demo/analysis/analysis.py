"""What the page does with an image: functions from files to what is shown, without Gradio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from busi_demo.analysis.answer import prediction_record
from busi_demo.analysis.figure import figure_image, figure_pdf, five_panels, png_bytes
from busi_demo.analysis.measurements import Measurements, measure
from busi_demo.analysis.report import report, report_json
from busi_demo.analysis.report_pdf import report_pdf
from busi_demo.analysis.trust import Trust, assess
from busi_demo.analysis.view import Settings
from busi_demo.imaging import read_mask
from busi_demo.inference.forward_pass import ForwardPass
from busi_demo.inference.predictor import load_predictor
from busi_demo.types import InputError, Prediction
from busi_demo.weights.known_images import KnownImage, seen_before

_FINEST, _COARSEST = 0.001, 5  # mm per pixel; ultrasound has about 0.1


@dataclass(frozen=True, eq=False)
class Analysis:
    """One image, seen by one approach, in a certain way.

    Attributes:
        title: name of the approach.
        prediction: its answer.
        ground_truth: bool (H, W), True inside the true lesion; `None` where it is unknown.
        record: the numbers, as JSON values, see `prediction_record`.
        settings: how it is seen.
        seconds: wall time of reading the image and of the network's one pass.
    """

    title: str
    prediction: Prediction
    ground_truth: np.ndarray | None
    record: dict[str, Any]
    settings: Settings
    seconds: float

    @property
    def measurements(self) -> Measurements | None:
        """Geometry of the predicted mask; `None` where it is empty."""
        return measure(self.prediction.mask, self.prediction.spacing)

    def figure(self, columns: int = 5) -> Image.Image:
        """The five panels as an RGB image, `columns` of them in a row."""
        return figure_image(self._panels(columns))

    def figure_png(self) -> bytes:
        """The five panels in a row as a PNG file."""
        return png_bytes(self.figure())

    def figure_pdf(self) -> bytes:
        """The five panels in a row as a PDF."""
        return figure_pdf(self._panels(5))

    def _panels(self, columns: int) -> Any:
        return five_panels(self.prediction, self.ground_truth, self.title, columns, self.settings.opacity)


@dataclass(frozen=True, eq=False)
class Examined:
    """One image after the network saw it, with its ground truth: all that a view needs.

    Attributes:
        title: name of the approach.
        look: what the network made of the image.
        ground_truth: bool (H, W), True inside the true lesion; `None` where it is unknown.
        notes: sentences on how the ground truth was read.
        trust: how far to trust the answer as the approach gives it, whatever the view.
        seen: the image of the training or test data that this one is, or nearly is; `None` where there is none.
        config: config.json of the weights.
    """

    title: str
    look: ForwardPass
    ground_truth: np.ndarray | None
    notes: tuple[str, ...]
    trust: Trust
    seen: KnownImage | None
    config: Mapping[str, Any]

    def view(self, settings: Settings) -> Analysis:
        """See the answer in a certain way; the network does not run.

        Raises:
            InputError: a setting is outside of its range.
        """
        prediction = self.look.prediction(settings.threshold, settings.cam_class, settings.cam_method)
        if settings.spacing is not None:
            if not _FINEST <= settings.spacing <= _COARSEST:
                raise InputError(
                    f"The pixel spacing must lie between {_FINEST} and {_COARSEST} mm per pixel, "
                    f"got {settings.spacing}."
                )
            prediction = replace(prediction, spacing=(settings.spacing, settings.spacing))
        record = prediction_record(prediction, self.ground_truth, self.notes)
        return Analysis(self.title, prediction, self.ground_truth, record, settings, self.look.seconds)

    def report(self, analysis: Analysis) -> dict[str, Any]:
        """All that is known of the answer as it is seen by `view`, in JSON values, see `busi_demo.report.report`."""
        settings = analysis.settings
        return report(
            analysis.prediction,
            self.config,
            title=self.title,
            settings={"cam_method": settings.cam_method, "cam_opacity": settings.opacity},
            ground_truth=self.ground_truth,
            measurements=analysis.measurements,
            trust=self.trust,
            seen=self.seen,
        )

    def report_json(self, settings: Settings) -> bytes:
        """The report as a JSON file."""
        return report_json(self.report(self.view(settings)))

    def report_pdf(self, settings: Settings) -> bytes:
        """The report as a PDF file, with the figure."""
        analysis = self.view(settings)
        return report_pdf(self.report(analysis), analysis.figure(columns=3))


def examine(image: str | Path, approach: str, mask: str | Path | None = None) -> Examined:
    """Run the network over one image file: once for the answer, and once over its mirror image for the trust in it.

    Args:
        image: path of the ultrasound.
        approach: a key of `busi_demo.models.APPROACHES`.
        mask: path of the true mask, if there is one.
    Raises:
        InputError: no such approach, its weights are missing, or a file cannot be used.
    """
    predictor = load_predictor(approach)
    look = predictor.forward_pass(image)
    truth, notes = read_mask(mask, look.grey.pixels.shape) if mask else (None, ())
    trust = assess(look.prediction(), predictor.predict, look.min_area)
    seen = seen_before(look.grey.pixels)
    return Examined(predictor.title, look, truth, notes, trust, seen, predictor.config)
