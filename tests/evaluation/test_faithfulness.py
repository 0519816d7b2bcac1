from __future__ import annotations

import numpy as np
import pytest
from helpers import disc, picture

from busi_demo.evaluation import faithfulness
from busi_demo.evaluation.bootstrap import draw_resamples
from busi_demo.evaluation.cams import MEASURES, CamResult, examine_cam, summarise_cams
from busi_demo.evaluation.faithfulness import (
    GRID,
    STEPS,
    centred_gaussian,
    mean_baseline,
    patch_means,
    patch_numbers,
    patch_order,
    pointing_hit,
    rank_correlation,
    replacement_auc,
)
from busi_demo.imaging.masks import energy_inside
from busi_demo.types import CLASSES, Agreement, Prediction

HEIGHT, WIDTH = 56, 84  # patches of 4 x 6 pixels
MASK = np.zeros((HEIGHT, WIDTH), dtype=bool)
MASK[8:16, 12:30] = True  # 2 x 3 patches, 6 of 196
RANDOM = np.random.default_rng


def lesion_image() -> np.ndarray:
    """White where `MASK` is, black elsewhere."""
    return MASK.astype(np.uint8) * 255


def lesion_share(images: np.ndarray) -> np.ndarray:
    """A classifier that sees `MASK` alone: malignant by its mean grey, else benign."""
    malignant = images[:, MASK].mean(axis=1) / 255
    return np.stack([1 - malignant, malignant, np.zeros(len(images))], axis=1)


class TestLocalisation:
    def test_a_map_inside_the_mask_has_all_its_energy_there(self):
        assert energy_inside(MASK.astype(np.float32), MASK) == 1
        assert energy_inside((~MASK).astype(np.float32), MASK) == 0

    @pytest.mark.parametrize("scale", [1, 1e-6, 300])
    def test_an_even_map_has_the_share_of_the_area(self, scale):
        assert energy_inside(np.full(MASK.shape, scale, dtype=np.float32), MASK) == pytest.approx(MASK.mean())

    def test_energy_by_hand(self):
        cam = np.array([[3.0, 1.0], [0.0, 4.0]])
        assert energy_inside(cam, np.array([[True, True], [False, False]])) == 0.5
        assert energy_inside(cam, np.array([[True, False], [True, False]])) == 3 / 8

    def test_pointing_by_hand(self):
        cam = np.array([[3.0, 1.0], [0.0, 4.0]])
        assert pointing_hit(cam, np.array([[False, False], [False, True]])) == 1
        assert pointing_hit(cam, np.array([[True, True], [True, False]])) == 0
        ties = np.array([[4.0, 1.0], [0.0, 4.0]])
        assert pointing_hit(ties, np.array([[False, False], [False, True]])) == 0.5

    def test_a_map_without_evidence_cannot_be_judged(self):
        assert energy_inside(np.zeros((4, 4)), np.ones((4, 4), dtype=bool)) is None
        assert pointing_hit(np.zeros((4, 4)), np.ones((4, 4), dtype=bool)) is None

    @pytest.mark.parametrize("measure", [energy_inside, pointing_hit])
    @pytest.mark.parametrize(("cam", "mask"), [
        (np.ones((4, 4)), np.ones((4, 5), dtype=bool)),
        (np.ones((4, 4)), np.ones((4, 4))),
        (-np.ones((4, 4)), np.ones((4, 4), dtype=bool)),
        (np.full((4, 4), np.nan), np.ones((4, 4), dtype=bool)),
    ])  # fmt: skip
    def test_what_is_no_map_is_refused(self, measure, cam, mask):
        with pytest.raises(ValueError):
            measure(cam, mask)


class TestCentredGaussian:
    def test_its_spread_is_a_quarter_of_each_side(self):
        gaussian = centred_gaussian(200, 400)
        assert gaussian.shape == (200, 400) and gaussian.min() > 0 and gaussian.max() == pytest.approx(1, abs=1e-3)
        rows = np.arange(200) - 99.5
        # exp(-1/2) at one sigma, 50 rows or 100 columns off
        assert gaussian[149, 199] == pytest.approx(np.exp(-0.5 * (49.5 / 50) ** 2), abs=1e-4)
        assert gaussian[99, 299] == pytest.approx(np.exp(-0.5 * (99.5 / 100) ** 2), abs=1e-4)
        assert np.average(rows, weights=gaussian.sum(axis=1)) == pytest.approx(0, abs=1e-9)

    def test_a_lesion_in_the_middle_gets_more_than_its_share(self):
        gaussian, centre = centred_gaussian(100, 100), disc(100, 100, 50, 50, 15)
        corner = disc(100, 100, 15, 15, 15)
        assert energy_inside(gaussian, centre) > 2 * centre.mean()
        assert energy_inside(gaussian, corner) < corner.mean()


class TestPatches:
    def test_they_tile_the_image_row_by_row(self):
        numbers = patch_numbers(HEIGHT, WIDTH)
        assert (np.bincount(numbers.ravel()) == 24).all() and len(np.unique(numbers)) == GRID**2
        assert numbers[0, 5] == 0 and numbers[0, 6] == 1 and numbers[4, 0] == GRID and numbers[-1, -1] == GRID**2 - 1

    def test_sizes_that_do_not_divide_evenly(self):
        counts = np.bincount(patch_numbers(33, 45).ravel())
        assert len(counts) == GRID**2 and counts.min() >= 2 * 3 and counts.max() <= 3 * 4

    def test_means(self):
        cam = np.zeros((HEIGHT, WIDTH))
        cam[0, 0], cam[4:8, :6] = 24, 5
        means = patch_means(cam)
        assert means[0] == 1 and means[GRID] == 5 and means.sum() == 6

    def test_order_by_mean_the_strongest_first(self):
        wanted = RANDOM(1).permutation(GRID**2)
        cam = (GRID**2 - np.argsort(wanted))[patch_numbers(HEIGHT, WIDTH)].astype(np.float32)
        assert patch_order(cam, RANDOM(0)).tolist() == wanted.tolist()

    def test_equals_come_in_random_order(self):
        cam = MASK.astype(np.float32)
        one, other = patch_order(cam, RANDOM(0)), patch_order(cam, RANDOM(1))
        inside = set(patch_numbers(HEIGHT, WIDTH)[MASK])
        assert set(one[:6]) == set(other[:6]) == inside
        assert one[6:].tolist() != other[6:].tolist() and one[6:].tolist() != sorted(one[6:])


class TestReplacementAuc:
    def test_deleting_the_evidence_first_by_hand(self):
        image, order = lesion_image(), patch_order(MASK.astype(np.float32), RANDOM(0))
        black = np.zeros_like(image)
        # the six patches go in the first step: 1 at the start, 0 from then on
        assert replacement_auc(image, black, order, 1, lesion_share) == pytest.approx(0.5 / STEPS)
        # and last, in the reverse order: 1 up to the last step but one
        assert replacement_auc(image, black, order[::-1], 1, lesion_share) == pytest.approx(1 - 0.5 / STEPS)

    def test_inserting_the_evidence_first_by_hand(self):
        image, order = lesion_image(), patch_order(MASK.astype(np.float32), RANDOM(0))
        black = np.zeros_like(image)
        assert replacement_auc(black, image, order, 1, lesion_share) == pytest.approx(1 - 0.5 / STEPS)
        assert replacement_auc(black, image, order[::-1], 1, lesion_share) == pytest.approx(0.5 / STEPS)

    def test_a_random_order_is_in_the_middle(self):
        image = lesion_image()
        areas = [
            replacement_auc(image, np.zeros_like(image), RANDOM(seed).permutation(GRID**2), 1, lesion_share)
            for seed in range(100)
        ]
        assert np.mean(areas) == pytest.approx(0.5, abs=0.03)

    def test_one_patch_of_evidence_is_found_at_its_turn(self):
        """Evidence in the patch at place k of the order goes in the first step that has replaced more than k."""
        numbers = patch_numbers(HEIGHT, WIDTH)
        order = RANDOM(0).permutation(GRID**2)
        for place, step in ((0, 1), (19, 1), (20, 2), (100, 6), (GRID**2 - 1, STEPS)):
            evidence = numbers == order[place]

            def predict(images, evidence=evidence):
                return np.repeat(images[:, evidence].mean(axis=1, keepdims=True) / 255, 3, axis=1)

            image = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
            area = replacement_auc(image, np.zeros_like(image), order, 0, predict)
            assert area == pytest.approx((step - 0.5) / STEPS)

    def test_it_goes_from_the_image_to_the_baseline_in_one_call(self):
        seen = []

        def predict(images):
            seen.append(images)
            return np.full((len(images), 3), [0.2, 0.3, 0.5])

        image = picture(0, HEIGHT, WIDTH)
        baseline = mean_baseline(image)
        assert replacement_auc(image, baseline, np.arange(GRID**2), 2, predict) == pytest.approx(0.5)
        (images,) = seen
        assert images.shape == (STEPS + 1, HEIGHT, WIDTH) and images.dtype == np.uint8
        assert (images[0] == image).all() and (images[-1] == baseline).all()
        shares = [np.mean((shown == baseline) & (image != baseline)) for shown in images]
        assert np.diff(shares) == pytest.approx(np.full(STEPS, shares[-1] / STEPS), abs=0.02)

    def test_the_baseline_is_the_mean_grey(self):
        baseline = mean_baseline(np.array([[0, 10], [20, 31]], dtype=np.uint8))
        assert baseline.dtype == np.uint8 and baseline.tolist() == [[15, 15], [15, 15]]

    @pytest.mark.parametrize(("image", "baseline", "order"), [
        (np.zeros((56, 84)), np.zeros((56, 85)), np.arange(196)),
        (np.zeros((13, 84)), np.zeros((13, 84)), np.arange(196)),
        (np.zeros((56, 84)), np.zeros((56, 84)), np.arange(195)),
        (np.zeros((56, 84)), np.zeros((56, 84)), np.zeros(196)),
    ])  # fmt: skip
    def test_what_cannot_be_measured_is_refused(self, image, baseline, order):
        with pytest.raises(ValueError):
            replacement_auc(image, baseline, order, 0, lesion_share)


class TestRankCorrelation:
    def test_any_rising_change_keeps_the_ranks(self):
        cam = RANDOM(0).random((8, 9))
        assert rank_correlation(cam, np.exp(5 * cam)) == pytest.approx(1)
        assert rank_correlation(cam, -(cam**3)) == pytest.approx(-1)

    def test_by_hand(self):
        # 1 - 6 * sum of squared rank differences / (n (n^2 - 1)) = 1 - 6 * 2 / (4 * 15)
        assert rank_correlation(np.array([[1, 2], [3, 4]]), np.array([[10, 30], [20, 40]])) == pytest.approx(0.8)

    def test_an_even_map_has_no_ranks(self):
        assert rank_correlation(np.ones((3, 3)), RANDOM(0).random((3, 3))) is None
        assert rank_correlation(RANDOM(0).random((3, 3)), np.zeros((3, 3))) is None


def prediction(cam: np.ndarray, shown: str = "malignant") -> Prediction:
    probabilities = {name: 0.9 if name == shown else 0.05 for name in CLASSES}
    maps = MASK, MASK.astype(np.float32), probabilities, cam.astype(np.float32)
    fields = {"cam_peak": float(cam.max()), "threshold": 0.5, "agreement": Agreement.AGREES}
    return Prediction("toy", lesion_image(), *maps, shown, **fields)


def examine(cam: np.ndarray, shown: str = "malignant", truth: np.ndarray | None = MASK, others=()) -> CamResult:
    return examine_cam("a.png", prediction(cam, shown), truth, others, lesion_share, RANDOM(0))


class TestExamineCam:
    def test_a_perfect_map(self):
        found = examine(MASK.astype(float))
        assert (found.image, found.cam_class) == ("a.png", "malignant")
        assert (found.energy_inside, found.pointing_hit, found.area_share) == (1, 1, pytest.approx(MASK.mean()))
        assert found.energy_gain_over_area == pytest.approx(1 - MASK.mean())
        gaussian = centred_gaussian(HEIGHT, WIDTH)
        assert found.gaussian_energy_inside == pytest.approx(gaussian[MASK].sum() / gaussian.sum())
        assert found.energy_gain_over_gaussian == pytest.approx(1 - found.gaussian_energy_inside)
        background = int(lesion_image().mean() + 0.5) / 255  # the baseline's grey: what is left of the evidence
        left = 1 - background
        assert found.deletion_auc == pytest.approx(background + left * 0.5 / STEPS)
        assert found.insertion_auc == pytest.approx(background + left * (1 - 0.5 / STEPS))
        assert found.deletion_gain == pytest.approx(found.deletion_auc_random - found.deletion_auc)
        assert found.insertion_gain == pytest.approx(found.insertion_auc - found.insertion_auc_random)
        assert found.deletion_gain > 0.2 and found.insertion_gain > 0.2

    def test_a_map_of_everything_but_the_lesion(self):
        found = examine((~MASK).astype(float))
        assert (found.energy_inside, found.pointing_hit) == (0, 0)
        assert found.deletion_gain < -0.2 and found.insertion_gain < -0.2
        assert found.energy_gain_over_area < 0 and found.energy_gain_over_gaussian < 0

    @pytest.mark.parametrize(("shown", "truth"), [
        ("malignant", None), ("malignant", np.zeros_like(MASK)), ("normal", MASK),
    ])  # fmt: skip
    def test_no_place_where_the_map_should_lie(self, shown, truth):
        found = examine(MASK.astype(float), shown, truth)
        assert found.energy_inside is found.area_share is found.pointing_hit is found.energy_gain_over_area is None
        assert found.gaussian_energy_inside is found.energy_gain_over_gaussian is None
        assert found.deletion_auc is not None

    def test_no_evidence_nothing_to_judge(self):
        found = examine(np.zeros(MASK.shape))
        assert all(getattr(found, name) is None for name in MEASURES)

    def test_the_probability_is_that_of_the_class_shown(self):
        assert examine(MASK.astype(float), "normal").deletion_auc == 0
        benign, malignant = examine(MASK.astype(float), "benign"), examine(MASK.astype(float), "malignant")
        assert benign.deletion_auc == pytest.approx(1 - malignant.deletion_auc)

    def test_random_weights(self):
        cam = RANDOM(0).random((GRID, GRID))[np.arange(HEIGHT)[:, None] // 4, np.arange(WIDTH) // 6]
        one = examine(cam, others=[cam**2, np.zeros_like(cam)])  # an empty map says nothing
        assert one.randomised_correlation == pytest.approx(1)
        two = examine(cam, others=[cam**2, 1 - cam])
        assert two.randomised_correlation == pytest.approx(0, abs=1e-9)
        assert two.randomised_correlation_absolute == pytest.approx(1)
        assert examine(cam, others=[np.zeros_like(cam)]).randomised_correlation is None


class TestSummariseCams:
    RESULTS = (
        CamResult("a", "benign", energy_inside=0.2, area_share=0.05, deletion_auc=0.4),
        CamResult("b", "normal", deletion_auc=0.6),
        CamResult("c", "benign"),
        CamResult("d", "benign", energy_inside=0.6, area_share=0.15, deletion_auc=0.5),
    )

    def test_means_over_those_that_have_it(self):
        found = summarise_cams(self.RESULTS)
        assert (found["n"], found["without_evidence_n"]) == (4, 1)
        assert found["measures"]["energy_inside"] == {"mean": pytest.approx(0.4), "n": 2}
        assert found["measures"]["deletion_auc"] == {"mean": pytest.approx(0.5), "n": 3}
        assert found["measures"]["insertion_gain"] == {"mean": None, "n": 0}
        assert found["measures"]["energy_over_area"] == {"mean": pytest.approx(0.4 / 0.1), "n": 2}
        assert summarise_cams(self.RESULTS[1:3])["measures"]["energy_over_area"] == {"mean": None, "n": 0}
        assert found["measures"].keys() == {*MEASURES, "energy_over_area"}
        assert [row["image"] for row in found["per_image"]] == ["a", "b", "c", "d"]
        assert found["per_image"][3]["energy_inside"] == 0.6
        assert found["settings"]["steps"] == faithfulness.STEPS

    def test_intervals(self):
        found = summarise_cams(self.RESULTS * 25, draw_resamples(range(100)))["measures"]
        assert found["energy_inside"]["interval"] == pytest.approx([0.4 - 0.055, 0.4 + 0.055], abs=0.015)
        assert found["energy_over_area"]["interval"] == pytest.approx([4, 4])  # the two cases have the same ratio
        assert found["insertion_gain"]["interval"] is None
