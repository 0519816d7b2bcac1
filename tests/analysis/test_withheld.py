"""An answer that is not told is told nowhere: records, reports, warnings, comparisons and files."""

from __future__ import annotations

import json
import re

import pytest
from helpers import disc, save_grey

from busi_demo.analysis.analysis import analyse_image
from busi_demo.analysis.answer import consensus_record
from busi_demo.analysis.report import report
from busi_demo.analysis.report_pdf import report_pdf
from busi_demo.inference.consensus import consensus
from busi_demo.models import APPROACHES
from busi_demo.types import CLASSES, InputError

MASK = disc(200, 300, 90, 140, 40)  # refused: a picture of two tones

pytestmark = pytest.mark.usefixtures("stand_in_weights")


@pytest.fixture
def path(tmp_path):
    return save_grey(tmp_path / "mask.png", MASK)


@pytest.mark.parametrize("key", APPROACHES)
def test_the_report_says_why_and_nothing_else(key, path):
    analysis = analyse_image(path, key).analysis()
    content = report(analysis)
    assert analysis.answer.withheld and content["warnings"] == content["input_check"]["reasons"]
    assert set(content["answer"].values()) == {None}
    assert content["measurements"] is None and content["ground_truth"] is None and content["trust"] is None
    told = json.dumps([content["warnings"], analysis.answer.record()["warnings"], content["settings"]])
    assert not any(name in told for name in (*CLASSES, "outline", "probability"))


def test_the_figure_as_a_pdf_is_the_picture_and_the_report_is_refused_with_the_reasons(path):
    refused, asked = (analyse_image(path, "two_stage", analyse_anyway=anyway).analysis() for anyway in (False, True))
    page = refused.figure_pdf()
    assert b"/Width 300" in page and b"/Height 200" in page
    assert b"/BaseFont" not in page and b"/BaseFont" in asked.figure_pdf()  # no text at all
    with pytest.raises(InputError, match=re.escape(refused.prediction.input_check.reasons[0])):
        report_pdf(report(refused), refused.figure(columns=3))
    assert report_pdf(report(asked), asked.figure(columns=3)).startswith(b"%PDF")


def test_a_comparison_tells_no_overlap(path, predictors):
    found = consensus([predictors[key].predict(path) for key in APPROACHES])
    record = consensus_record(found)
    assert [record[name] for name in ("classes_agree", "median_dice", "disagree", "overlap")] == [None] * 4
    assert record["consensus"]["predicted_class"] is None
    assert record["consensus"]["warnings"] == record["consensus"]["input_check"]["reasons"]
    assert consensus_record(consensus([predictors[k].predict(path, analyse_anyway=True) for k in APPROACHES]))[
        "overlap"
    ]
