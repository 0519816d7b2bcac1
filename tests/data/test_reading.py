from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import DiscSample, write_busi

from busi_demo.data import reading
from busi_demo.data.busi import index_folder
from busi_demo.data.duplicates import fingerprint
from busi_demo.data.reading import read_samples
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.types import InputError

PREPROCESS = Preprocess(size=32)


def test_a_reading_has_square_mask_placement_and_fingerprint():
    sample = DiscSample("malignant")
    (found,) = read_samples([sample], PREPROCESS)
    assert found.sample is sample and sample.reads == 1
    image, mask = sample.read()
    assert torch.equal(found.image, PREPROCESS.canvas(image)) and torch.equal(found.mask, PREPROCESS.mask_canvas(mask))
    assert found.placement == PREPROCESS.placement(60, 80)
    np.testing.assert_array_equal(found.fingerprint.hashes, fingerprint(image).hashes)
    np.testing.assert_array_equal(found.fingerprint.thumbnails, fingerprint(image).thumbnails)


def test_samples_are_read_once_and_stay_in_order(monkeypatch):
    monkeypatch.setattr(reading, "_AT_ONCE", 2)
    samples = [DiscSample(label) for label in ("benign", "malignant", "normal", "normal", "benign")]
    assert [found.sample for found in read_samples(samples, PREPROCESS)] == samples
    assert [sample.reads for sample in samples] == [1] * 5


def test_no_sample_gives_no_reading():
    assert read_samples([], PREPROCESS) == []


def test_a_file_that_cannot_be_decoded_is_named(tmp_path):
    samples = index_folder(write_busi(tmp_path, {"benign": 2}))
    samples[1].image_path.write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"benign case \(2\)\.png"):
        read_samples(samples, PREPROCESS)
