from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import picture, save_grey

from busi_demo.imaging.properties import PROPERTIES
from busi_demo.types import InputError
from busi_demo.weights.input_reference import (
    INPUT_CHECK_FILE,
    InputReference,
    Neighbours,
    NetworkReference,
    fit_neighbours,
    input_reference,
    network_reference,
    save_input_reference,
)

P = len(PROPERTIES)


def along_axes(pictures: np.ndarray, outside: tuple[float, float] = (0, 0), directions: int = P) -> Neighbours:
    basis = np.eye(P, dtype=np.float32)[:, :directions]
    return Neighbours(
        np.zeros(P, np.float32), np.ones(P, np.float32), basis, np.full(directions, 2, np.float32),
        np.asarray(pictures, np.float32)[:, :directions], np.array(outside, np.float32),
    )  # fmt: skip


def test_the_distance_is_that_to_the_third_nearest_picture():
    pictures = np.zeros((4, P))
    pictures[:, 0] = [0, 1, 2, 10]
    row = np.zeros((1, P), np.float32)
    assert along_axes(pictures).distance(row)[0] == pytest.approx(2)
    row[0, 0] = 4  # 2 after division by the spread: at 1 and 2 and 0 of the pictures
    assert along_axes(pictures).distance(row)[0] == pytest.approx(2)
    row[0, 0] = 1000  # clipped to 8 standard deviations, 4 after division
    assert along_axes(pictures).distance(row)[0] == pytest.approx(4)


def test_what_lies_outside_of_the_basis_counts_three_times():
    row = np.zeros((1, P), np.float32)
    row[0, 1] = 5
    known = along_axes(np.zeros((3, P)), outside=(1, 2), directions=1)
    assert known.distance(row)[0] == pytest.approx(3 * (5 - 1) / 2)


def test_fitted_pictures_have_unit_covariance_and_others_are_far():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(P, P)).astype(np.float32)
    rows = rng.normal(size=(2000, P)).astype(np.float32) @ mixing
    known = fit_neighbours(rows, P, shrinkage=0.0)
    assert np.cov(known.pictures.T) == pytest.approx(np.eye(P), abs=0.15)
    fresh = rng.normal(size=(50, P)).astype(np.float32) @ mixing
    assert known.distance(fresh).max() < known.distance(fresh + 5 * mixing.std(0)).min()


def test_files_return_what_was_saved(tmp_path):
    known = along_axes(np.arange(3 * P).reshape(3, P) / 100)
    reference = InputReference(
        known, np.ones((4, P), np.float32), np.arange(4, dtype=np.float32), 2.0, 3.0, 0.9, {"known": {"a": {"n": 1}}}
    )
    save_input_reference(reference, tmp_path)
    again = input_reference(tmp_path)
    assert (again.doubtful, again.refused, again.turned, again.measured) == (2.0, 3.0, 0.9, {"known": {"a": {"n": 1}}})
    assert again.known.pictures == pytest.approx(known.pictures, rel=1e-3)
    row = np.zeros((1, P), np.float32)
    assert again.orientation(row)[0] == pytest.approx(np.exp(np.arange(4)) / np.exp(np.arange(4)).sum())
    assert network_reference(tmp_path / "elsewhere") is None

    save_input_reference(NetworkReference(known, 4.0, 5.0, "abc"), tmp_path / "net")
    network = network_reference(tmp_path / "net")
    assert (network.doubtful, network.refused, network.sha256) == (4.0, 5.0, "abc")


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:100],
        lambda b: b"",
        lambda b: b.replace(b'"settings"', b'"settinks"'),
        lambda b: b.replace(b"4.0", b"4.1"),
        lambda b: b[:-1] + bytes([b[-1] ^ 1]),
    ],
)
def test_a_damaged_file_gets_a_sentence(tmp_path, damage):
    path = save_input_reference(NetworkReference(along_axes(np.zeros((3, P))), 4.0, 5.0, "abc"), tmp_path / "cnn")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=f"^cnn/{INPUT_CHECK_FILE} is damaged .*train/fit_input_check.py.$"):
        network_reference(tmp_path / "cnn")


def test_a_file_for_other_properties_gets_a_sentence(tmp_path):
    path = save_input_reference(NetworkReference(along_axes(np.zeros((3, P))), 4.0, 5.0, "abc"), tmp_path / "cnn")
    path.write_bytes(path.read_bytes().replace(b"entropy", b"entropi"))
    with pytest.raises(InputError, match="was made by another version, for other properties"):
        network_reference(tmp_path / "cnn")


def test_pictures_to_measure_on_are_read_before_anything_is_fitted(run_script, tmp_path):
    """The data folder does not exist, which the script would say first if it did not look at the pictures before."""
    good, twin, bad, none = (tmp_path / name for name in ("a/good", "b/good", "bad", "none"))
    none.mkdir()
    for folder in (good, twin):
        save_grey(folder / "picture.png", picture(0))
    save_grey(bad / "tiny.png", np.zeros((3, 3), dtype=np.uint8))

    def complaint(*others: Path) -> str:
        status, _, err = run_script("train/fit_input_check.py", "--data", tmp_path / "missing", "--others", *others)
        assert status == 2
        return err

    assert complaint(good, none) == (
        f"error: {none} holds no picture: name folders of PNG, JPEG or other pictures with --others.\n"
    )
    assert complaint(good, bad).startswith("error: tiny.png is 3 x 3 pixels, expected at least ")
    assert complaint(good, twin) == (
        "error: Two folders of --others are called good, which tells them apart: rename one.\n"
    )
    assert "missing" in complaint(good)
