"""Class activation maps from the features of a stored forward pass."""

from __future__ import annotations

import numpy as np
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from busi_demo.inference.cam_methods import DEFAULT_CAM_METHOD, single_cam_method
from busi_demo.types import CLASSES, ModelOutput

_PRINCIPAL = 16


class _HeadOnly(nn.Module):
    """The classification head behind a layer for hooks; one object per request, so that requests share no hooks.

    It takes features divided by the number of grid cells and multiplies them again. This does not change the maps, but
    scales the gradients of a pooled head to the order of 1, so that the small constants in the divisions of Grad-CAM++
    and XGrad-CAM are negligible.
    """

    def __init__(self, head: nn.Module, cells: int) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.head = head
        self.cells = cells

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(features) * self.cells)


def class_activation_map(output: ModelOutput, class_name: str, method: str = DEFAULT_CAM_METHOD) -> np.ndarray:
    """Explain one class by one method, without another forward pass of the network.

    Args:
        output: of a batch of one, from a model in evaluation mode.
        class_name: one of `CLASSES`; ignored by methods that do not depend on the class.
        method: key of `busi_demo.inference.cam_methods.CAM_METHODS`.
    Returns:
        float32 (h, w) on the grid of `output.features`, not negative and not scaled, so that a map without evidence
        is zero. Methods with `in_logits` give logit units per cell.
    Raises:
        InputError: there is no such method for a single approach; the message lists the valid keys.
        ValueError: there is no such class.
    """
    chosen, index = single_cam_method(method), CLASSES.index(class_name)
    cells = output.features.shape[-2] * output.features.shape[-1]
    module = _HeadOnly(output.head, cells)
    # A new tensor, so that its gradient is not shared.
    features = (output.features.detach().float() / cells).requires_grad_(True)
    with torch.enable_grad(), getattr(pytorch_grad_cam, chosen.library_class)(module, [module.features]) as cam:
        hooks = cam.activations_and_grads
        hooks(features)[0, index].backward()
        activations, gradients = hooks.activations[0].numpy(), hooks.gradients[0].numpy()
        if not chosen.of_class:
            activations = _principal_components(activations)
        target = [ClassifierOutputTarget(index)]
        raw = cam.get_cam_image(features, module.features, target, activations, gradients, eigen_smooth=False)[0]
    if not chosen.of_class and -raw.min() > raw.max():
        raw = -raw  # the sign of a singular vector is arbitrary: make the strongest cell positive
    return np.maximum(raw, 0).astype(np.float32)


def _principal_components(activations: np.ndarray) -> np.ndarray:
    """Turn channels into principal components, strongest first: float (1, C, h, w) -> float (1, at most 16, h, w).

    The library's projection on the first component does not change, but its SVD computes full matrices, which takes
    seconds for the thousands of channels of a ResNet.
    """
    _, channels, height, width = activations.shape
    rows = activations[0].reshape(channels, -1).T
    left, strength, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return (left * strength)[:, :_PRINCIPAL].T.reshape(1, -1, height, width)
