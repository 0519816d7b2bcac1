from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from figures import SHAPES, TITLES, answer, box
from helpers import disc
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from busi_demo.analysis.answer import Answer
from busi_demo.analysis.figure_pdf import draw_panels, figure_pdf
from busi_demo.analysis.panels import (
    CAM_COLOURS,
    DISCLAIMER,
    MISSED,
    PANELS,
    PREDICTED,
    TOO_MUCH,
    TRUTH,
    Panel,
    PanelPicture,
)
from busi_demo.analysis.view import CAM_OPACITY
from busi_demo.imaging.text import percent
from busi_demo.inference.cam_methods import CAM_METHODS
from busi_demo.types import InputError
from busi_demo.ui.html import figure_alt


def panels(figure: Figure) -> dict[str, Axes]:
    """The panels by their titles, in the order in which they were added."""
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def words(artist: Figure | Axes) -> str:
    """All text of a figure or a panel; line breaks become blanks."""
    texts = [text.get_text() for text in artist.findobj(Text) if text.get_visible()]
    return " ".join(" ".join(texts).split())


def outlines(panel: Axes) -> dict[str, tuple[float, ...]]:
    """Colour of each outline -> left, top, right, bottom of its line in pixels of the image."""
    return {
        to_hex(lines.get_edgecolor()[0]).upper(): lines.get_paths()[0].get_extents().extents.tolist()
        for lines in panel.findobj(ContourSet)
        if not lines.filled
    }


def hatched(panel: Axes) -> dict[str, tuple[float, ...]]:
    """Hatch of each hatched area -> its left, top, right, bottom in pixels of the image."""
    return {
        areas.hatches[0]: areas.get_paths()[0].get_extents().extents.tolist()
        for areas in panel.findobj(ContourSet)
        if areas.filled
    }


@pytest.mark.parametrize(("columns", "rows"), [(1, 5), (2, 3), (3, 2), (4, 2), (5, 1)])
def test_the_panels_are_in_reading_order(columns, rows):
    found = panels(draw_panels(answer(), columns=columns))
    assert tuple(found) == ("Input", "Ground truth", "Predicted mask", "Grad-CAM", "Overlay")
    places = [axes.get_position() for axes in found.values()]
    assert [round(place.x0, 6) for place in places] == [round(places[i % columns].x0, 6) for i in range(5)]
    assert len({round(place.x0, 6) for place in places}) == columns
    assert len({round(place.y0, 6) for place in places}) == rows
    assert list(found) == [name for _, _, name in sorted((-p.y0, p.x0, n) for p, n in zip(places, found, strict=True))]


def test_a_row_of_the_list_adds_a_panel(monkeypatch):
    text = "Input, ground truth, predicted mask, class activation map and overlay by Multi-task"
    assert figure_alt(Answer(answer())).startswith(text)
    before, wide = draw_panels(answer()), Answer(answer()).figure()
    new = Panel("size", lambda _: PanelPicture(caption=("here",)), lambda prediction: f"Size by {prediction.approach}")
    monkeypatch.setattr("busi_demo.analysis.panels.PANELS", (*PANELS, new))
    figure = draw_panels(answer())
    shown = panels(figure)
    assert list(shown)[5] == "Size by multitask_cnn" and "here" in words(shown["Size by multitask_cnn"])
    assert len({axes.get_position().y0 for axes in shown.values()}) == 1
    share = figure.get_figwidth() / before.get_figwidth()
    assert share > 1.15
    assert Answer(answer()).figure().width == pytest.approx(wide.width * share, abs=1)
    assert "map, overlay and size by Multi-task" in figure_alt(Answer(answer()))


def test_every_panel_shows_its_map():
    prediction, truth = answer(), disc(30, 40, 12, 20, 6)
    found = panels(draw_panels(prediction, truth))
    expected = (prediction.image, truth, prediction.mask, prediction.cam, prediction.image)
    for (name, panel), pixels in zip(found.items(), expected, strict=True):
        shown = panel.images[0]
        assert np.array_equal(shown.get_array(), pixels), name
        assert (shown.norm.vmin, shown.norm.vmax) == (0, 255 if pixels.dtype == np.uint8 else 1)
        assert panel.get_xlim() == (-0.5, 39.5) and panel.get_ylim() == (29.5, -0.5), name
    assert np.array_equal(found["Overlay"].images[1].get_array(), prediction.cam)


def test_a_large_image_is_shrunk_and_keeps_its_coordinates():
    # 4000 rows become 1000, of the 500 columns none is lost, and a single pixel still shows
    prediction = answer((4000, 500), box((4000, 500), slice(400, 1200), slice(100, 300)))
    found = panels(draw_panels(prediction, box((4000, 500), slice(2001, 2002), slice(400, 401))))
    for panel in found.values():
        assert all(shown.get_array().shape == (1000, 500) for shown in panel.images)
        assert panel.get_xlim() == (-0.5, 499.5) and panel.get_ylim() == (3999.5, -0.5)
    means = prediction.image.reshape(1000, 4, 500).mean(axis=1)
    np.testing.assert_allclose(found["Input"].images[0].get_array(), means, atol=1e-3)
    assert np.array_equal(found["Predicted mask"].images[0].get_array(), prediction.mask[::4])
    assert outlines(found["Overlay"]) == {
        PREDICTED["color"]: [99.5, 399.5, 299.5, 1199.5], TRUTH["color"]: [399.5, 1999.5, 400.5, 2003.5],
    }  # fmt: skip
    assert "500 × 4000 pixels" in words(found["Input"])
    assert "lesion: 8.0% of the image" in words(found["Predicted mask"])


@pytest.mark.parametrize("shape", SHAPES)
def test_panels_keep_the_aspect_ratio_of_the_image(shape):
    for name, panel in panels(draw_panels(answer(shape), columns=3)).items():
        assert panel.bbox.height / panel.bbox.width == pytest.approx(shape[0] / shape[1], rel=1e-6), name


def test_a_missing_ground_truth_is_shown_as_not_provided():
    found = panels(draw_panels(answer()))
    assert words(found["Ground truth"]) == "not provided Ground truth"
    assert not found["Ground truth"].images
    assert "Dice" not in words(found["Predicted mask"])
    assert list(outlines(found["Overlay"])) == [PREDICTED["color"]]
    assert words(found["Overlay"].get_legend()) == "predicted"


def test_the_captions_below_the_masks():
    # 10 x 10 predicted, 10 x 20 true, 10 x 5 in both, of 1200 pixels: Dice 100 / 300, IoU 50 / 250
    found = panels(draw_panels(answer(), box((30, 40), slice(5, 15), slice(11, 31))))
    assert "30 × 40" not in words(found["Input"]) and "40 × 30 pixels" in words(found["Input"])
    assert "lesion: 16.7% of the image" in words(found["Ground truth"])
    assert "lesion: 8.3% of the image Dice 0.33 · IoU 0.20" in words(found["Predicted mask"])


def test_outlines_differ_in_colour_and_lie_on_the_border_of_their_mask():
    truth = box((30, 40), slice(20, 30), slice(0, 8))  # cut by the left and the lower edge
    overlay = panels(draw_panels(answer(), truth))["Overlay"]
    assert outlines(overlay) == {PREDICTED["color"]: [5.5, 4.5, 15.5, 14.5], TRUTH["color"]: [-0.5, 19.5, 7.5, 29.5]}
    assert PREDICTED["color"] != TRUTH["color"] and PREDICTED["linestyle"] != TRUTH["linestyle"]
    legend = overlay.get_legend()
    handles = dict(zip([text.get_text() for text in legend.get_texts()], legend.legend_handles, strict=True))
    assert {label: (handles[label].get_color(), handles[label].get_linestyle()) for label in list(handles)[:2]} == {
        "predicted": (PREDICTED["color"], "-"), "ground truth": (TRUTH["color"], "--"),
    }  # fmt: skip


def test_areas_where_the_masks_disagree_are_hatched_and_labelled():
    # columns 6 to 15 predicted, 11 to 20 true, of rows 5 to 14: 5 columns too many, 5 missed
    overlay = panels(draw_panels(answer(), box((30, 40), slice(5, 15), slice(11, 21))))["Overlay"]
    assert hatched(overlay) == {
        TOO_MUCH["hatch"]: [5.5, 4.5, 10.5, 14.5], MISSED["hatch"]: [15.5, 4.5, 20.5, 14.5],
    }  # fmt: skip
    legend = overlay.get_legend()
    assert words(legend) == "predicted ground truth too much missed"
    too_much, missed = legend.legend_handles[2:]
    assert too_much.get_hatch()[0] == TOO_MUCH["hatch"][0] != MISSED["hatch"][0] == missed.get_hatch()[0]


def test_the_legend_lists_only_what_is_drawn():
    predicted = answer().mask
    assert words(panels(draw_panels(answer(), predicted))["Overlay"].get_legend()) == "predicted ground truth"
    nothing = np.zeros_like(predicted)
    found = panels(draw_panels(answer(), nothing))["Overlay"]
    assert words(found.get_legend()) == "predicted too much" and list(hatched(found)) == [TOO_MUCH["hatch"]]
    found = panels(draw_panels(answer(mask=nothing), predicted))["Overlay"]
    assert words(found.get_legend()) == "ground truth missed" and list(hatched(found)) == [MISSED["hatch"]]


def test_without_any_lesion_there_is_no_outline():
    empty = np.zeros((30, 40), dtype=bool)
    found = panels(draw_panels(answer(mask=empty), empty))
    assert not outlines(found["Overlay"]) and found["Overlay"].get_legend() is None
    assert "no lesion to outline" in words(found["Overlay"])
    assert words(found["Ground truth"]) == "no lesion Ground truth"
    assert "no lesion Dice 1.00 · IoU 1.00" in words(found["Predicted mask"])


@pytest.mark.parametrize("shape", [(30, 40), (800, 60)])
def test_the_cam_has_a_colour_bar_wide_enough_to_read(shape):
    figure = draw_panels(answer(shape))
    figure.draw_without_rendering()
    panel = panels(figure)["Grad-CAM"]
    (bar,) = panel.child_axes
    assert panel.images[0].cmap.name == bar.collections[-1].cmap.name == CAM_COLOURS
    assert bar.get_xlim() == (0, 1)
    assert [label.get_text() for label in bar.get_xticklabels()] == ["0", "0.5", "1"]
    assert "class evidence for malignant" in words(bar) and "1 = strongest pixel (3.1 logit units)" in words(bar)
    assert bar.get_window_extent().width >= 1.5 * figure.dpi
    assert bar.get_window_extent().y1 < panel.bbox.y0


def test_a_map_without_positive_evidence_is_replaced_by_a_sentence():
    found = panels(draw_panels(answer(evidence=False)))
    assert "no positive evidence for malignant" in words(found["Grad-CAM"])
    assert not found["Grad-CAM"].images and not found["Grad-CAM"].child_axes
    assert len(found["Overlay"].images) == 1


def test_the_overlay_is_stronger_where_the_evidence_is():
    prediction = answer()
    alpha = panels(draw_panels(prediction))["Overlay"].images[1].get_alpha()
    np.testing.assert_allclose(alpha, prediction.cam * CAM_OPACITY)
    alpha = panels(draw_panels(prediction, opacity=0.9))["Overlay"].images[1].get_alpha()
    np.testing.assert_allclose(alpha, prediction.cam * 0.9)
    assert len(panels(draw_panels(prediction, opacity=0))["Overlay"].images) == 1


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_a_wrong_opacity_is_refused(opacity):
    with pytest.raises(InputError, match="opacity of the CAM must lie between 0 and 1, got"):
        draw_panels(answer(), opacity=opacity)


@pytest.mark.parametrize("key", CAM_METHODS)
def test_the_fourth_panel_names_the_method_and_what_it_shows(key):
    found = panels(draw_panels(replace(answer(), cam_method=key)))
    assert tuple(found) == ("Input", "Ground truth", "Predicted mask", CAM_METHODS[key].title, "Overlay")
    (bar,) = found[CAM_METHODS[key].title].child_axes
    assert ("for malignant" in words(bar)) == (key != "eigen_cam")
    assert ("logit units" in words(bar)) == (key in ("grad_cam", "hires_cam", "layer_cam", "xgrad_cam"))


@pytest.mark.parametrize("columns", range(1, 6))
def test_the_heading_names_class_probabilities_and_approach(columns):
    text = words(draw_panels(answer(), title="Compact network", columns=columns))
    assert "Predicted class: malignant (71.2%)" in text
    assert "benign 20.0% · malignant 71.2% · normal 8.8%" in text
    assert ("Compact network · benign" if columns > 2 else "Compact network benign") in text
    assert "multitask_cnn" not in text
    assert DISCLAIMER in text
    assert "multitask_cnn" in words(draw_panels(answer(), columns=columns))


@pytest.mark.parametrize(("share", "text"), [
    (0.0, "0.0%"), (1e-9, "<0.1%"), (0.0009, "<0.1%"), (0.001, "0.1%"), (0.25, "25.0%"), (0.999, "99.9%"),
    (0.9991, ">99.9%"), (1 - 1e-9, ">99.9%"), (1.0, "100.0%"),
])  # fmt: skip
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(("truth", "message"), [
    (np.zeros((40, 30), dtype=bool), r"bool \(30, 40\) like the image, got bool \(40, 30\)"),
    (np.zeros((30, 40), dtype=np.uint8), r"bool \(30, 40\) like the image, got uint8 \(30, 40\)"),
    (np.zeros((30, 40, 1), dtype=bool), r"got bool \(30, 40, 1\)"),
])  # fmt: skip
def test_a_wrong_ground_truth_is_refused(truth, message):
    with pytest.raises(InputError, match=message):
        draw_panels(answer(), truth)


@pytest.mark.parametrize("columns", [-1, 0, 6])
def test_a_wrong_number_of_columns_is_refused(columns):
    with pytest.raises(ValueError, match=f"columns must be 1 to 5, got {columns}"):
        draw_panels(answer(), columns=columns)


@pytest.mark.parametrize(("evidence", "title"), [(True, "short"), (False, "long")])
@pytest.mark.parametrize("columns", [1, 2, 5])
@pytest.mark.parametrize("shape", SHAPES[:4])
def test_nothing_overlaps_or_leaves_the_figure(shape, columns, evidence, title):
    prediction = answer(shape, evidence=evidence)
    truth = box(shape, slice(0, 10), slice(0, 15)) if evidence else None
    figure = draw_panels(prediction, truth, TITLES[title], columns)
    figure.draw_without_rendering()
    texts = {}
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            texts[text] = text.get_window_extent()
    images = [axes.bbox for axes in panels(figure).values()]
    for text, extent in texts.items():
        assert extent.x0 >= 0 and extent.y0 >= 0, text
        assert extent.x1 <= figure.bbox.x1 and extent.y1 <= figure.bbox.y1, text
        for image in images:
            apart = not extent.overlaps(image)
            inside = image.x0 <= extent.x0 and extent.x1 <= image.x1 and image.y0 <= extent.y0 and extent.y1 <= image.y1
            assert apart or inside, text
    for (one, extent), (other, its_extent) in combinations(texts.items(), 2):
        assert not extent.overlaps(its_extent), (one, other)
    if legend := panels(figure)["Overlay"].get_legend():
        extent = legend.get_window_extent()
        assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1


@pytest.mark.parametrize("evidence", [True, False])
def test_rows_of_one_column_have_equal_gaps(evidence):
    figure = draw_panels(answer(evidence=evidence), columns=1)
    figure.draw_without_rendering()
    found = list(panels(figure).values())
    ends = [(panel.title.get_window_extent().y1, panel.get_tightbbox().y0) for panel in found]
    gaps = [(bottom - top) / figure.dpi for (_, bottom), (top, _) in pairwise(ends)]
    assert max(gaps) - min(gaps) < 0.05
    assert min(gaps) > 0.1 and max(gaps) < 0.35
    assert found[-1].get_tightbbox().y0 / figure.dpi < 0.6


def test_figure_pdf_gives_one_page():
    pdf = figure_pdf(draw_panels(answer(), answer().mask))
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    width, height = map(float, re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf).groups())
    assert width == pytest.approx(15.2 * 72, abs=0.1) and 200 < height < 400


def test_the_input_panel_shows_the_frame_if_it_is_not_the_whole_image():
    whole, framed = (
        panels(draw_panels(prediction))["Input"] for prediction in (answer(), replace(answer(), frame=(4, 2, 34, 22)))
    )
    assert [patch for patch in whole.patches if isinstance(patch, Rectangle)] == []
    (frame,) = (patch for patch in framed.patches if isinstance(patch, Rectangle))
    assert frame.get_bbox().extents.tolist() == [3.5, 1.5, 33.5, 21.5] and not frame.get_fill()
    assert "used: the 30 × 20 in the frame" in words(framed) and "used" not in words(whole)
