"""Augmentation for ultrasound images: geometry, gain, speckle, resolution, measuring marks, and screens of machines."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from busi_demo.data.screen import screen


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(1).uniform_(low, high))


class RandomGamma(v2.Transform):
    """Raise grey values to a random power: gain and log-compression differ between devices. Image: uint8 (1, h, w)."""

    def __init__(self, low: float = 0.6, high: float = 1.6) -> None:
        super().__init__()
        self.low, self.high = low, high

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"gamma": _uniform(self.low, self.high)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.adjust_gamma(inpt, params["gamma"]) if isinstance(inpt, tv_tensors.Image) else inpt


class RandomSpeckle(v2.Transform):
    """Multiply by correlated noise, as speckle does before log compression. Image: uint8 (1, h, w).

    Args:
        strength: largest standard deviation of the factor.
    """

    def __init__(self, strength: float = 0.25) -> None:
        super().__init__()
        self.strength = strength

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = F.get_size(flat_inputs[0])
        grain = _uniform(1.0, 3.0)
        coarse = torch.randn(1, 1, max(1, round(height / grain)), max(1, round(width / grain)))
        noise = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0]
        return {"factor": 1 + noise * _uniform(0, self.strength)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        noisy = (inpt.float() * params["factor"]).clamp(0, 255).to(torch.uint8)
        return tv_tensors.wrap(noisy, like=inpt)


class RandomCalipers(v2.Transform):
    """Draw measuring crosses and a dotted line at random places, so that such marks do not indicate a lesion.

    Image: uint8 (1, h, w); the mask is not changed.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"ends": torch.rand(2, 2) * 0.9 + 0.05, "grey": int(_uniform(140, 255)), "dotted": _uniform(0, 1) < 0.5}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        height, width = F.get_size(inpt)
        pixels, grey = inpt.clone(), params["grey"]
        ends = (params["ends"] * torch.tensor([height - 1, width - 1])).round().long()
        for row, column in ends.tolist():
            pixels[:, max(0, row - 3) : row + 4, column] = grey
            pixels[:, row, max(0, column - 3) : column + 4] = grey
        if params["dotted"]:
            steps = torch.linspace(0, 1, int((ends[1] - ends[0]).abs().max()) // 4 + 2)[:, None]
            rows, columns = (ends[0] + steps * (ends[1] - ends[0])).round().long().unbind(1)
            pixels[:, rows, columns] = grey
        return tv_tensors.wrap(pixels, like=inpt)


class RandomGainRamp(v2.Transform):
    """Multiply by a factor that changes exponentially with depth and from left to right, as time gain compensation and
    poor contact of the probe do. Image: uint8 (1, h, w).

    Args:
        strength: largest absolute logarithm of the factor at the edges.
    """

    def __init__(self, strength: float = 0.8) -> None:
        super().__init__()
        self.strength = strength

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"depth": _uniform(-self.strength, self.strength), "side": _uniform(-self.strength, self.strength) / 2}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        height, width = F.get_size(inpt)
        rows, columns = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
        factor = (params["depth"] * rows + params["side"] * columns).exp()
        return tv_tensors.wrap((inpt.float() * factor).clamp(0, 255).to(torch.uint8), like=inpt)


class RandomAspect(v2.Transform):
    """Squeeze image and mask in one direction, as files without square pixels are. The square around them stays.

    Args:
        largest: ratio of the longer to the shorter side of a pixel, above 1.
    """

    def __init__(self, largest: float = 1.3) -> None:
        super().__init__()
        self.largest = largest

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = F.get_size(flat_inputs[0])
        share = 1 / _uniform(1, self.largest)
        size = (round(height * share), width) if _uniform(0, 1) < 0.5 else (height, round(width * share))
        return {"size": size, "square": (height, width)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.center_crop(F.resize(inpt, list(params["size"]), antialias=True), list(params["square"]))


class RandomLowResolution(v2.Transform):
    """Shrink and enlarge again, as pictures from slides and papers are. Image: uint8 (1, h, w).

    Args:
        smallest: share of the size to shrink to.
    """

    def __init__(self, smallest: float = 0.4) -> None:
        super().__init__()
        self.smallest = smallest

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"share": _uniform(self.smallest, 0.9)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        size = list(F.get_size(inpt))
        return F.resize(F.resize(inpt, [max(8, round(side * params["share"])) for side in size], antialias=True), size)


class RandomScreen(v2.Transform):
    """Shrink image and mask and put the screen of a machine around them. Image and mask: (1, h, w).

    Args:
        smallest, largest: side of the shrunk square as a share of the whole.
    """

    def __init__(self, smallest: float = 0.45, largest: float = 0.9) -> None:
        super().__init__()
        self.smallest, self.largest = smallest, largest

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = F.get_size(flat_inputs[0])
        share = _uniform(self.smallest, self.largest)
        h, w = round(height * share), round(width * share)
        top, left = int(_uniform(0, height - h)), int(_uniform(0, width - w))
        generator = np.random.default_rng(int(torch.randint(2**31, ())))
        return {
            "box": (top, left, h, w),
            "screen": torch.from_numpy(screen(height, width, (top, left, h, w), generator)),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        top, left, h, w = params["box"]
        whole = torch.zeros_like(inpt)
        if isinstance(inpt, tv_tensors.Image):
            whole[0] = params["screen"]
        whole[:, top : top + h, left : left + w] = F.resize(inpt, [h, w], antialias=True)
        return tv_tensors.wrap(whole, like=inpt)


def training_augmentation() -> v2.Compose:
    """The transforms of training, for a pair of `tv_tensors.Image` uint8 (1, h, w) and `tv_tensors.Mask` (1, h, w).

    Breast scans may be mirrored left to right, but not upside down: shadows and enhancement lie below a lesion.
    """
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply(
                [v2.RandomAffine(degrees=12, translate=(0.1, 0.1), scale=(0.75, 1.6), shear=(-6, 6, -6, 6),
                                 interpolation=v2.InterpolationMode.BILINEAR)],
                p=0.85,
            ),
            v2.RandomApply([RandomGamma()], p=0.6),
            v2.RandomApply([v2.ColorJitter(brightness=0.25, contrast=0.25)], p=0.5),
            v2.RandomApply([RandomSpeckle()], p=0.4),
            v2.RandomApply([v2.GaussianBlur(3, sigma=(0.3, 1.2))], p=0.15),
            v2.RandomApply([RandomCalipers()], p=0.15),
        ]
    )  # fmt: skip


def strong_augmentation() -> v2.Compose:
    """The transforms of `training_augmentation`, wider, with those that imitate what people upload: other gain, pixels
    that are not square, low resolution, JPEG, screens of machines."""
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([RandomAspect()], p=0.25),
            v2.RandomApply(
                [v2.RandomAffine(degrees=12, translate=(0.1, 0.1), scale=(0.7, 1.7), shear=(-6, 6, -6, 6),
                                 interpolation=v2.InterpolationMode.BILINEAR)],
                p=0.85,
            ),
            v2.RandomApply([RandomGamma(0.45, 2.0)], p=0.6),
            v2.RandomApply([RandomGainRamp()], p=0.4),
            v2.RandomApply([v2.ColorJitter(brightness=0.3, contrast=0.35)], p=0.5),
            v2.RandomApply([RandomSpeckle(0.45)], p=0.5),
            v2.RandomApply([v2.GaussianBlur(11, sigma=(0.3, 2.5))], p=0.25),
            v2.RandomApply([RandomLowResolution()], p=0.2),
            v2.RandomApply([RandomCalipers()], p=0.15),
            v2.RandomApply([RandomScreen()], p=0.15),
            v2.RandomApply([v2.JPEG((20, 90))], p=0.2),
        ]
    )  # fmt: skip


AUGMENTATIONS = {"standard": training_augmentation, "strong": strong_augmentation}
"""Name -> function that makes the transforms of a training."""
