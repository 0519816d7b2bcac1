"""The answer of an approach with its trust, as tables and the command line need it."""

from __future__ import annotations

from busi_demo.analysis.answer import Answer
from busi_demo.analysis.trust import assess
from busi_demo.imaging import GreyImage, GroundTruth
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
    prediction = predictor.predict(grey, shared, analyse_anyway)
    return Answer(prediction, ground_truth, assess(prediction, predictor.trust_fit))
