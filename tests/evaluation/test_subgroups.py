from __future__ import annotations

import pytest

from busi_demo.evaluation.bootstrap import draw_resamples
from busi_demo.evaluation.results import ImageResult
from busi_demo.evaluation.subgroups import size_tertiles, summarise_subgroups
from busi_demo.types import CLASSES


def result(label: str, called: str, dice: float | None = None, mask: float = 0.0) -> ImageResult:
    probabilities = {name: 0.8 if name == called else 0.1 for name in CLASSES}
    return ImageResult(f"{label}.png", label, probabilities, dice, dice, mask, 0.0)


RESULTS = [
    result("benign", "benign", 0.9),
    result("benign", "malignant", 0.5),
    result("benign", "benign", 0.7),
    result("malignant", "malignant", 0.6),
    result("malignant", "benign", 0.0),
    result("malignant", "malignant"),  # incomplete mask
    result("normal", "normal"),
    result("normal", "benign", mask=0.1),
]
AREAS = [0.30, 0.02, 0.10, 0.12, 0.01, None, None, None]


class TestSizeTertiles:
    def test_by_hand(self):
        sizes, limits = size_tertiles([0.06, None, 0.01, 0.02, 0.05, 0.03, 0.04])
        assert sizes == ["large", None, "small", "small", "large", "medium", "medium"]
        assert limits == pytest.approx([0.01 + 0.05 / 3, 0.01 + 0.1 / 3])

    def test_a_limit_belongs_to_the_smaller_size(self):
        assert size_tertiles([0.1, 0.2, 0.3, 0.4]) == (["small", "small", "medium", "large"], pytest.approx([0.2, 0.3]))

    def test_equal_sizes_are_one_part(self):
        assert size_tertiles([0.1, 0.1, 0.1])[0] == ["small"] * 3

    @pytest.mark.parametrize("areas", [[], [None, None], [0.1, 0.2, None]])
    def test_too_few(self, areas):
        assert size_tertiles(areas) == ([None] * len(areas), None)


class TestSummariseSubgroups:
    def test_by_class(self):
        found = summarise_subgroups(RESULTS, AREAS, [None] * 8)["class"]
        assert list(found) == list(CLASSES)
        assert (found["benign"]["n"], found["benign"]["lesion_n"], found["benign"]["normal_n"]) == (3, 3, 0)
        assert found["benign"]["accuracy"] == pytest.approx(2 / 3)
        assert found["benign"]["lesion_dice"] == pytest.approx(0.7)
        assert found["benign"]["specificity_malignant"] == pytest.approx(2 / 3)
        assert found["benign"]["sensitivity_malignant"] is None
        assert (found["malignant"]["n"], found["malignant"]["lesion_n"]) == (3, 2)
        assert found["malignant"]["sensitivity_malignant"] == pytest.approx(2 / 3)
        assert found["malignant"]["lesion_iou"] == pytest.approx(0.3)
        assert found["normal"]["normal_false_mask_rate"] == 0.5 and found["normal"]["lesion_dice"] is None

    def test_by_size(self):
        found = summarise_subgroups(RESULTS, AREAS, [None] * 8)
        sizes = found["lesion_size"]
        assert {name: part["n"] for name, part in sizes.items()} == {"small": 2, "medium": 1, "large": 2}
        assert [sizes[name]["lesion_dice"] for name in sizes] == pytest.approx([0.25, 0.7, 0.75])
        assert [sizes[name]["accuracy"] for name in sizes] == [0, 1, 1]
        assert found["lesion_size_limits"] == pytest.approx([0.02 + 0.08 / 3, 0.10 + 0.02 * 2 / 3])

    def test_calipers_without_a_label_are_unknown(self):
        found = summarise_subgroups(RESULTS, AREAS, [None] * 8)["calipers"]
        assert list(found) == ["unknown"] and found["unknown"]["n"] == 8

    def test_calipers_where_known(self):
        found = summarise_subgroups(RESULTS, AREAS, [True, True, False, None, None, False, False, True])["calipers"]
        assert {name: part["n"] for name, part in found.items()} == {"with": 3, "without": 3, "unknown": 2}
        assert found["with"]["accuracy"] == pytest.approx(1 / 3) and found["without"]["accuracy"] == 1

    def test_intervals_are_those_of_the_part(self):
        results, areas = RESULTS * 10, AREAS * 10
        weights = draw_resamples(range(80), 400)
        found = summarise_subgroups(results, areas, [None] * 80, weights)
        low, high = found["class"]["benign"]["intervals"]["accuracy"]
        half = 1.96 * (2 / 3 * 1 / 3 / 30) ** 0.5
        assert (low, high) == pytest.approx((2 / 3 - half, 2 / 3 + half), abs=0.05)
        assert found["class"]["benign"]["intervals"]["normal_false_mask_rate"] is None
        assert found["lesion_size"]["large"]["intervals"]["lesion_dice"] == pytest.approx([0.9, 0.9])
        # all normals are copies of two pictures: too few, though there are many groups
        groups = [f"copy {i % 2}" if r.label == "normal" else str(i) for i, r in enumerate(results)]
        found = summarise_subgroups(results, areas, [None] * 80, draw_resamples(groups, 400))["class"]
        assert found["normal"]["intervals"]["accuracy"] is None is not found["benign"]["intervals"]["accuracy"]
        assert "intervals" not in summarise_subgroups(results, areas, [None] * 80)["class"]["benign"]

    @pytest.mark.parametrize(("areas", "calipers"), [(AREAS[:-1], [None] * 8), (AREAS, [None] * 9)])
    def test_unequal_lengths_are_refused(self, areas, calipers):
        with pytest.raises(ValueError, match="Expected one value for each of 8 images"):
            summarise_subgroups(RESULTS, areas, calipers)
