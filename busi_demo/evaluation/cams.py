"""All that `faithfulness` measures, of the Grad-CAM of one image, and the means over many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from busi_demo.evaluation import faithfulness as f
from busi_demo.evaluation.bootstrap import interval, weighted_mean
from busi_demo.imaging.masks import energy_inside
from busi_demo.types import CLASSES, Prediction


@dataclass(frozen=True)
class CamResult:
    """The measures of the map of one image; `None` where a measure is undefined.

    All are undefined for a map of zeros (no positive evidence). The first six are also undefined without a complete
    true mask, and for a map of the class 'normal', because its evidence need not lie in the lesion.

    Attributes:
        image: name of the image.
        cam_class: the class that the map explains, the predicted one.
        energy_inside: share of the map's energy inside the true mask, in [0, 1].
        area_share: the mask's share of the image, in (0, 1].
        gaussian_energy_inside: share of a centred Gaussian's energy inside the mask, in [0, 1].
        energy_gain_over_area, energy_gain_over_gaussian: `energy_inside` minus these, in [-1, 1], above 0 is good.
        pointing_hit: in [0, 1], whether the strongest pixel lies inside the mask.
        deletion_auc, deletion_auc_random: in [0, 1], low is good; in the map's order and in random order.
        deletion_gain: random minus map, in [-1, 1], above 0 is good.
        insertion_auc, insertion_auc_random: in [0, 1], high is good.
        insertion_gain: map minus random, in [-1, 1], above 0 is good.
        randomised_correlation: Spearman's, of patch means, with the map of the same architecture with random weights,
            mean over several drawings of them, in [-1, 1]. Near 0 is good; near 1 the map shows the architecture and
            the image, not what was learnt. `None` also where no such map shows anything.
        randomised_correlation_absolute: the mean of the same without its sign, in [0, 1]. Smooth maps agree somewhat by
            chance, so it never reaches 0.
    """

    image: str
    cam_class: str
    energy_inside: float | None = None
    area_share: float | None = None
    gaussian_energy_inside: float | None = None
    energy_gain_over_area: float | None = None
    energy_gain_over_gaussian: float | None = None
    pointing_hit: float | None = None
    deletion_auc: float | None = None
    deletion_auc_random: float | None = None
    deletion_gain: float | None = None
    insertion_auc: float | None = None
    insertion_auc_random: float | None = None
    insertion_gain: float | None = None
    randomised_correlation: float | None = None
    randomised_correlation_absolute: float | None = None


MEASURES = tuple(name for name in CamResult.__dataclass_fields__ if name not in ("image", "cam_class"))


def examine_cam(
    name: str,
    prediction: Prediction,
    truth: np.ndarray | None,
    randomised_cams: Sequence[np.ndarray],
    predict_probabilities: f.PredictProbabilities,
    generator: np.random.Generator,
) -> CamResult:
    """Measure the map of one prediction; runs the network on 4 * (STEPS + 1) changed images.

    Args:
        name: of the image.
        truth: bool (H, W), True inside the lesion; `None` or empty where there is none or it is incomplete.
        randomised_cams: float (H, W) each, maps by the same architecture with random weights. Each of the class that
            network answers: classes mean nothing to it, and its map of a class given to it is often all zero.
        predict_probabilities: uint8 (N, H, W) -> float (N, 3), the network that made the prediction.
        generator: of the random order and of ties.
    """
    cam, shown, image = prediction.cam, prediction.cam_class, prediction.image
    if not cam.any():
        return CamResult(name, shown)
    localisation: dict[str, float | None] = {}
    if truth is not None and truth.any() and shown != "normal":
        energy = energy_inside(cam, truth)
        gaussian = energy_inside(f.centred_gaussian(*truth.shape), truth)
        area = float(truth.mean())
        assert energy is not None and gaussian is not None  # neither map is all zero
        localisation |= {
            "energy_inside": energy,
            "area_share": area,
            "gaussian_energy_inside": gaussian,
            "energy_gain_over_area": energy - area,
            "energy_gain_over_gaussian": energy - gaussian,
            "pointing_hit": f.pointing_hit(cam, truth),
        }
    baseline, column = f.mean_baseline(image), CLASSES.index(shown)
    by_cam, at_random = f.patch_order(cam, generator), generator.permutation(f.GRID**2)
    deletion, deletion_random, insertion, insertion_random = (
        f.replacement_auc(start, end, order, column, predict_probabilities)
        for start, end in ((image, baseline), (baseline, image))
        for order in (by_cam, at_random)
    )
    means = f.patch_means(cam)
    correlations = [f.rank_correlation(means, f.patch_means(other)) for other in randomised_cams]
    known = [c for c in correlations if c is not None]
    return CamResult(
        name,
        shown,
        **localisation,
        deletion_auc=deletion,
        deletion_auc_random=deletion_random,
        deletion_gain=deletion_random - deletion,
        insertion_auc=insertion,
        insertion_auc_random=insertion_random,
        insertion_gain=insertion - insertion_random,
        randomised_correlation=float(np.mean(known)) if known else None,
        randomised_correlation_absolute=float(np.mean(np.abs(known))) if known else None,
    )


def summarise_cams(results: Sequence[CamResult], weights: np.ndarray | None = None) -> dict[str, Any]:
    """The mean of each measure over the images that have it, in plain JSON values.

    Args:
        results: N results.
        weights: float (R, N) from `bootstrap.draw_resamples`; `None` for no intervals.
    Returns:
        n: number of images; without_evidence_n: those with a map of zeros; settings: how it was measured;
        measures: name -> mean (`None` of no image), n (images that have it) and, with weights, its 95 % interval;
        beside the fields of a result `energy_over_area`, mean energy inside over mean area share: 1 is what a uniform
        map has;
        per_image: all fields of every result.
    """
    columns = {name: [getattr(r, name) for r in results] for name in MEASURES}
    measures: dict[str, dict[str, Any]] = {}
    for name, values in columns.items():
        known = [v for v in values if v is not None]
        measures[name] = {"mean": float(np.mean(known)) if known else None, "n": len(known)}
        if weights is not None:
            measures[name]["interval"] = interval(weighted_mean(values, weights))
    energy, area = measures["energy_inside"], measures["area_share"]
    measures["energy_over_area"] = {"mean": energy["mean"] / area["mean"] if area["n"] else None, "n": area["n"]}
    if weights is not None:
        ratios = weighted_mean(columns["energy_inside"], weights) / weighted_mean(columns["area_share"], weights)
        measures["energy_over_area"]["interval"] = interval(ratios)
    return {
        "n": len(results),
        "without_evidence_n": sum(r.deletion_auc is None for r in results),
        "settings": {"patches": [f.GRID, f.GRID], "steps": f.STEPS, "baseline": "mean grey of the image",
                     "gaussian_sigma": f.GAUSSIAN_SIGMA},
        "measures": measures,
        "per_image": [asdict(r) for r in results],
    }  # fmt: skip
