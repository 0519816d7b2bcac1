from __future__ import annotations

import csv
import errno
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import disc, picture, save_grey

from busi_demo.batch.analyse import analyse_item
from busi_demo.batch.items import BatchItem, LeftOut, StoredFile, find_items
from busi_demo.batch.rows import COLUMNS, counts, csv_text, left_out_csv, referral, referred_first
from busi_demo.imaging import GreyImage
from busi_demo.inference.consensus import DISAGREEMENT
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.types import CLASSES, Agreement, Prediction

TRUTH = disc(72, 96, 30, 30, 9) | disc(72, 96, 30, 70, 9)


class Fixed:
    """A predictor that outlines the left half of every image, or columns of it, and calls it malignant, or benign."""

    def __init__(
        self, key: str, error: Exception | None = None, columns: slice = slice(48), benign: bool = False
    ) -> None:
        self.key, self.error, self.trust_fit = key, error, None
        self.columns, self.shares = columns, (*(0.123456, 0.876443)[:: -1 if benign else 1], 0.000101)

    def forward_pass(self, image: GreyImage, shared: object, analyse_anyway: bool) -> SimpleNamespace:
        if self.error:
            raise self.error
        return SimpleNamespace(prediction=self.prediction)

    def prediction(self) -> Prediction:
        mask = np.zeros((72, 96), dtype=bool)
        mask[:, self.columns] = True
        return Prediction(
            approach=self.key, image=picture(1), mask=mask, mask_probability=mask.astype(np.float32),
            probabilities=dict(zip(CLASSES, self.shares, strict=True)), cam=mask.astype(np.float32),
            cam_class="malignant", cam_peak=1.0, threshold=0.5, agreement=Agreement.AGREES, warnings=("Dark.",),
        )  # fmt: skip


@pytest.fixture
def item(tmp_path: Path) -> BatchItem:
    """An image with two lesions, each in its own mask."""
    folder = tmp_path / "malignant"
    save_grey(folder / "a.png", picture(1))
    save_grey(folder / "a_mask.png", disc(72, 96, 30, 30, 9))
    save_grey(folder / "a_mask_1.png", disc(72, 96, 30, 70, 9))
    return find_items([tmp_path])[0]


def test_a_row_by_hand(item):
    (found,) = analyse_item(item, [Fixed("two_stage")])
    assert tuple(found.row) == COLUMNS
    both = disc(72, 96, 30, 30, 9).sum()  # of the two discs, alike in size, the left one is inside
    assert found.row == {
        "image": "malignant/a.png", "true_class": "malignant", "approach": "two_stage", "input_check": "accepted",
        "predicted_class": "malignant",
        "p_benign": 0.1235, "p_malignant": 0.8764, "p_normal": 0.0001, "lesion_area_fraction": 0.5,
        "trust": "amber", "set_95": None, "expected_dice": None, "refer": "no",
        "dice": round(2 * both / (72 * 48 + 2 * both), 4), "iou": round(both / (72 * 48 + both), 4),
        "width": 96, "height": 72, "warnings": "Dark.", "error": None}  # fmt: skip
    np.testing.assert_array_equal(found.answer.ground_truth.mask, TRUTH)
    assert found.figure_name == "malignant/a.png.two_stage.png"
    assert found.answer.figure().width > 2 * found.answer.figure().height


def test_without_a_mask_there_is_no_overlap(item):
    (found,) = analyse_item(replace(item, masks=()), [Fixed("two_stage")])
    assert found.row["dice"] is None and found.row["iou"] is None and found.answer.ground_truth.mask is None


def test_a_refused_picture_has_a_row_with_its_reasons_and_no_figure(item, predictors, tmp_path):
    even = np.random.default_rng(0).integers(100, 105, (200, 300)).astype(np.uint8)
    drawing = StoredFile(save_grey(tmp_path / "even.png", even))
    (found,) = analyse_item(replace(item, image=drawing, masks=()), [predictors["multitask_cnn"]])
    row = found.row
    assert row["input_check"] == "refused" and row["error"] is None and "almost nothing to see" in row["warnings"]
    assert [row[name] for name in ("predicted_class", "p_benign", "lesion_area_fraction")] == [None] * 3
    assert found.figure_png() is None
    (found,) = analyse_item(replace(item, image=drawing, masks=()), [predictors["multitask_cnn"]], analyse_anyway=True)
    assert found.row["predicted_class"] in CLASSES and found.figure_png().startswith(b"\x89PNG")


def test_several_approaches_and_their_consensus(item):
    found = analyse_item(item, [Fixed(key) for key in APPROACHES])
    assert [f.row["approach"] for f in found] == [*APPROACHES, CONSENSUS]
    assert found[-1].row["p_malignant"] == 0.8764


@pytest.mark.parametrize(
    ("other", "expected"),
    [({}, "no"), ({"benign": True}, "yes"), ({"columns": slice(60, 90)}, "yes")],
    ids=["agree", "classes", "outlines"],
)
def test_an_image_on_which_the_approaches_disagree_is_referred_to_a_person(item, other, expected):
    """Also where each of them is sure of its own answer."""
    found = analyse_item(item, [Fixed("two_stage"), Fixed("multitask_cnn", **other)])
    rows = [f.row for f in found]
    assert [row["refer"] for row in rows] == ["no", "no", expected]
    assert referral(rows).startswith("1 of 1 " if expected == "yes" else "0 of 1 ")
    calm = dict.fromkeys(COLUMNS) | {"image": "calm.png", "refer": "no"}
    assert referred_first([calm, *rows])[-1 if expected == "yes" else 0] is calm


def test_the_consensus_is_referred_where_one_approach_is(item):
    unsure = Fixed("multitask_cnn")
    unsure.shares = (0.45, 0.35, 0.2)
    rows = [f.row for f in analyse_item(item, [Fixed("two_stage", benign=True), unsure])]
    assert [row["refer"] for row in rows] == ["no", "yes", "yes"] and DISAGREEMENT not in rows[-1]["warnings"]


def test_rows_of_an_image_that_was_used_in_training_say_so(item, put_on_list):
    known = put_on_list(picture(1))
    found = analyse_item(item, [Fixed("two_stage"), Fixed("multitask_cnn")])
    assert len(found) == 3 and all(known.sentence in f.row["warnings"] for f in found)
    (other,) = analyse_item(replace(item, image=item.masks[0], masks=()), [Fixed("two_stage")], analyse_anyway=True)
    assert other.row["warnings"] == "Dark."


def test_each_file_is_decoded_once_for_all_approaches(item, predictors, decoded):
    found = analyse_item(item, list(predictors.values()))
    assert len(found) == len(APPROACHES) + 1 and found[0].row["error"] is None
    assert [Path(path).name for path in decoded] == ["a.png", "a_mask.png", "a_mask_1.png"]


@pytest.mark.parametrize("change", [
    {"image": "bad"}, {"masks": "bad"}, {"image": None, "fault": "bad.png is a mask."},
])  # fmt: skip
def test_a_file_that_cannot_be_used_gives_one_row_with_the_reason(item, predictors, tmp_path, change):
    (tmp_path / "bad.png").write_text("not an image")
    bad = StoredFile(tmp_path / "bad.png")
    values = {"image": bad} if change.get("image") else {"masks": (bad,)} if "masks" in change else change
    (found,) = analyse_item(replace(item, **values), [predictors["multitask_cnn"]])
    assert found.row["error"].startswith("bad.png") and found.row["error"].endswith(".")
    known = {name for name, value in found.row.items() if value is not None}
    assert known == {"image", "true_class", "error"} and found.answer is None


def test_an_unexpected_error_gives_one_row(item, caplog):
    (found,) = analyse_item(item, [Fixed("two_stage", ZeroDivisionError("boom"))])
    assert found.row["error"] == "malignant/a.png could not be analysed (ZeroDivisionError): leave it out."
    assert "ValueError" in caplog.text or "Error" in caplog.text
    assert item.name not in caplog.text


def test_a_row_contains_no_path_of_the_server(item, caplog):
    full = OSError(errno.ENOSPC, "No space left on device", "/srv/uploads/a.png")
    (found,) = analyse_item(item, [Fixed("two_stage", full)])
    assert found.row["error"] == "malignant/a.png could not be read (No space left on device): try it again."
    assert "could not be read" in caplog.text and "/srv/uploads" not in caplog.text and "a.png" not in caplog.text


def test_csv_can_be_read_and_contains_no_formula(item):
    row = analyse_item(item, [Fixed("two_stage")])[0].row
    text = csv_text([row, dict.fromkeys(COLUMNS) | {"image": '=1+1,"', "error": "no"}])
    assert "\r" not in text and text.endswith("\n")
    first, second = csv.DictReader(io.StringIO(text))
    assert tuple(first) == COLUMNS
    assert first == {name: "" if value is None else str(value) for name, value in row.items()}
    assert second["image"] == "'=1+1,\""


def test_no_formula_where_semicolons_separate_cells(item):
    names = ("a;=cmd()", 'a;"=1+1;', 'a; ""=1', "a; =cmd()", "-1;+1;b", "\uff1d1", "a;b=1", "\t=1")
    text = csv_text([dict.fromkeys(COLUMNS) | {"image": name, "error": "no"} for name in names])
    for separator in ",;":
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            assert not any(cell.strip().startswith(("=", "+", "-", "\uff1d")) for cell in row), row
    images = [row["image"] for row in csv.DictReader(io.StringIO(text))]
    assert images == ["a;'=cmd()", "a;\"'=1+1;", 'a; ""\'=1', "a; '=cmd()", "'-1;'+1;b", "'\uff1d1", "a;b=1", "'\t=1"]


def test_a_carriage_return_starts_no_row():
    for text in (
        csv_text([dict.fromkeys(COLUMNS) | {"image": "a\r=cmd|calc.png", "error": "no"}]),
        left_out_csv([LeftOut("a\r=cmd|calc", "is no image")]),
    ):
        assert "\r" not in text
        _, row = csv.reader(io.StringIO(text))
        assert row[0].startswith("a\n=cmd|calc")


def test_images_and_failures_are_counted():
    rows = [{"image": "a", "error": None}, {"image": "a", "error": None}, {"image": "b", "error": "no"}]
    assert counts(rows) == (2, 1)
