from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from helpers import answer, disc, picture
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from trusted import FIT

from busi_demo.analysis.analysis import Analysis, ImageFacts
from busi_demo.analysis.answer import Answer
from busi_demo.analysis.outline import outline_features
from busi_demo.analysis.report import NOT_A_DEVICE, report, report_json
from busi_demo.analysis.report_pdf import report_pages, report_pdf
from busi_demo.analysis.trust import assess
from busi_demo.imaging import GroundTruth
from busi_demo.inference.accelerate import Choice
from busi_demo.models import APPROACHES
from busi_demo.types import CLASSES
from busi_demo.weights.known_images import KnownImage

CONFIG = {"sha256": "ab" * 32, "git_commit": "cd" * 20, "parameters": 5}
MASK = disc(72, 96, 30, 40, 15)
PREDICTION = answer(
    MASK, image=picture(0, 72, 96), threshold=0.4, warnings=("The image has a tint.",), spacing=(0.2, 0.1)
)
PANELS = Image.new("RGB", (900, 500))


FITTED = replace(FIT, dice={"inside": 1.0, "constant": -0.1} | dict.fromkeys(outline_features(PREDICTION), 0.0),
                 dice_interval=(-0.2, 0.1), green=0.6)  # fmt: skip


def full() -> dict:
    truth = disc(72, 96, 30, 40, 12)
    seen = KnownImage("benign (1).png", "BUSI", "benign", "train", "0" * 16)
    engine = Choice("openvino", "It is fast.", {"eager": 2.0, "openvino": 1.0})
    facts = ImageFacts(assess(PREDICTION, FITTED), seen, True, CONFIG, engine)
    created = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    return report(Analysis(Answer(PREDICTION, GroundTruth(truth)), facts), created)


def bare() -> dict:
    nothing = np.zeros_like(MASK)
    probabilities = dict(zip(CLASSES, (0.1, 0.1, 0.8), strict=True))
    prediction = replace(PREDICTION, mask=nothing, probabilities=probabilities, warnings=(), spacing=None)
    return report(Analysis(Answer(prediction), ImageFacts(known_images_available=True)))


def texts(page: Figure) -> str:
    return "\n".join(text.get_text() for text in page.texts)


def test_the_report_has_the_model_the_settings_and_the_time():
    content = full()
    assert (content["schema"], content["schema_version"]) == ("busi_demo.report", 1)
    assert content["created"] == "2026-01-02T01:04:05+00:00"
    assert content["model"] == {
        "approach": "multitask_cnn", "title": APPROACHES["multitask_cnn"].title, "weights_sha256": "ab" * 32,
        "git_commit": "cd" * 20,
        "engine": {"engine": "openvino", "reason": "It is fast.", "milliseconds": {"eager": 2.0, "openvino": 1.0}},
    }  # fmt: skip
    assert content["settings"] == {
        "mask_threshold": 0.4,
        "cam_class": "malignant",
        "cam_method": "grad_cam",
        "cam_opacity": 0.55,
    }
    assert content["image"] == {"width": 96, "height": 72, "spacing_mm": [0.2, 0.1], "frame": [0, 0, 96, 72]}
    assert content["disclaimer"] == NOT_A_DEVICE


def test_the_report_has_the_results():
    content = full()
    assert content["answer"]["predicted_class"] == "malignant"
    assert content["measurements"]["area"] == pytest.approx(MASK.sum() * 0.02)
    assert content["ground_truth"]["dice"] == pytest.approx(2 * 441 / (441 + MASK.sum()))  # the small disc is inside
    assert content["trust"]["level"] == "green" and len(content["trust"]["checks"]) == 2
    assert content["prediction_set"] == {"0.90": ["malignant"], "0.95": ["malignant"]}
    assert content["trust"]["rate"].endswith("95 were right.")
    assert content["seen"]["split"] == "train" and content["warnings"] == ["The image has a tint."]


def test_the_report_tells_the_frame():
    prediction = replace(PREDICTION, frame=(10, 5, 90, 70))
    content = report(Analysis(Answer(prediction), ImageFacts(config=CONFIG)))
    assert content["image"]["frame"] == [10, 5, 90, 70]
    assert "x 10 to 90 and y 5 to 70" in texts(list(report_pages(content, PANELS))[1])
    assert "Part used" not in texts(list(report_pages(full(), PANELS))[1])


def test_trust_at_another_threshold_has_a_reservation():
    assert full()["trust"]["reservation"] is None
    trust = assess(replace(PREDICTION, threshold=0.5), None)
    content = report(Analysis(Answer(PREDICTION), ImageFacts(trust, config=CONFIG)))
    assert content["trust"]["reservation"] == trust.reservation(0.4)
    for page in report_pages(content, PANELS):
        assert "own threshold of 0.5, not at the chosen 0.4" in texts(page).replace("\n", " ")


def test_unknown_values_are_null():
    content = bare()
    assert [name for name, value in content.items() if value is None] == [
        "ground_truth", "measurements", "trust", "prediction_set", "expected_dice", "seen",
    ]  # fmt: skip
    assert content["model"]["weights_sha256"] is None and content["image"]["spacing_mm"] is None


def test_the_default_time_is_now():
    age = datetime.now(UTC) - datetime.fromisoformat(bare()["created"])
    assert timedelta(seconds=-1) <= age < timedelta(minutes=1)


@pytest.mark.parametrize("make", [full, bare])
def test_json_holds_the_whole_report(make):
    content = make()
    assert json.loads(report_json(content)) == json.loads(json.dumps(content)) != {}


@pytest.mark.parametrize("make", [full, bare])
def test_the_pdf_is_made_from_the_json_values(make):
    data = report_pdf(json.loads(report_json(make())), PANELS)
    assert data.startswith(b"%PDF-") and b"/Count 2" in data


def test_the_numbers_are_on_the_second_page():
    first, second = report_pages(full(), PANELS)
    assert "benign 20.0%, malignant 70.0%, normal 10.0%" in texts(first)
    for words in (
        "ab" * 32,
        "cd" * 20,
        "taller than wide",
        "mm²",
        "A sure class",
        "Left open at 95 %",
        "95 were right",
        "CAM method",
        "BUSI: benign",
    ):
        assert words in texts(second).replace("\n", " ")
    for page in (first, second):
        assert "not a medical device" in texts(page)


def test_missing_values_are_given_in_words():
    _, second = report_pages(bare(), PANELS)
    for words in ("nothing to measure", "Not examined", "no ground truth given", "no match found", "unknown"):
        assert words in texts(second)


def test_without_the_list_of_known_images_a_match_is_unknown():
    content = report(Analysis(Answer(PREDICTION), ImageFacts(known_images_available=False)))
    assert content["seen"] is None and content["known_images_available"] is False
    _, second = report_pages(content, PANELS)
    assert "unknown: the list of known images is missing" in texts(second)
    assert "no match found" not in texts(second)


@pytest.mark.parametrize("size", [(900, 500), (300, 3000), (3000, 200)])
@pytest.mark.parametrize("warnings", [(), ("A note that is not short. " * 12,) * 9])
def test_all_text_stays_on_the_page_and_above_the_disclaimer(size, warnings):
    content = full() | {"warnings": list(warnings)}
    for page in report_pages(content, Image.new("RGB", size)):
        renderer = FigureCanvasAgg(page).get_renderer()
        boxes = [text.get_window_extent(renderer) for text in page.texts] + [axes.bbox for axes in page.axes]
        assert all(page.bbox.x0 <= box.x0 and box.x1 <= page.bbox.x1 for box in boxes)
        last = [box.y1 for box, text in zip(boxes, page.texts, strict=False) if text.get_color() == "#b3261e"]
        assert len(last) == 2 and all(box.y0 > max(last) or box.y1 in last for box in boxes)
        assert all(axes.bbox.width > 10 for axes in page.axes)
        assert ("More stands in the JSON" in texts(page)) == (bool(warnings) and not page.axes)
