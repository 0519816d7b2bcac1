"""Preprocessing of images for the networks, and its inverse for maps; training and inference use the same object."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

_LARGEST_SIZE = 2048


@dataclass(frozen=True)
class Preprocess:
    """Letterbox to a square and scale the grey values. The settings are stored with the weights, in config.json.

    The aspect ratio is kept, because 'taller than wide' is a diagnostic sign; the rest of the square is black, like the
    surroundings of an ultrasound sector.

    Attributes:
        size: side of the square network input, in pixels; a multiple of 32, at most 2048.
        mean: mean grey value to subtract, on the scale 0 to 1.
        std: standard deviation of the grey values to divide by, on the scale 0 to 1.
    Raises:
        ValueError: size is not such a multiple, mean is not finite, or std is not positive and finite.
    """

    size: int = 224
    mean: float = 0.26
    std: float = 0.22

    def __post_init__(self) -> None:
        if not 0 < self.size <= _LARGEST_SIZE or self.size % 32:
            raise ValueError(f"size must lie between 32 and {_LARGEST_SIZE} and be a multiple of 32, got {self.size}.")
        if not math.isfinite(self.mean):
            raise ValueError(f"mean must be finite, got {self.mean}.")
        if not 0 < self.std < math.inf:
            raise ValueError(f"std must be finite and positive, got {self.std}.")

    def placement(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Position of an image of height x width pixels in the square: (top, left, height, width), in pixels."""
        scale = self.size / max(height, width)
        h, w = max(1, round(height * scale)), max(1, round(width * scale))
        return (self.size - h) // 2, (self.size - w) // 2, h, w

    def canvas(self, image: np.ndarray) -> torch.Tensor:
        """Letterbox a grey image: uint8 (H, W) in 0..255 -> uint8 (1, size, size)."""
        return self._letterbox(torch.from_numpy(np.ascontiguousarray(image)), InterpolationMode.BILINEAR)

    def mask_canvas(self, mask: np.ndarray) -> torch.Tensor:
        """Letterbox a mask: bool (H, W) -> uint8 (1, size, size) of zeros and ones."""
        grey = torch.from_numpy(mask.astype(np.uint8) * 255)
        return (self._letterbox(grey, InterpolationMode.BILINEAR) >= 128).to(torch.uint8)

    def normalise(self, canvas: torch.Tensor) -> torch.Tensor:
        """Scale grey values: uint8 (..., h, w) in 0..255 -> float32 of the same shape, about zero mean, unit std."""
        return (canvas.to(torch.float32) / 255 - self.mean) / self.std

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """uint8 (H, W) in 0..255 -> float32 (1, 1, size, size), the input of a model."""
        return self.normalise(self.canvas(image))[None]

    def restore(self, maps: torch.Tensor, height: int, width: int) -> np.ndarray:
        """Undo the letterbox: float (size, size) map -> float32 (height, width), bilinear."""
        top, left, h, w = self.placement(height, width)
        inside = maps.detach().float()[None, None, top : top + h, left : left + w]
        resized = torch.nn.functional.interpolate(inside, (height, width), mode="bilinear", align_corners=False)
        return resized[0, 0].cpu().numpy()

    def to_dict(self) -> dict[str, float]:
        """Plain values for config.json; `Preprocess(**values)` restores the object."""
        return asdict(self)

    def _letterbox(self, image: torch.Tensor, interpolation: InterpolationMode) -> torch.Tensor:
        top, left, h, w = self.placement(*image.shape)
        out = torch.zeros(1, self.size, self.size, dtype=torch.uint8)
        out[:, top : top + h, left : left + w] = F.resize(image[None], [h, w], interpolation, antialias=True)
        return out
