"""Simulated B-mode breast ultrasound with exact masks.

Random scatterers, weighted by the echogenicity of layered tissue, are convolved with the point-spread function of a
linear array; envelope detection and log compression make the picture (Bamber & Dickinson, Ultrasonic B-scanning: a
computer simulation, Phys. Med. Biol. 1980; Meunier & Bertrand, Ultrasonic texture motion analysis: theory and
simulation, IEEE Trans. Med. Imaging 1995). The convolution is done in baseband: scatterers are mixed down by the
carrier and filtered with the Gaussian envelope of the pulse; its lateral width grows away from the focus.

Lesions follow the descriptors of the ACR BI-RADS ultrasound lexicon. Benign: oval, smooth, wider than tall, enhancement
behind. Malignant: irregular or spiculated, often taller than wide, fuzzy, shadow behind. Normal: layers only. Gain,
speckle and layers have the same distribution for all classes, so that only these signs distinguish them. Nothing is
taken from a real image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom
from scipy.ndimage import label as label_regions

from busi_demo.types import CLASSES, InputError

MIN_SIDE = 32
_LOOKS = 3  # views that are averaged to reduce speckle, as scanners do


@dataclass(frozen=True, eq=False)
class Phantom:
    """A simulated image.

    Attributes:
        image: uint8 (H, W), log-compressed grey values 0 to 255, the skin at the top.
        mask: bool (H, W), True inside the lesion; one connected region, or empty for "normal".
        label: one of `CLASSES`.
    """

    image: np.ndarray
    mask: np.ndarray
    label: str


def make_phantom(label: str, seed: int, height: int = 224, width: int = 224) -> Phantom:
    """Simulate one image; equal arguments give equal pixels on one machine.

    Args:
        label: one of `CLASSES`.
        seed: not negative; other seeds give other tissue and another lesion.
        height, width: in pixels, at least 32.
    Raises:
        InputError: no such class, or a side under 32 pixels.
    """
    if label not in CLASSES:
        raise InputError(f"There is no class {label!r}: choose one of {', '.join(CLASSES)}.")
    if min(height, width) < MIN_SIDE:
        raise InputError(f"A phantom needs at least {MIN_SIDE} pixels a side, got {width} x {height}.")
    rng = np.random.default_rng([seed, CLASSES.index(label)])
    decibels = _tissue(rng, height, width)
    mask = np.zeros((height, width), dtype=bool)
    if label != "normal":
        decibels, mask = _add_lesion(rng, decibels, malignant=label == "malignant")
    return Phantom(_acquire(rng, decibels), mask, label)


def _noise(rng: np.random.Generator, shape: tuple[int, int], rows: float, columns: float) -> np.ndarray:
    """Smooth random field of zero mean and unit variance with correlation lengths in pixels, float32 `shape`."""
    coarse = (max(4, round(3 * shape[0] / rows)), max(4, round(3 * shape[1] / columns)))
    if coarse[0] < shape[0] and coarse[1] < shape[1]:
        field = gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), 1.2)
        field = zoom(field, (shape[0] / coarse[0], shape[1] / coarse[1]), order=1, mode="nearest", grid_mode=True)
    else:
        field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (rows / 2.5, columns / 2.5))
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def _waves(rng: np.random.Generator, width: int, amplitude: float) -> np.ndarray:
    """A smooth random line, float64 (width,), of about the given amplitude."""
    x = np.linspace(0, 1, width)
    line = np.zeros(width)
    for harmonic in (0.5, 1.0, 1.7, 3.1):
        line += rng.normal() / (1 + harmonic) * np.sin(2 * np.pi * (harmonic * x + rng.random()))
    return amplitude * line


def _tissue(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Echogenicity in decibels, float32 (H, W): skin, fat, gland, fat, muscle, each with its own texture."""
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    skin = rng.uniform(0.02, 0.05) + _waves(rng, width, 0.004)
    fat = skin + rng.uniform(0.08, 0.26) + _waves(rng, width, 0.035)
    gland = fat + rng.uniform(0.3, 0.5) + _waves(rng, width, 0.045)
    deep_fat = gland + rng.uniform(0.03, 0.12) + _waves(rng, width, 0.02)
    unit = min(height, width)
    clouds = _noise(rng, (height, width), 0.06 * unit, 0.11 * unit)
    fine, coarse = (_strands(rng, (height, width), size * unit, stretch) for size, stretch in ((0.035, 5), (0.085, 4)))
    levels = (2.0, rng.uniform(-15, -10), rng.uniform(-10, -5), rng.uniform(-16, -12), rng.uniform(-15, -10))
    textures = (
        2 * clouds,
        rng.uniform(8, 14) * coarse + 1.5 * clouds,
        rng.uniform(2, 4.5) * clouds + rng.uniform(6, 11) * fine + rng.uniform(3, 9) * coarse,
        9 * coarse + 1.5 * clouds,
        rng.uniform(9, 15) * fine + clouds,
    )
    decibels = np.zeros((height, width), dtype=np.float32)
    upper = np.zeros(width)
    for level, texture, lower in zip(levels, textures, (skin, fat, gland, deep_fat, np.full(width, 2.0)), strict=True):
        inside = (depth >= upper) & (depth < lower)
        decibels[inside] = (level + texture)[inside]
        upper = np.maximum(lower, upper)
    for border, brightness in ((fat, 5), (gland, 7), (deep_fat, rng.uniform(9, 15))):
        broken = np.clip(0.6 + 0.5 * _waves(rng, width, 1.0), 0, 1.2)
        decibels += brightness * broken * np.exp(-(((depth - border) / 0.008) ** 2))
    columns = gaussian_filter1d(rng.standard_normal(width), 0.03 * width, mode="nearest")
    columns *= rng.uniform(0, 6) / max(float(columns.std()), 1e-6)  # poor contact and bundles of tissue cast stripes
    decibels -= np.clip(columns, 0, None) * np.clip(2 * depth, 0, 1)
    return gaussian_filter(decibels, 0.003 * unit).astype(np.float32)


def _strands(rng: np.random.Generator, shape: tuple[int, int], size: float, stretch: float) -> np.ndarray:
    """Thin bright fibres along the layers, float32 `shape` in [0, 1]: zero crossings of a stretched random field."""
    lines = np.exp(-((_noise(rng, shape, size, stretch * size) / 0.22) ** 2))
    return lines * np.clip(0.5 + 0.6 * _noise(rng, shape, 3 * size, stretch * size), 0, 1)


def _add_lesion(rng: np.random.Generator, decibels: np.ndarray, malignant: bool) -> tuple[np.ndarray, np.ndarray]:
    """Put a lesion into the tissue: echogenicity float32 (H, W) and the exact mask, bool (H, W)."""
    height, width = decibels.shape
    area = float(np.exp(rng.uniform(np.log(0.02), np.log(0.22)))) * height * width
    aspect = rng.uniform(0.7, 1.25) if malignant else rng.uniform(1.4, 2.3)  # width / height
    half_height = min(np.sqrt(area / (np.pi * aspect)), 0.34 * height, 0.4 * width / aspect)
    half_width = half_height * aspect
    row = rng.uniform(min(0.14 * height + half_height, 0.5 * height), max(0.75 * height - half_height, 0.51 * height))
    column = rng.uniform(half_width, width - half_width)
    tilt = rng.normal(0, 0.25 if malignant else 0.12)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across, down = x - column, y - row
    u = (across * np.cos(tilt) + down * np.sin(tilt)) / half_width
    v = (down * np.cos(tilt) - across * np.sin(tilt)) / half_height
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    reach = _outline(rng, malignant)(angle)
    mask = _largest(radius <= reach)
    inside = gaussian_filter(mask.astype(np.float32), (0.012 if malignant else 0.004) * min(height, width))

    if malignant:
        level, behind = rng.uniform(-29, -20), -rng.uniform(8, 18)
        halo = rng.uniform(0, 5) * np.exp(-(((radius - reach - 0.12) / 0.12) ** 2))
    else:
        cyst = rng.random() < 0.3
        level = rng.uniform(-38, -30) if cyst else rng.uniform(-24, -17)
        behind = rng.uniform(7, 11) if cyst else rng.uniform(4, 8)
        halo = rng.uniform(1, 6) * np.exp(-(((radius - reach) / 0.05) ** 2))  # the capsule
    inner = level + rng.uniform(1, 2.5) * _noise(rng, decibels.shape, 0.06 * height, 0.08 * width)
    path = np.cumsum(mask, axis=0) / max(1, int(mask.sum(axis=0).max()))  # tissue crossed, as a share of the thickest
    path = gaussian_filter1d(path.astype(np.float32), 0.02 * width, axis=1)
    fading = np.exp(-np.clip(down / half_height - 1, 0, None) * rng.uniform(0.1, 0.35))
    mixed = (decibels + halo) * (1 - inside) + inner * inside
    return (mixed + behind * path * fading * (1 - inside)).astype(np.float32), mask


def _outline(rng: np.random.Generator, malignant: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Distance of the border from the centre as a function of the angle, about 1 for an ellipse."""
    harmonics = np.arange(2, 9) if malignant else np.arange(2, 5)
    size = rng.normal(0, 0.16 if malignant else 0.04, len(harmonics)) / np.sqrt(harmonics - 1)
    phase = rng.uniform(0, 2 * np.pi, len(harmonics))
    spikes = int(rng.integers(5, 12)) if malignant and rng.random() < 0.6 else 0
    turn, sharpness, length = rng.uniform(0, 2 * np.pi), rng.uniform(4, 9), rng.uniform(0.2, 0.45)

    def reach(angle: np.ndarray) -> np.ndarray:
        line = 1 + sum(s * np.cos(h * angle + p) for h, s, p in zip(harmonics, size, phase, strict=True))
        if spikes:
            wobble = angle + 0.25 * np.sin(2 * angle + phase[0])
            uneven = 0.7 + 0.5 * np.cos(3 * angle + phase[1])
            line = line + length * uneven * np.abs(np.cos(spikes * wobble / 2 + turn)) ** sharpness
        return np.clip(line, 0.35, 1.9)

    return reach


def _largest(mask: np.ndarray) -> np.ndarray:
    regions, _ = label_regions(mask)
    return regions == 1 + int(np.bincount(regions.ravel())[1:].argmax())


def _acquire(rng: np.random.Generator, decibels: np.ndarray) -> np.ndarray:
    """Scan echogenicity in decibels, float32 (H, W): speckle, envelope, log compression to uint8 (H, W)."""
    height, width = decibels.shape
    unit = min(height, width) / 224
    pulse, beam = rng.uniform(0.7, 1.1) * unit, rng.uniform(1.2, 2.2) * unit  # standard deviations in pixels
    amplitude = 10 ** (decibels / 20)
    phase = (2 * np.pi * 0.31 * np.arange(height, dtype=np.float32))[:, None]
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    focus = np.clip(np.abs(depth - rng.uniform(0.3, 0.6)) * 1.6, 0, 1)
    power = np.zeros((height, width), dtype=np.float32)
    for _ in range(_LOOKS):
        scatterers = rng.standard_normal((height, width), dtype=np.float32) * amplitude
        for carrier in (np.cos(phase), np.sin(phase)):
            mixed = gaussian_filter1d(scatterers * carrier, pulse, axis=0)
            sharp, wide = (gaussian_filter1d(mixed, s, axis=1) * np.sqrt(s) for s in (beam, 1.8 * beam))
            power += ((1 - focus) * sharp + focus * wide) ** 2
    level = 10 * np.log10(power + 1e-8)
    level -= rng.uniform(8, 30) * np.clip(depth - rng.uniform(0.3, 0.55), 0, None)  # what gain over depth leaves
    span, white = rng.uniform(48, 60), float(np.percentile(level, rng.uniform(99.2, 99.9)))
    grey = np.clip(1 + (level - white) / span, 0, 1) ** rng.uniform(1.7, 2.6)
    grey = gaussian_filter(grey, 0.5 * unit)
    return np.rint(255 * grey).astype(np.uint8)


PHANTOMS = "phantoms"


@dataclass(frozen=True)
class PhantomSample:
    """A simulated `Sample`; each call of `read` simulates it again from its seed."""

    name: str
    label: str
    seed: int
    mask_complete: bool = True
    label_certain: bool = True

    @property
    def group(self) -> str:
        return self.name

    @property
    def findings(self) -> Mapping[str, str]:
        return {}

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        phantom = make_phantom(self.label, self.seed)
        return phantom.image, phantom.mask


def phantom_samples(per_class: int, first_seed: int) -> list[PhantomSample]:
    """Simulated images, `per_class` of each class, named by their seeds."""
    return [
        PhantomSample(f"phantom_{label}_{seed}", label, seed)
        for label in CLASSES
        for seed in range(first_seed, first_seed + per_class)
    ]
