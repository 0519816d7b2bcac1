from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from busi_demo.evaluation.bootstrap import (
    draw_resamples,
    interval,
    intervals,
    metric_values,
    paired_differences,
    weighted_mean,
)
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult
from busi_demo.types import CLASSES


def result(name: str, label: str, probabilities: tuple[float, float, float], dice: float | None = None, mask=0.0):
    by_class = dict(zip(CLASSES, probabilities, strict=True))
    return ImageResult(name, label, by_class, dice, None if dice is None else dice / (2 - dice), mask, 0.0)


def random_results(count: int, seed: int, skill: float = 2.0) -> list[ImageResult]:
    """Results better than chance; every fifth lesion has no complete mask, half the normals a false one."""
    rng = np.random.RandomState(seed)
    made = []
    for i in range(count):
        label = CLASSES[i % 3]
        # half of them rounded: ties, and confidences of 0.4, 0.6 and 0.8, where one bin ends and the next begins
        probabilities = rng.dirichlet(np.ones(3) + skill * (np.array(CLASSES) == label)).round(1 if i % 2 else 9)
        probabilities[2] = 1 - probabilities[:2].sum()
        dice = None if label == "normal" or i % 5 == 0 else float(rng.random_sample())
        made.append(result(f"{i}", label, tuple(abs(probabilities)), dice, float(rng.randint(2))))
    return made


def answers(right: int, wrong: int) -> list[ImageResult]:
    return [result(str(i), "benign", (1, 0, 0) if i < right else (0, 1, 0)) for i in range(right + wrong)]


def leaves(tree: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in tree.items():
        if isinstance(value, dict) and not {"difference", "p"} <= value.keys():
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def at(tree: dict, path: tuple[str, ...]):
    for key in path:
        tree = tree[key]
    return tree


class TestDrawResamples:
    def test_as_many_groups_as_there_are_and_members_together(self):
        groups = ["a", "b", "b", "c", "d", "d"]
        weights = draw_resamples(groups, 500)
        assert weights.shape == (500, 6) and weights.dtype == np.float64
        assert (weights[:, [0, 1, 3, 4]].sum(axis=1) == 4).all()
        assert (weights[:, 1] == weights[:, 2]).all() and (weights[:, 4] == weights[:, 5]).all()
        assert (weights[:, 0] != weights[:, 1]).any()
        assert set(np.unique(weights)) == {0, 1, 2, 3, 4}

    def test_every_group_is_as_likely(self):
        weights = draw_resamples([0, 0, 0, 1, 2, 3], 4000)
        np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.05)

    def test_the_seed_decides(self):
        assert (draw_resamples(range(9), 50) == draw_resamples(range(9), 50)).all()
        assert (draw_resamples(range(9), 50) != draw_resamples(range(9), 50, seed=1)).any()

    @pytest.mark.parametrize("groups", [[1], [1, 1, 1], [1, 2, 2], [1, 2, 3, 3]])
    def test_too_few_groups_allow_no_interval(self, groups):
        weights = draw_resamples(groups, 100)
        assert weights.shape == (0, len(groups))
        assert {v for _, v in leaves(intervals(answers(len(groups), 0), weights))} == {None}


class TestMetricValues:
    @pytest.mark.parametrize("seed", range(3))
    def test_every_resample_is_what_summarise_says_of_the_images_drawn(self, seed):
        results = random_results(40, seed)
        weights = draw_resamples(np.arange(40) // 2, 25, seed)
        values = metric_values(results, weights)
        for row, times in enumerate(weights.astype(int)):
            summary = summarise([r for r, n in zip(results, times, strict=True) for _ in range(n)])
            for path, value in leaves(values):
                assert value[row] == pytest.approx(at(summary, path), abs=1e-9), path

    def test_nothing_of_summarise_is_forgotten(self):
        results = random_results(12, 0)
        counts = {"n", "lesion_n", "normal_n", "classes", "confusion_matrix"}
        assert metric_values(results, np.ones((1, 12))).keys() == summarise(results).keys() - counts

    def test_a_class_that_was_not_drawn_leaves_its_metrics_undefined(self):
        results = [
            result("a", "benign", (0.8, 0.1, 0.1), dice=0.5),
            result("b", "malignant", (0.1, 0.8, 0.1), dice=0.7),
            result("c", "normal", (0.6, 0.1, 0.3), mask=0.2),
        ]
        values = metric_values(results, np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]]))
        assert np.isnan(values["macro_f1"]).tolist() == [True, True, False]
        assert values["macro_f1"][2] == pytest.approx((2 / 3 + 1 + 0) / 3)
        assert np.isnan(values["normal_false_mask_rate"]).tolist() == [True, False, False]
        assert np.isnan(values["lesion_dice"]).tolist() == [False, True, False]
        assert values["lesion_dice"][0] == pytest.approx((0.5 + 0.5 + 0.7) / 3)
        assert np.isnan(values["auc"]["normal"]).tolist() == [True, True, False]
        assert np.isnan(values["sensitivity_malignant"]).tolist() == [False, True, False]
        assert np.isnan(values["classification_report"]["normal"]["precision"]).all()  # never predicted
        assert np.isnan(values["classification_report"]["normal"]["f1-score"]).tolist() == [True, False, False]
        assert np.isnan(values["classification_report"]["benign"]["f1-score"]).tolist() == [False, True, False]
        assert values["accuracy"].tolist() == pytest.approx([1, 0, 2 / 3])

    def test_a_class_that_no_image_has_is_not_in_macro_f1_as_in_summarise(self):
        results = [r for r in random_results(30, 0) if r.label != "normal"]
        values = metric_values(results, np.ones((1, len(results))))
        assert values["macro_f1"][0] == pytest.approx(summarise(results)["macro_f1"])

    @pytest.mark.parametrize("weights", [np.ones((5, 3)), np.ones(4), np.ones((4, 5))])
    def test_weights_of_another_number_of_images(self, weights):
        with pytest.raises(ValueError, match=r"weights must be \(R, 4\)"):
            metric_values(answers(4, 0), weights)


def test_weighted_mean_by_hand():
    weights = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    np.testing.assert_allclose(weighted_mean([0.1, 0.4, None], weights), [0.3, np.nan])


class TestInterval:
    def test_percentiles_of_what_is_defined(self):
        assert interval(np.arange(1001.0)) == pytest.approx([25, 975])
        assert interval(np.append(np.arange(1001.0), [np.nan] * 50)) == pytest.approx([25, 975])

    def test_too_often_undefined(self):
        assert interval(np.append(np.zeros(95), [np.nan] * 5)) == [0, 0]
        assert interval(np.append(np.zeros(94), [np.nan] * 6)) is None
        assert interval(np.zeros(0)) is None

    def test_a_bernoulli_mean_has_the_analytic_interval(self):
        low, high = intervals(answers(140, 60), draw_resamples(range(200)))["accuracy"]
        half = 1.96 * (0.7 * 0.3 / 200) ** 0.5
        assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.01)

    def test_it_covers_the_truth_as_often_as_it_says(self):
        rng, covered = np.random.RandomState(0), 0
        weights = draw_resamples(range(100), 500)
        for _ in range(300):
            low, high = interval(weighted_mean((rng.random_sample(100) < 0.7).astype(float), weights))
            covered += low <= 0.7 <= high
        assert 0.90 <= covered / 300 <= 0.98

    def test_copies_widen_it_by_the_root_of_their_number(self):
        results = [r for r in answers(35, 15) for _ in range(4)]  # 50 pictures, four copies each
        low, high = intervals(results, draw_resamples(range(200)))["accuracy"]
        grouped_low, grouped_high = intervals(results, draw_resamples(np.arange(200) // 4))["accuracy"]
        assert (grouped_high - grouped_low) / (high - low) == pytest.approx(2, rel=0.1)

    @pytest.mark.parametrize("others", [2, 3, 40])
    def test_a_metric_of_two_groups_has_none(self, others):
        results = [*answers(others, 0), result("m", "malignant", (0, 1, 0)), result("n", "malignant", (0, 1, 0))]
        found = intervals(results, draw_resamples(range(others + 2)))
        assert found["sensitivity_malignant"] is None and found["accuracy"] == [1, 1]

    def test_it_holds_the_value_and_mirrors_the_summary(self):
        results = random_results(90, 1)
        found, summary = intervals(results, draw_resamples(range(90))), summarise(results)
        for path, (low, high) in leaves(found):
            assert low < high
            if path != ("ece",):  # see the module
                assert low < at(summary, path) < high, path


class TestPairedDifferences:
    def test_the_same_approach_twice(self):
        results = random_results(60, 0)
        for path, leaf in leaves(paired_differences(results, results, draw_resamples(range(60), 200))):
            assert leaf == {"difference": 0, "interval": [0, 0], "p": 1}, path

    def test_a_clear_difference_and_its_sign(self):
        good, bad = answers(90, 10), answers(60, 40)
        weights = draw_resamples(range(100), 999)
        leaf = paired_differences(good, bad, weights)["accuracy"]
        assert leaf["difference"] == pytest.approx(0.3)
        low, high = leaf["interval"]
        half = 1.96 * (0.3 * 0.7 / 100) ** 0.5  # 30 of 100 images differ
        assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.015)
        assert leaf["p"] == pytest.approx(2 / 1000)  # the least that 999 resamples can show
        mirrored = paired_differences(bad, good, weights)["accuracy"]
        assert mirrored["difference"] == pytest.approx(-0.3)
        assert mirrored["interval"] == pytest.approx([-high, -low]) and mirrored["p"] == leaf["p"]

    def test_pairs_are_closer_than_their_intervals(self):
        """The same hard images fail for both: each accuracy is uncertain, their difference is not."""
        weights = draw_resamples(range(100))
        leaf = paired_differences(answers(52, 48), answers(50, 50), weights)["accuracy"]
        low, high = intervals(answers(50, 50), weights)["accuracy"]
        assert leaf["interval"][1] - leaf["interval"][0] < (high - low) / 2

    def test_p_is_uniform_where_nothing_differs(self):
        rng = np.random.RandomState(0)
        weights, found = draw_resamples(range(60), 300), []
        for _ in range(200):
            right = rng.random_sample((2, 60)) < 0.7
            one, other = (
                [result(str(i), "benign", (1, 0, 0) if r else (0, 1, 0)) for i, r in enumerate(row)] for row in right
            )
            found.append(paired_differences(one, other, weights)["accuracy"]["p"])
        assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.10
        assert max(found) <= 1

    def test_what_has_no_value_has_no_difference(self):
        leaf = paired_differences(answers(5, 5), answers(6, 4), draw_resamples(range(10)))["auc"]["normal"]
        assert leaf == {"difference": None, "interval": None, "p": None}

    def test_other_images_are_refused(self):
        weights = draw_resamples(range(5))
        with pytest.raises(ValueError, match="the same images"):
            paired_differences(answers(3, 2), answers(3, 2)[::-1], weights)
