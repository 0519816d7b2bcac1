"""The answer of an approach with its trust, as tables and the command line need it."""

from __future__ import annotations

from busi_demo.analysis.answer import Answer
from busi_demo.analysis.trust import assess
from busi_demo.imaging import GreyImage, GroundTruth
from busi_demo.inference.forward_pass import ForwardPass
from busi_demo.inference.predictor import Predictor, SharedPasses


def trusted_answer(
    predictor: Predictor, grey: GreyImage, ground_truth: GroundTruth, shared: SharedPasses, analyse_anyway: bool
) -> Answer:
    """Predict and assess.

    Args:
        predictor: of one approach.
        grey, shared, analyse_anyway: as for `Predictor.predict`.
        ground_truth: of the image.
    """
    return trusted_view(predictor, predictor.forward_pass(grey, shared, analyse_anyway), ground_truth)


def trusted_view(predictor: Predictor, forward_pass: ForwardPass, ground_truth: GroundTruth) -> Answer:
    """Assess a forward pass of a predictor; the networks do not run."""
    prediction = forward_pass.prediction()
    return Answer(prediction, ground_truth, assess(prediction, predictor.trust_fit))
