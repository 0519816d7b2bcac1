"""Networks of single folds of the fixture `busi`, as training writes them."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from helpers import fill_weights

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import create_model
from busi_demo.weights.calibration import Calibration
from busi_demo.weights.store import save_weights

KEY = "multitask_cnn"
SMALL = {KEY: {"decoder_width": 8, "class_width": 8}, "multitask_unet": {"width": 8}, "multitask_resnet50": {}}
HELD_OUT = {  # fold -> what its network did not see of the fixture `busi`
    0: ("benign case (1).png", "malignant case (1).png"),
    3: ("benign case (2).png", "malignant case (2).png", "normal case (1).png"),
}
TRAINED = ("benign case (3).png", "benign case (4).png", "malignant case (3).png", "normal case (2).png")


def make_member(folder: Path, fold: int, key: str = KEY, **training: object) -> Path:
    """A network with weights of its own, as training writes it.

    Args:
        folder: receives the folder of the approach.
        key: of the approach, one of `SMALL`.
        training: settings under `training` in its record.
    """
    model = fill_weights(create_model(key, **SMALL[key]))
    with torch.no_grad():
        model.head[-1].bias.copy_(torch.tensor([0.3, 0.1, -0.2]) * (fold + 1))
    data = {"main": "busi", "fold": fold, "folds": 5, "seed": 0, "uncertain_class_left_out_of_validation": 1}
    origins = {"init_from": {"approach": key, "sha256": f"{fold}" * 64, "git_commit": None}}
    facts = {"data": data, "training": {"epochs": 2, "fold": fold, **training}, "learnt_from": origins}
    save_weights(folder / key, model, Preprocess(size=64), calibration=Calibration(2.0 + fold), facts=facts)
    with (folder / key / "split.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "class", "source", "group", "split"])
        for own, names in ((None, TRAINED), *HELD_OUT.items()):
            rows.writerows([n, n.split()[0], "busi", n, "validation" if own == fold else "train"] for n in names)
        rows.writerow(["far.png", "normal", "elsewhere", "far", "train"])
    report = folder / key / "report"
    report.mkdir()
    (report / "history.csv").write_text(f"epoch,train_loss\n1,{2 + fold}\n2,{1 + fold}\n")
    return folder / key
