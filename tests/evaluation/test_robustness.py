from __future__ import annotations

import numpy as np
import pytest
from helpers import answer, disc, picture

from busi_demo.data.busi import FileSample
from busi_demo.data.corruptions import CORRUPTIONS
from busi_demo.evaluation.card.tables import corruption_table
from busi_demo.evaluation.plots import corruptions_figure
from busi_demo.evaluation.robustness import measure_corruptions


class Sample(FileSample):
    """A malignant lesion in the middle of an image that is held in memory."""

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return picture(1, 96, 128), disc(96, 128, 48, 64, 20)


class MiddleOnly:
    """Says malignant where the image has its original size, and outlines a disc in its middle; else benign."""

    def predict(self, image: np.ndarray) -> object:
        height, width = image.shape
        mask = disc(height, width, height / 2, width / 2, 20)
        if (height, width) == (96, 128):
            return answer(mask)
        return answer(mask, probabilities={"benign": 0.6, "malignant": 0.3, "normal": 0.1})


@pytest.fixture
def measured(tmp_path):
    samples = [Sample(f"{i}.png", "malignant", str(i), tmp_path, ()) for i in range(2)]
    return measure_corruptions(lambda sample: MiddleOnly(), samples)


def test_values_by_hand(measured):
    assert measured["n"] == 2 and measured["severities"] == [1, 2, 3, 4, 5]
    assert list(measured["corruptions"]) == list(CORRUPTIONS)
    assert measured["clean"] == {"accuracy": 1.0, "lesion_dice": 1.0, "confidence": pytest.approx(0.7)}
    assert measured["corruptions"]["blur"] == [measured["clean"]] * 5
    margin = measured["corruptions"]["black margin"]
    assert [row["accuracy"] for row in margin] == [0.0] * 5
    assert [row["confidence"] for row in margin] == pytest.approx([0.6] * 5)
    assert [row["lesion_dice"] for row in margin] == pytest.approx([1.0] * 5)  # the mask moves along
    assert measured["corruptions"]["two views"][4]["lesion_dice"] < 0.4  # the second lesion is missed


def test_the_card_shows_the_middle_and_the_highest_severity(measured):
    text = corruption_table({"multitask_cnn": {"corruptions": measured}})
    assert text.startswith("Images: `multitask_cnn` 2.")
    assert "| `multitask_cnn` | none |  | 1.000 | 1.000 | 0.700 |" in text
    assert "| `multitask_cnn` | black margin | 3 | 0.000 | 1.000 | 0.600 |" in text
    assert text.count("black margin") == 2
    assert "Not measured" in corruption_table({"multitask_cnn": {}})


def test_the_figure_has_a_panel_for_each_corruption(measured):
    figure = corruptions_figure(measured, title="CNN")
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == list(CORRUPTIONS)
    (line,) = [line for line in panels[4].lines if line.get_label() == "accuracy"]
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 4, 5] and line.get_ydata().tolist() == [1, 0, 0, 0, 0, 0]
