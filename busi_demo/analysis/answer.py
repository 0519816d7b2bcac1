"""A prediction with the ground truth, as a record and as a figure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from busi_demo.analysis.trust import Trust
from busi_demo.analysis.view import CAM_OPACITY
from busi_demo.imaging import UNKNOWN_TRUTH, GroundTruth
from busi_demo.imaging.masks import dice, iou
from busi_demo.inference.consensus import Consensus
from busi_demo.models import title_of
from busi_demo.types import Prediction

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True, eq=False)
class Answer:
    """A prediction with the ground truth. Checked when it is made.

    Attributes:
        prediction: of an approach or the consensus.
        ground_truth: of the same image.
        trust: how far to trust it; `None` if it was not assessed.
    Raises:
        InputError: the ground truth is not bool or has another shape than the image.
    """

    prediction: Prediction
    ground_truth: GroundTruth = UNKNOWN_TRUTH
    trust: Trust | None = None

    def __post_init__(self) -> None:
        self.ground_truth.check(self.prediction.image.shape)

    @property
    def withheld(self) -> bool:
        """Whether the input check refuses the picture: the record tells no class, and the figure is the picture."""
        return self.prediction.input_check.withheld

    @property
    def title(self) -> str:
        """Display name of the approach."""
        return title_of(self.prediction.approach)

    @property
    def dice(self) -> float | None:
        """Dice of the predicted mask with the ground truth, in [0, 1]; `None` if the ground truth is unknown."""
        truth = self.ground_truth.mask
        return None if truth is None else dice(self.prediction.mask, truth)

    @property
    def iou(self) -> float | None:
        """IoU of the predicted mask with the ground truth, in [0, 1]; `None` if the ground truth is unknown."""
        truth = self.ground_truth.mask
        return None if truth is None else iou(self.prediction.mask, truth)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of the prediction, then the notes on the ground truth."""
        return (*self.prediction.warnings, *self.ground_truth.notes)

    def record(self) -> dict[str, Any]:
        """The answer as plain JSON values, without its maps: approach, predicted_class, probabilities,
        lesion_area_fraction, dice, iou, warnings, seconds and input_check (verdict, reasons, and the frame as x0, y0,
        x1, y1, which is the whole image if no part of it was chosen); unknown and withheld values are `None`."""
        prediction, told = self.prediction, not self.withheld
        return {
            "approach": prediction.approach,
            "predicted_class": prediction.predicted_class if told else None,
            "probabilities": dict(prediction.probabilities) if told else None,
            "lesion_area_fraction": prediction.lesion_area_fraction if told else None,
            "dice": self.dice if told else None,
            "iou": self.iou if told else None,
            "warnings": list(self.warnings),
            "seconds": prediction.seconds,
            "input_check": {
                "verdict": prediction.input_check.verdict.value,
                "reasons": list(prediction.input_check.reasons),
                "frame": list(prediction.frame_box),
            },
            **trust_record(self.trust if told else None),
        }

    def figure(
        self,
        columns: int | None = None,
        opacity: float = CAM_OPACITY,
        title: str | None = None,
        uncertainty: bool = False,
    ) -> Image.Image:
        """The panels as an RGB image; arguments and errors as in `figure.draw_figure`.

        Args:
            title: heading before the probabilities; `None`: `self.title`.
        """
        from PIL import Image

        return Image.fromarray(self._pixels(columns, opacity, title, uncertainty))

    def figure_png(self, columns: int | None = None, opacity: float = CAM_OPACITY, uncertainty: bool = False) -> bytes:
        """The panels as a PNG file; arguments as in `figure`."""
        from busi_demo.analysis.png import png_bytes

        return png_bytes(self._pixels(columns, opacity, None, uncertainty))

    def figure_pdf(self, columns: int | None = None, opacity: float = CAM_OPACITY, uncertainty: bool = False) -> bytes:
        """The panels, or the picture alone where the answer is withheld, as a PDF of one page; arguments as in
        `figure`."""
        from busi_demo.analysis.figure_pdf import draw_panels, draw_plain, figure_pdf

        prediction, truth = self.prediction, self.ground_truth.mask
        if self.withheld:
            return figure_pdf(draw_plain(prediction.image))
        return figure_pdf(draw_panels(prediction, truth, self.title, columns, opacity, uncertainty))

    def _pixels(self, columns: int | None, opacity: float, title: str | None, uncertainty: bool) -> np.ndarray:
        """The panels, or the picture alone where the answer is withheld: uint8 (height, width, 3)."""
        from busi_demo.analysis.figure import draw_figure, plain_image  # a table of answers needs neither

        prediction, truth = self.prediction, self.ground_truth.mask
        if self.withheld:
            return plain_image(prediction.image)
        return draw_figure(prediction, truth, title or self.title, columns, opacity, uncertainty)


def trust_record(trust: Trust | None) -> dict[str, Any]:
    """What trust says, as plain JSON values: trust (level), prediction_set (confidence level -> classes) and
    expected_dice (value, low, high); unknown values are `None`."""
    if trust is None:
        return {"trust": None, "prediction_set": None, "expected_dice": None}
    return {
        "trust": {"level": trust.level.name.lower()},
        "prediction_set": {level: list(classes) for level, classes in trust.prediction_set.items()} or None,
        "expected_dice": None if trust.expected_dice is None else asdict(trust.expected_dice),
    }


def consensus_record(consensus: Consensus, ground_truth: GroundTruth = UNKNOWN_TRUTH) -> dict[str, Any]:
    """A comparison as plain JSON values, without its maps.

    Args:
        consensus: of the approaches.
        ground_truth: of the same image.
    Returns:
        consensus: the record of the answer of the consensus.
        approaches: the record of the answer of each member.
        classes_agree, median_dice, disagree: as in `Consensus`.
        overlap: key -> key -> Dice of the two masks. These four are `None` where the consensus is withheld.
    Raises:
        InputError: the ground truth is not bool or has another shape than the image.
    """
    keys = [member.approach for member in consensus.members]
    overlap = [dict(zip(keys, row, strict=True)) for row in consensus.overlap.tolist()]
    together = Answer(consensus.prediction, ground_truth)
    agreement = {
        "classes_agree": consensus.classes_agree,
        "median_dice": consensus.median_dice,
        "disagree": consensus.disagree,
        "overlap": dict(zip(keys, overlap, strict=True)),
    }
    return {
        "consensus": together.record(),
        "approaches": [Answer(member, ground_truth).record() for member in consensus.members],
        **(dict.fromkeys(agreement) if together.withheld else agreement),
    }
