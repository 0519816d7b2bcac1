"""The figure as pixels. What its panels show is tested with the vectors of `figure_pdf`, which draws the same."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from figures import SHAPES, TITLES, answer, box
from helpers import disc
from PIL import Image, ImageColor

from busi_demo.analysis.canvas import Canvas, colour_table, dashes, text_width, wrapped
from busi_demo.analysis.figure import DPI
from busi_demo.analysis.figure import draw_figure as draw_pixels
from busi_demo.analysis.figure_pdf import draw_panels
from busi_demo.analysis.panels import FRAME_COLOUR, MISSED, PREDICTED, TRUTH, panel_size
from busi_demo.analysis.png import png_bytes
from busi_demo.types import InputError, Prediction


def draw_figure(*arguments: Any, **options: Any) -> Image.Image:
    return Image.fromarray(draw_pixels(*arguments, **options))


def share(figure: Image.Image | np.ndarray, colour: str, within: int = 40) -> float:
    """Share of the pixels that nearly have a colour."""
    distance = np.abs(np.asarray(figure).astype(int) - ImageColor.getrgb(colour)).max(axis=2)
    return float((distance < within).mean())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("columns", [1, 2, 5])
def test_it_has_the_size_of_the_page(shape, columns):
    prediction = answer(shape)
    truth = box(shape, slice(0, 10), slice(0, 15))
    page = draw_panels(prediction, truth, TITLES["short"], columns)
    figure = draw_figure(prediction, truth, TITLES["short"], columns, dpi=50)
    width, height = page.get_size_inches() * 50
    assert figure.mode == "RGB" and figure.width == pytest.approx(width, abs=1)
    assert figure.height == pytest.approx(height, rel=0.06)


def test_it_looks_like_the_page():
    """Each tenth of an inch has nearly the mean colour that Matplotlib gives it, apart from where lines of text are."""
    prediction, truth = answer((300, 300)), disc(300, 300, 120, 180, 60)
    page = draw_panels(prediction, truth, columns=5)
    page.set_dpi(50)
    page.canvas.draw()
    theirs = Image.fromarray(np.asarray(page.canvas.buffer_rgba())).convert("RGB")
    ours = draw_figure(prediction, truth, columns=5, dpi=50)
    size = (ours.width // 5, 40)
    first, second = (
        np.asarray(image.crop((0, 0, image.width, 200)).resize(size, Image.Resampling.BOX)).astype(int)
        for image in (ours, theirs)
    )
    assert np.abs(first - second).mean() < 8 and np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.97


def panel(figure: Image.Image, position: int, shape: tuple[int, int], top: int) -> np.ndarray:
    """The pixels of one of five panels whose upper edge is in row `top`."""
    width, height = (round(side * DPI) for side in panel_size(shape))
    left = round((0.2 + position * 3.0) * DPI)
    return np.asarray(figure)[top : top + height, left : left + width]


def upper_edge(figure: Image.Image) -> int:
    """The row in which the blank second panel begins."""
    column = np.asarray(figure)[:, round(3.3 * DPI)]
    return int(np.flatnonzero((column == ImageColor.getrgb("#e9e9e9")).all(axis=1))[0]) - 1


def test_the_panels_show_image_mask_and_map():
    prediction = answer()
    figure = draw_figure(prediction)
    top = upper_edge(figure)
    image, blank, mask, cam = (panel(figure, i, (30, 40), top) for i in range(4))
    small = np.asarray(Image.fromarray(image).convert("L").resize((40, 30), Image.Resampling.BOX)).astype(int)
    assert np.corrcoef(small.ravel(), prediction.image.ravel())[0, 1] > 0.97
    assert share(blank, "#e9e9e9") > 0.9
    white = (mask > 200).all(axis=2)[2:-2, 2:-2].mean()
    assert white == pytest.approx(100 / 1200, abs=0.01)
    middle = cam[len(cam) // 2, :: cam.shape[1] // 20].astype(int)
    expected = colour_table("inferno")[(np.linspace(0, 1, len(middle)) * 255).astype(int)].astype(int)
    assert np.abs(middle[1:-1] - expected[1:-1]).mean() < 8


def test_outlines_and_areas_have_their_colours_and_follow_the_masks():
    prediction, truth = answer(), box((30, 40), slice(5, 15), slice(11, 21))
    top = upper_edge(draw_figure(prediction))
    overlay = panel(draw_figure(prediction, truth, opacity=0), 4, (30, 40), top)
    blue = np.abs(overlay.astype(int) - ImageColor.getrgb(PREDICTED["color"])).max(axis=2) < 20
    rows, columns = np.flatnonzero(blue.any(1)), np.flatnonzero(blue.any(0))
    edges = np.array([columns[0], rows[0], columns[-1], rows[-1]]) / overlay.shape[1] * 40
    assert edges == pytest.approx([6, 5, 16, 15], abs=0.5)  # the lesion of `answer`
    missed = overlay[round(6 / 30 * len(overlay)) : round(14 / 30 * len(overlay)),
                     round(17 / 40 * overlay.shape[1]) : round(20 / 40 * overlay.shape[1])]  # fmt: skip
    assert share(missed, MISSED["color"]) > 0.05
    assert share(panel(draw_figure(prediction, opacity=0), 4, (30, 40), top), TRUTH["color"]) == 0


def test_the_frame_is_drawn_where_there_is_one():
    whole, framed = (draw_figure(prediction) for prediction in (answer(), replace(answer(), frame=(4, 2, 34, 22))))
    assert share(whole, FRAME_COLOUR, 5) == 0 < share(framed, FRAME_COLOUR, 5)


def test_a_stronger_map_in_the_overlay_changes_only_the_overlay():
    weak, strong = (np.asarray(draw_figure(answer(), opacity=opacity)).astype(int) for opacity in (0.2, 0.9))
    changed = np.flatnonzero(np.abs(weak - strong).max(axis=(0, 2)))
    assert changed[0] >= (0.2 + 4 * 3.0) * DPI - 1 and len(changed) > DPI


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_long_titles_are_wrapped_and_nothing_leaves_the_paper(columns):
    figure = np.asarray(draw_figure(answer(evidence=False), title=TITLES["long"], columns=columns))
    edges = (figure[:4], figure[-4:], figure[:, :4], figure[:, -4:])
    assert all((edge == 255).all() for edge in edges)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="opacity of the CAM must lie between 0 and 1, got"):
        draw_figure(answer(), opacity=1.1)
    with pytest.raises(InputError, match=r"bool \(30, 40\) like the image, got bool \(40, 30\)"):
        draw_figure(answer(), np.zeros((40, 30), dtype=bool))
    with pytest.raises(ValueError, match="columns must be 1 to 5, got 6"):
        draw_figure(answer(), columns=6)


def test_several_threads_draw_the_same_as_one():
    predictions = [answer((30 + 5 * i, 40), evidence=bool(i % 2)) for i in range(3)] * 4

    def draw(prediction: Prediction) -> bytes:
        return draw_figure(prediction, prediction.mask, columns=2, dpi=60).tobytes()

    alone = [draw(prediction) for prediction in predictions]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, predictions)) == alone
    assert len(set(alone)) == 3


def test_dashes_have_their_length_and_follow_the_corners():
    corner = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    pieces = dashes(corner, 6, 2)
    assert [piece.tolist() for piece in pieces] == [
        [[0, 0], [6, 0]], [[8, 0], [10, 0], [10, 4]], [[10, 6], [10, 10]],
    ]  # fmt: skip


def test_text_is_cut_at_the_edge_of_the_paper_and_lines_fit_their_room():
    canvas = Canvas(0.3, 0.2, 100)
    canvas.text(-0.1, 0.25, "longer than the paper", 20, "black")
    assert canvas.pixels.shape == (20, 30, 3) and canvas.pixels.min() < 100
    lines = wrapped("one two three four", 12, True, room=text_width("three four", 12, bold=True))
    assert lines == ["one two", "three four"] and wrapped("", 12, False, 1) == [""]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_png_bytes_keep_every_pixel(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, *([3] if mode == "RGB" else []))).astype(np.uint8)
    with Image.open(io.BytesIO(png_bytes(Image.fromarray(pixels)))) as again:
        assert again.mode == mode and np.array_equal(np.asarray(again), pixels)
