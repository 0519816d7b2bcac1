"""The answer of an approach with its trust, as tables and the command line need it, and with a warning if the image was
used to make the weights."""

from __future__ import annotations

from dataclasses import replace

from busi_demo.analysis.answer import Answer
from busi_demo.analysis.trust import assess
from busi_demo.imaging import GreyImage, GroundTruth
from busi_demo.inference.forward_pass import ForwardPass
from busi_demo.inference.predictor import Predictor, SharedPasses
from busi_demo.types import Prediction
from busi_demo.weights.known_images import KnownImage, seen_before


def trusted_answer(
    predictor: Predictor,
    grey: GreyImage,
    ground_truth: GroundTruth,
    known: KnownImage | None,
    shared: SharedPasses,
    analyse_anyway: bool,
) -> Answer:
    """Predict and assess.

    Args:
        predictor: of one approach.
        grey, shared, analyse_anyway: as for `Predictor.predict`.
        ground_truth: of the image.
        known: from `known_image` of the image.
    """
    return trusted_view(predictor, predictor.forward_pass(grey, shared, analyse_anyway), ground_truth, known)


def trusted_view(
    predictor: Predictor, forward_pass: ForwardPass, ground_truth: GroundTruth, known: KnownImage | None
) -> Answer:
    """Assess a forward pass of a predictor; the networks do not run."""
    prediction = with_known(forward_pass.prediction(), known)
    return Answer(prediction, ground_truth, assess(prediction, predictor.trust_fit, known))


def known_image(grey: GreyImage) -> KnownImage | None:
    """The known image that an image matches as a whole, or else in its frame; `None` if there is none.

    Raises:
        InputError: the list of known images is damaged.
    """
    return seen_before(grey.pixels) or (seen_before(grey.framed) if grey.frame else None)


def with_known(prediction: Prediction, known: KnownImage | None) -> Prediction:
    """The prediction with the sentence on the known image among its warnings, unless it is withheld."""
    if known is None or prediction.input_check.withheld:
        return prediction
    return replace(prediction, warnings=(*prediction.warnings, known.sentence))
