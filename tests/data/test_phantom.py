"""Phantoms: exact, seeded, and distinguished by the signs that radiologists read, not by brightness or size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from busi_demo.data.phantom import make_phantom
from busi_demo.gallery.simulated import write_gallery
from busi_demo.types import CLASSES, InputError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SEEDS = range(12)


@pytest.fixture(scope="module")
def phantoms() -> dict:
    return {label: [make_phantom(label, seed, 128, 144) for seed in SEEDS] for label in CLASSES}


@pytest.mark.parametrize("label", CLASSES)
def test_a_seed_gives_the_same_pixels_and_another_seed_other_ones(label: str) -> None:
    first, again, other = (make_phantom(label, seed, 64, 80) for seed in (5, 5, 6))
    assert first.image.shape == first.mask.shape == (64, 80)
    assert first.image.dtype == np.uint8 and first.mask.dtype == np.bool_ and first.label == label
    assert np.array_equal(first.image, again.image) and np.array_equal(first.mask, again.mask)
    assert (first.image != other.image).mean() > 0.5


def test_masks_are_one_region_of_a_lesions_size_and_empty_for_normals(phantoms: dict) -> None:
    assert not any(p.mask.any() for p in phantoms["normal"])
    for label in ("benign", "malignant"):
        for phantom in phantoms[label]:
            assert ndimage.label(phantom.mask)[1] == 1
            assert 0.005 < phantom.mask.mean() < 0.4


def test_the_lesion_is_darker_than_its_surroundings(phantoms: dict) -> None:
    for phantom in phantoms["benign"] + phantoms["malignant"]:
        near, far = (ndimage.binary_dilation(phantom.mask, iterations=n) for n in (2, 6))
        ring = far & ~near
        assert phantom.image[phantom.mask].mean() < phantom.image[ring].mean() - 5


def _behind_against_beside(phantom) -> float:
    """Mean grey below the lesion minus that beside it at the same depth."""
    rows, columns = np.nonzero(phantom.mask)
    bottom, depth = rows.max() + 1, max(4, (rows.max() - rows.min()) // 3)
    middle = slice(int(np.percentile(columns, 30)), int(np.percentile(columns, 70)) + 1)
    band = phantom.image[bottom : bottom + depth].astype(float)
    beside = np.delete(band, np.arange(columns.min(), columns.max() + 1), axis=1)
    return band[:, middle].mean() - beside.mean() if band.size and beside.size else 0.0


def test_enhancement_behind_benign_and_shadow_behind_malignant_lesions(phantoms: dict) -> None:
    behind = {label: np.mean([_behind_against_beside(p) for p in phantoms[label]]) for label in ("benign", "malignant")}
    assert behind["benign"] > 5
    assert behind["malignant"] < -15


def test_benign_lesions_are_wider_than_tall_and_malignant_outlines_rougher(phantoms: dict) -> None:
    def extent(phantom) -> float:
        rows, columns = np.nonzero(phantom.mask)
        return (np.ptp(columns) + 1) / (np.ptp(rows) + 1)

    def roughness(phantom) -> float:
        border = phantom.mask & ~ndimage.binary_erosion(phantom.mask, border_value=1)
        return border.sum() / np.sqrt(phantom.mask.sum())

    assert all(extent(p) > 1 for p in phantoms["benign"])
    assert sum(extent(p) < 1 for p in phantoms["malignant"]) >= 4
    means = {label: np.mean([roughness(p) for p in phantoms[label]]) for label in ("benign", "malignant")}
    assert means["malignant"] > 1.1 * means["benign"]


def test_brightness_does_not_reveal_the_class(phantoms: dict) -> None:
    means = [np.mean([p.image.mean() for p in phantoms[label]]) for label in CLASSES]
    spread = np.std([p.image.mean() for label in CLASSES for p in phantoms[label]])
    assert max(means) - min(means) < spread


@pytest.mark.parametrize(("label", "size"), [("tumour", (64, 64)), ("benign", (16, 64)), ("benign", (64, 31))])
def test_wrong_arguments_raise_a_clear_error(label: str, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"choose one of|at least 32"):
        make_phantom(label, 0, *size)


def test_the_committed_gallery_is_what_its_command_makes(tmp_path: Path) -> None:
    write_gallery(tmp_path)
    assert (tmp_path / "examples.json").read_text() == (EXAMPLES / "examples.json").read_text()
    for row in json.loads((EXAMPLES / "examples.json").read_text()):
        for name in (row["image"], row["mask"]):
            committed, made = (np.asarray(Image.open(folder / name)).astype(float) for folder in (EXAMPLES, tmp_path))
            assert np.abs(committed - made).mean() < 0.02  # rounding differs between builds of NumPy and SciPy
