"""Plain properties of a picture: numbers that differ between B-mode ultrasound and other pictures.

Ultrasound has few light and many dark grey values, a texture whose contrast is proportional to its brightness
(multiplicative speckle; Wagner et al., IEEE Trans. Sonics Ultrasonics 1983), is brighter near the skin than at depth,
and has layers and a lateral resolution that make vertical gradients stronger than horizontal ones. A negative, a turned
scan or a photograph differs in several of these.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image

SIDE = 256
"""The longest side at which properties are measured, pixels."""

_DARK, _BRIGHT = 12, 235
_BANDS, _COLUMNS, _OCTAVES = 8, 6, 4
_WINDOW = 7  # of local means and deviations, pixels
_LEVELS = 64  # of the histogram


def properties(pixels: np.ndarray) -> np.ndarray:
    """Measure a picture.

    Args:
        pixels: uint8 (H, W).
    Returns:
        float32 (len(PROPERTIES),), in the order of `PROPERTIES`; finite.
    """
    return np.array(list(_measured(pixels).values()), dtype=np.float32)


def _measured(pixels: np.ndarray) -> Mapping[str, float]:
    grey = _resized(pixels)
    mean = _local_mean(grey)
    deviation = np.sqrt(np.maximum(_local_mean(grey * grey) - mean * mean, 0))
    return {
        **_tones(grey),
        **_profiles(grey, deviation),
        **_gradients(grey),
        **_speckle(grey, mean, deviation),
        **_correlations(grey - mean),
    }


def _resized(pixels: np.ndarray) -> np.ndarray:
    scale = SIDE / max(pixels.shape)
    size = [max(2 ** (_OCTAVES - 1) * 2, round(side * scale)) for side in pixels.shape[::-1]]
    resample = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize((size[0], size[1]), resample), dtype=np.float32)


def _local_mean(values: np.ndarray) -> np.ndarray:
    return cv2.blur(values, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT)


def _tones(grey: np.ndarray) -> dict[str, float]:
    """Quantiles, shares of dark and bright pixels, and how few grey values hold most pixels."""
    shares = (0.05, 0.25, 0.5, 0.75, 0.95, 0.995)
    values = dict(zip((f"quantile {s}" for s in shares), np.quantile(grey, shares) / 255, strict=True))
    counts = np.bincount((grey * (_LEVELS / 256)).astype(int).ravel(), minlength=_LEVELS) / grey.size
    largest, occupied = np.sort(counts)[::-1], counts[counts > 0]
    return values | {
        "dark": float((grey < _DARK).mean()),
        "bright": float((grey > _BRIGHT).mean()),
        "entropy": float(-(occupied * np.log(occupied)).sum()),
        "in 2 tones": float(largest[:2].sum()),
        "in 8 tones": float(largest[:8].sum()),
    }


def _profiles(grey: np.ndarray, deviation: np.ndarray) -> dict[str, float]:
    """Brightness and detail by depth and by column, relative to the whole, as logarithms."""
    rows, columns, mean = grey.mean(axis=1), grey.mean(axis=0), float(grey.mean()) + 1
    bands = [float(part.mean()) for part in np.array_split(rows, _BANDS)]
    sides = [float(part.mean()) for part in np.array_split(columns, _COLUMNS)]
    half = _COLUMNS // 2
    third, detail = len(rows) // 3, float(deviation.mean()) + 1
    return (
        {f"band {i}": float(np.log((band + 4) / (mean + 4))) for i, band in enumerate(bands)}
        | {f"columns {i}": float(np.log((sides[i] + sides[-1 - i] + 8) / (2 * mean + 8))) for i in range(half)}
        | {
            "asymmetry": abs(float(np.log((sum(sides[:half]) + 12) / (sum(sides[half:]) + 12)))),
            "layers": float(np.log((rows.std() + 1) / (columns.std() + 1))),
            "detail above": float(np.log((deviation[:third].mean() + 1) / detail)),
            "detail below": float(np.log((deviation[-third:].mean() + 1) / detail)),
        }
    )


def _gradients(grey: np.ndarray) -> dict[str, float]:
    """At each octave: vertical against horizontal gradients, their strength, how sparse they are, and whether steps to
    bright or to dark prevail downwards."""
    values: dict[str, float] = {}
    for octave in range(_OCTAVES):
        step = np.diff(grey, axis=0)
        down, across = np.abs(step)[:, :-1], np.abs(np.diff(grey, axis=1))[:-1]
        size, steps = down + across, np.abs(step)
        values[f"anisotropy {octave}"] = float(np.log((down.mean() + 0.5) / (across.mean() + 0.5)))
        values[f"gradient {octave}"] = float(np.log((size.mean() + 0.5) / (grey.mean() + 4)))
        values[f"sparseness {octave}"] = float(np.log((np.sqrt((size * size).mean()) + 0.5) / (size.mean() + 0.5)))
        values[f"downwards {octave}"] = float((step * step * step).mean() / ((steps * steps * steps).mean() + 1))
        if octave < _OCTAVES - 1:
            height, width = grey.shape[0] // 2, grey.shape[1] // 2
            grey = grey[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    return values


def _speckle(grey: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> dict[str, float]:
    """How the local deviation depends on the local mean, and the shape of the local distribution."""
    lit = mean > _DARK / 2
    names = ("contrast to mean", "slope", "contrast", "lowest contrast", "skewness", "kurtosis", "deviation to mean")
    if lit.mean() < 0.02:
        return dict.fromkeys(names, 0.0)
    means, deviations = mean[lit], deviation[lit]
    log_mean, log_deviation = np.log(means + 2), np.log(deviations + 1)
    contrast, z = deviations / (means + 2), (grey[lit] - means) / (deviations + 2)
    spread, squares = float(log_mean.var()), z * z
    slope = float(((log_mean - log_mean.mean()) * (log_deviation - log_deviation.mean())).mean()) / (spread + 1e-3)
    values = (
        _correlation(log_mean, log_deviation), np.clip(slope, -3, 3),
        np.log(np.median(contrast) + 0.01), np.log(np.quantile(contrast, 0.1) + 0.01),
        (z * squares).mean(), (squares * squares).mean(), _correlation(means, deviations),
    )  # fmt: skip
    return dict(zip(names, map(float, values), strict=True))


def _correlations(residual: np.ndarray) -> dict[str, float]:
    """Correlation of the texture with itself some pixels to the right and below."""
    variance = float((residual * residual).mean()) + 1e-3
    return {
        f"{name} {lag}": float((moved * residual[: moved.shape[0], : moved.shape[1]]).mean()) / variance
        for lag in (1, 2, 4)
        for name, moved in (("texture across", residual[:, lag:]), ("texture down", residual[lag:]))
    }


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation; 0 where one of them hardly varies."""
    deviations = float(first.std()) * float(second.std())
    return float(((first - first.mean()) * (second - second.mean())).mean()) / deviations if deviations > 1e-3 else 0.0


PROPERTIES: tuple[str, ...] = tuple(_measured(np.zeros((SIDE, SIDE), dtype=np.uint8)))
"""Names of the properties, in the order of `properties`."""
