"""Class activation maps from the features of a forward pass that already happened."""

from __future__ import annotations

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from busi_demo.types import CLASSES, ModelOutput


class _HeadOnly(nn.Module):
    """The classification head behind a layer that can be hooked; it lives for one request, so no hook is shared."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.head = head

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(features))


def grad_cam(output: ModelOutput, class_name: str) -> np.ndarray:
    """Grad-CAM (Selvaraju et al., ICCV 2017) of one class, without a second pass through the network.

    Args:
        output: of a batch of one, from a model in evaluation mode.
        class_name: one of `CLASSES`.
    Returns:
        float32 (h, w) on the grid of `output.features`, not negative, in logit units per grid cell: not scaled, so that
        a map without evidence stays all zero instead of being stretched to full red.
    """
    module = _HeadOnly(output.head)
    targets = [ClassifierOutputTarget(CLASSES.index(class_name))]
    # A copy: the library asks for gradients of the features it is given, and zeroes those of the head it is given.
    features = output.features.detach().float().clone().requires_grad_(True)
    with torch.enable_grad(), GradCAM(model=module, target_layers=[module.features]) as cam:
        cam(features, targets)
        hooks = cam.activations_and_grads
        activations, gradients = hooks.activations[0].numpy(), hooks.gradients[0].numpy()
        raw = cam.get_cam_image(features, module.features, targets, activations, gradients)
    return np.maximum(raw[0], 0).astype(np.float32)
