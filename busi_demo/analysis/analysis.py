"""The analysis of one image by one approach: all that the page and the report show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from busi_demo.analysis.answer import Answer
from busi_demo.analysis.measurements import Measurements, measure
from busi_demo.analysis.trust import Trust, assess
from busi_demo.analysis.trusted import known_image
from busi_demo.analysis.view import DEFAULT_VIEW, View
from busi_demo.imaging import UNKNOWN_TRUTH, GroundTruth, Source, read_image
from busi_demo.inference.accelerate import Choice
from busi_demo.inference.forward_pass import ForwardPass
from busi_demo.inference.predictor import load_predictor
from busi_demo.types import InputError, Prediction
from busi_demo.weights.known_images import KnownImage, known_images_available

if TYPE_CHECKING:
    from PIL import Image

_FINEST, _COARSEST = 0.001, 5  # mm per pixel; ultrasound has about 0.1


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """Facts about an image and an approach that do not depend on the view.

    Attributes:
        trust: how far to trust the answer at the approach's own threshold; `None` if it was not assessed.
        known_image: the known image that this one matches; `None` if there is none.
        known_images_available: whether there is a list of known images; without one no match can be found.
        config: config.json of the weights.
        engine: what runs the networks; `None` if it is unknown.
    """

    trust: Trust | None = None
    known_image: KnownImage | None = None
    known_images_available: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    engine: Choice | None = None


@dataclass(frozen=True, eq=False)
class Analysis:
    """An answer and its facts in one view: all that a page or a report shows.

    Attributes:
        answer: the prediction in this view, with the ground truth.
        facts: independent of the view.
        view: threshold, class activation map and pixel spacing.
    """

    answer: Answer
    facts: ImageFacts = ImageFacts()
    view: View = DEFAULT_VIEW

    @property
    def prediction(self) -> Prediction:
        """The prediction of the answer."""
        return self.answer.prediction

    @property
    def measurements(self) -> Measurements | None:
        """Geometry of the predicted mask; `None` if the mask is empty."""
        return measure(self.prediction.mask, self.prediction.spacing, self.prediction.aspect)

    def figure(self, columns: int | None = None) -> Image.Image:
        """The panels as an RGB image, `columns` of them in a row; `None`: all."""
        return self.answer.figure(columns, self.view.opacity, uncertainty=self.view.uncertainty)

    def figure_png(self) -> bytes:
        """The panels in a row as a PNG file."""
        return self.answer.figure_png(opacity=self.view.opacity, uncertainty=self.view.uncertainty)

    def figure_pdf(self) -> bytes:
        """The panels in a row as a PDF file."""
        return self.answer.figure_pdf(opacity=self.view.opacity, uncertainty=self.view.uncertainty)


@dataclass(frozen=True, eq=False)
class AnalysedImage:
    """One image after the forward pass. Every view of its answer is computed from this object without the network.

    Attributes:
        forward_pass: the kept forward pass.
        ground_truth: of the image.
        facts: independent of the view.
    """

    forward_pass: ForwardPass
    ground_truth: GroundTruth
    facts: ImageFacts

    def analysis(self, view: View = DEFAULT_VIEW) -> Analysis:
        """The analysis in a view.

        Raises:
            InputError: a setting of the view is out of range.
        """
        prediction = self.forward_pass.prediction(view.threshold, view.cam_class, view.cam_method)
        if view.spacing is not None:
            if not _FINEST <= view.spacing <= _COARSEST:
                raise InputError(
                    f"The pixel spacing must lie between {_FINEST} and {_COARSEST} mm per pixel, got {view.spacing}."
                )
            height, width = prediction.pixel_sides
            prediction = replace(prediction, spacing=(view.spacing * height / width, view.spacing))
        return Analysis(Answer(prediction, self.ground_truth, self.facts.trust), self.facts, view)


def analyse_image(
    image: Source, approach: str, ground_truth: GroundTruth = UNKNOWN_TRUTH, analyse_anyway: bool = False
) -> AnalysedImage:
    """Run the network on an image. The answer on an image that the input check refuses is not checked further.

    Args:
        image: as for `read_image`; a `GreyImage` is not decoded again.
        approach: a key of `busi_demo.models.APPROACHES`.
        ground_truth: of the image, from `read_ground_truth`.
        analyse_anyway: as for `Predictor.predict`.
    Raises:
        InputError: no such approach, its weights are missing, the image cannot be used, or the ground truth is not bool
            or has another shape than the image.
    """
    predictor, grey = load_predictor(approach), read_image(image)
    ground_truth.check(grey.pixels.shape)  # before the network runs
    forward_pass = predictor.forward_pass(grey, analyse_anyway=analyse_anyway)
    withheld = forward_pass.input_check.withheld
    known = known_image(grey)
    trust = None if withheld else assess(forward_pass.prediction(), predictor.trust_fit, known)
    facts = ImageFacts(trust, known, known_images_available(), predictor.config, predictor.engine)
    return AnalysedImage(forward_pass, ground_truth, facts)
