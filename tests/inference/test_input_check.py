"""The input check with a reference that is fitted to phantoms here, and with the one of the weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import ROOT, disc
from PIL import Image
from sklearn.datasets import load_sample_image

from busi_demo.data.phantom import make_phantom
from busi_demo.evaluation.input_fit import changed_properties, collect, fit_reference
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.imaging.text import percent
from busi_demo.inference.input_check import Known, check_input, known_pictures
from busi_demo.inference.predictor import Predictor
from busi_demo.models import approach_class
from busi_demo.models.ensemble import Ensemble
from busi_demo.types import CLASSES, Verdict
from busi_demo.weights.input_reference import (
    ORIENTATIONS,
    NetworkReference,
    fit_neighbours,
    input_reference,
    network_reference,
    save_input_reference,
)
from busi_demo.weights.store import Weights

ACCEPTED, DOUBTFUL, REFUSED = Verdict.ACCEPTED, Verdict.DOUBTFUL, Verdict.REFUSED


@pytest.fixture(scope="module")
def known():
    rows = [changed_properties(phantom(seed), seed) for seed in range(60)]
    return Known(fit_reference({"phantoms": collect(rows, np.arange(60) % 5)}))


def phantom(seed: int) -> np.ndarray:
    return make_phantom(CLASSES[seed % 3], seed).image


def photograph(seed: int) -> np.ndarray:
    """Smooth areas with sharp edges, dark and bright alike, as in photographs."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((300, 400), dtype=np.float32)
    for _ in range(30):
        scene[disc(300, 400, int(rng.integers(300)), int(rng.integers(400)), int(rng.integers(20, 90)))] = rng.integers(
            255
        )
    return (scene + rng.normal(0, 2, scene.shape)).clip(0, 255).astype(np.uint8)


def test_ultrasound_is_accepted_and_other_pictures_are_refused(known):
    verdicts = [check_input(phantom(seed), known).verdict for seed in range(100, 130)]
    assert verdicts.count(ACCEPTED) >= 28 and REFUSED not in verdicts
    for seed in range(5):
        check = check_input(photograph(seed), known)
        assert check.verdict is REFUSED and check.reasons[0].startswith("Expected was a B-mode ultrasound of a breast")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: 255 - a, "negative"),
        (np.rot90, "turned by a quarter"),
        (lambda a: np.rot90(a, 3), "turned by a quarter"),
        (lambda a: a[::-1], "upside down"),
    ],
    ids=["negative", "left", "right", "upside down"],
)
def test_negatives_and_turned_pictures_are_told(known, change, reason):
    checks = [check_input(np.ascontiguousarray(change(phantom(seed))), known) for seed in range(200, 212)]
    told = [check for check in checks if check.verdict is not ACCEPTED and reason in check.reasons[0]]
    assert len(told) >= 11


@pytest.mark.parametrize("kind", ORIENTATIONS[1:])
def test_a_picture_that_is_refused_is_called_turned_only_if_it_is_known_once_that_is_undone(known, kind):
    """The classifier of orientations names one for whatever it is shown; here all pictures are of this one."""
    reference = known.reference
    certain = replace(reference, weights=0 * reference.weights, biases=20 * np.float32(np.array(ORIENTATIONS) == kind))
    for seed in range(5):
        check = check_input(photograph(seed), Known(certain))
        assert check.verdict is REFUSED and check.reasons[0].startswith("Expected was a B-mode ultrasound of a breast")
    # even where the picture as it lies is far from all known ones
    changes = {"negative": lambda a: 255 - a, "quarter turn": np.rot90, "upside down": np.flipud}
    changed = np.ascontiguousarray(changes[kind](phantom(3)))
    check = check_input(changed, Known(replace(certain, refused=0.0)))
    assert check.verdict is (DOUBTFUL if kind == "upside down" else REFUSED)
    assert not check.reasons[0].startswith("Expected")


def test_a_negative_photograph_that_looks_upside_down_to_the_classifier_is_refused():
    pixels = 255 - np.array(Image.fromarray(load_sample_image("china.jpg")).convert("L"))
    check = check_input(pixels, Known(input_reference(ROOT / "weights")))
    assert check.verdict is REFUSED and check.reasons[0].startswith("Expected was a B-mode ultrasound of a breast")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((200, 300), 255, np.uint8), "almost nothing to see"),
        (np.zeros((200, 300), np.uint8), "almost nothing to see"),
        (disc(200, 300, 90, 120, 40).astype(np.uint8) * 255, "a mask or a drawing"),
    ],
    ids=["white", "black", "mask"],
)
def test_pictures_without_tissue_are_refused_without_a_reference(pixels, words):
    check = check_input(pixels, None)
    assert check.verdict is REFUSED and words in check.reasons[0] and check.withheld


def test_small_pictures_and_colour_are_doubtful_and_colourful_ones_refused(known):
    assert "small (90 x 50 pixels)" in check_input(phantom(3)[:50, :90], None).reasons[0]
    doppler = check_input(phantom(3), known, coloured=0.1)
    assert doppler.verdict is DOUBTFUL and f"colour in {percent(0.1)}" in doppler.reasons[0]
    assert check_input(phantom(3), known, coloured=0.6).verdict is REFUSED
    assert check_input(phantom(3), known, coloured=0.001).verdict is ACCEPTED


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        ({"Modality": "US"}, ACCEPTED),
        ({"Modality": "US", "BodyPartExamined": "BREAST"}, ACCEPTED),
        ({"Modality": "US", "BodyPartExamined": "LEFT BREAST"}, ACCEPTED),
        ({"Modality": "US", "BodyPartExamined": ""}, ACCEPTED),
        ({"Modality": "us ", "BodyPartExamined": "THYROID"}, DOUBTFUL),
        ({"Modality": "CT"}, REFUSED),
        ({"Modality": "MG", "BodyPartExamined": "BREAST"}, REFUSED),
    ],
)
def test_a_dicom_header_is_asked(known, header, verdict):
    assert check_input(phantom(3), known, header=header).verdict is verdict


def test_of_a_dicom_header_known_terms_alone_are_quoted(known):
    (part,) = check_input(phantom(3), known, header={"BodyPartExamined": "NECK"}).reasons
    (modality,) = check_input(phantom(3), known, header={"Modality": "MG"}).reasons
    assert part.endswith("another part of the body: NECK.") and modality.endswith("its modality is MG.")
    for header in ({"BodyPartExamined": "SMITH ANNA"}, {"Modality": "SMITH"}):
        (reason,) = check_input(phantom(3), known, header=header).reasons
        assert "SMITH" not in reason and reason.endswith(".")


def test_a_network_that_has_not_met_a_picture_makes_it_doubtful_and_refuses_it_with_odd_properties(known):
    rng = np.random.default_rng(0)
    network = NetworkReference(fit_neighbours(rng.normal(size=(50, 6)).astype(np.float32), 6, 0.1), 5.0, 6.0, "")
    both = Known(known.reference, network)
    near, far = np.zeros(6, np.float32), np.full(6, 7, np.float32)
    assert check_input(phantom(3), both, descriptor=near).verdict is ACCEPTED
    doubtful = check_input(phantom(3), both, descriptor=far)
    assert doubtful.verdict is DOUBTFUL and "another organ" in doubtful.reasons[0]
    # properties alone are doubtful at most

    strict = replace(known.reference, doubtful=0.0, refused=np.inf)
    assert check_input(phantom(3), Known(strict, network), descriptor=near).verdict is DOUBTFUL
    assert check_input(phantom(3), Known(strict, network), descriptor=far).verdict is REFUSED


def test_a_held_out_network_is_not_compared_with_what_another_one_knows(known):
    members = [approach_class("multitask_cnn").fresh() for _ in range(2)]
    weights = Weights(Ensemble(members, [0, 1]).eval(), Preprocess(size=64))
    network = NetworkReference(fit_neighbours(np.eye(6, dtype=np.float32), 6, 0.1), 5.0, 6.0, "")
    predictor = Predictor(weights, Known(known.reference, network))
    assert predictor._known.network is network
    assert predictor.held_out(1)._known.network is None and predictor.held_out(1)._known.reference is known.reference
    single = Predictor(Weights(members[0].eval(), Preprocess(size=64)), Known(known.reference, network))
    assert single.held_out(0)._known.network is network
    assert predictor.held_out(1).predict(phantom(3)).input_check.compared  # which trust is measured with


def test_what_was_not_fitted_to_the_weights_is_told(known, tmp_path):
    assert not check_input(phantom(3), known_pictures(tmp_path / "cnn", "ab")).compared
    save_input_reference(known.reference, tmp_path)
    input_reference.cache_clear()
    assert not check_input(phantom(3), known_pictures(tmp_path / "cnn", "ab")).compared
    network = NetworkReference(fit_neighbours(np.eye(6, dtype=np.float32), 6, 0.1), 5.0, 6.0, "ab")
    save_input_reference(network, tmp_path / "cnn")
    network_reference.cache_clear()
    assert check_input(phantom(3), known_pictures(tmp_path / "cnn", "ab")).compared
    assert not check_input(phantom(3), known_pictures(tmp_path / "cnn", "cd")).compared
