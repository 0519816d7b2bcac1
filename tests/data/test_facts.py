from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from PIL import Image

from busi_demo.data import facts
from busi_demo.data.busi import FileSample
from busi_demo.data.duplicates import fingerprint
from busi_demo.data.facts import known_calipers, locked_samples, notes_of, with_facts


def sample(name: str, label: str = "benign") -> FileSample:
    return FileSample(name, label, name, None, (None,))


def altered(pixels: np.ndarray) -> np.ndarray:
    """Smaller and mirrored."""
    return np.array(Image.fromarray(pixels).resize((80, 60)))[:, ::-1]


def test_facts_hold_for_pixels_and_not_for_names(publish):
    publish(picture(1), "benign", "benign (4).png", several_masks="1")
    publish(picture(2), "benign", "benign (433).png", label_conflict="1")
    samples = [sample("benign (4).png"), sample("scan 7.png"), sample("benign (433).png"), sample("x.png")]
    prints = [fingerprint(pixels) for pixels in (picture(3), altered(picture(1)), picture(4), picture(2))]
    found = with_facts(samples, prints)
    assert [s.mask_complete for s in found] == [True, False, True, True]
    assert [s.label_certain for s in found] == [True, True, True, False]
    assert found[0] is samples[0] and found[2] is samples[2]
    notes = notes_of(samples, prints)
    assert [note and note["image"] for note in notes] == [None, "benign (4).png", None, "benign (433).png"]
    assert notes_of([], []) == [] and with_facts([], []) == []


def test_of_equal_pixels_the_name_decides_and_then_the_class(publish):
    publish(picture(1), "malignant", "malignant (145).png")
    publish(picture(1), "benign", "benign (433).png")
    own = [fingerprint(picture(1))]
    for name, label, expected in (("benign (433).png", "benign", "benign (433).png"),
                                  ("x.png", "benign", "benign (433).png"),
                                  ("malignant (145).png", "malignant", "malignant (145).png")):  # fmt: skip
        assert notes_of([sample(name, label)], own)[0]["image"] == expected


def test_the_locked_test_is_found_by_its_pixels(publish):
    publish(picture(1), "benign", "benign (2).png", is_locked=True)
    publish(picture(2), "malignant", "malignant (9).png", is_locked=True)
    samples = [
        sample("benign (2).png"),
        sample("copy.png"),
        sample("renamed.png"),
        sample("malignant (9).png", "malignant"),
    ]
    prints = [fingerprint(picture(seed)) for seed in (3, 4, 1, 2)]
    assert [s.name for s in locked_samples(samples, prints)] == ["renamed.png", "malignant (9).png"]


def test_calipers_are_known_only_where_the_notes_have_them(publish):
    for seed, told in ((1, "1"), (2, "0"), (3, "")):
        publish(picture(seed), "benign", f"benign ({seed}).png", calipers=told)
    samples, prints = [sample(f"{i}.png") for i in range(4)], [fingerprint(picture(i + 1)) for i in range(4)]
    assert known_calipers(samples, prints) == [True, False, None, None]


@pytest.mark.parametrize("name", ["benign (4).png", "malignant (145).png", "normal (1).png"])
def test_people_have_files_with_such_names(name):
    """With the published notes: no made picture is one of BUSI."""
    assert notes_of([sample(name)], [fingerprint(picture(5))]) == [None]
    assert len(facts._hashed_notes()[0]) == 779
