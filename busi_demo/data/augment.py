"""Augmentation for ultrasound images: geometry, gain, speckle, blur, and measuring marks."""

from __future__ import annotations

from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


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

    Image: uint8 (1, h, w); the mask is left as it is.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"ends": torch.rand(2, 2) * 0.9 + 0.05, "grey": int(_uniform(140, 255)), "dotted": _uniform(0, 1) < 0.5}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        height, width = F.get_size(inpt)
        drawn, grey = inpt.clone(), params["grey"]
        ends = (params["ends"] * torch.tensor([height - 1, width - 1])).round().long()
        for row, column in ends.tolist():
            drawn[:, max(0, row - 3) : row + 4, column] = grey
            drawn[:, row, max(0, column - 3) : column + 4] = grey
        if params["dotted"]:
            steps = torch.linspace(0, 1, int((ends[1] - ends[0]).abs().max()) // 4 + 2)[:, None]
            rows, columns = (ends[0] + steps * (ends[1] - ends[0])).round().long().unbind(1)
            drawn[:, rows, columns] = grey
        return tv_tensors.wrap(drawn, like=inpt)


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
