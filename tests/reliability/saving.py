"""Saving weights without end, in a process that is killed."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import create_model
from busi_demo.types import InputError
from busi_demo.weights import store

VALUES = (0.25, 0.5)
"""What all parameters are in turns."""


def save_for_ever(folder: Path) -> None:
    """Save a small network of one value and of the other in turns, until this process or the one above it ends."""
    above = os.getppid()
    torch.set_num_threads(1)
    store.git_commit = lambda: None  # a process each time, and no part of what is tried
    model = create_model("multitask_cnn", decoder_width=4, class_width=4, dropout=0.1)
    while os.getppid() == above:
        for value in VALUES:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(value)
            store.save_weights(folder, model, Preprocess(size=64), facts={"data": {"value": value}})


def value_of(folder: Path) -> str:
    """What weights lie in a folder: "whole", or what is wrong with them."""
    try:
        weights = store.load_weights(folder)
    except InputError as error:
        return f"not loadable: {error}"
    values = {value.item() for p in weights.model.parameters() for value in (p.min(), p.max())}
    assert weights.config is not None
    return "whole" if values == {weights.config.data["value"]} and values <= {*VALUES} else f"mixed: {sorted(values)}"
