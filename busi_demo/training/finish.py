"""After the last step: calibrate on the validation split, save the weights, write the report."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from busi_demo.evaluation.calibration import fit_temperature
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.report import write_report
from busi_demo.models.base import ApproachModel
from busi_demo.preprocess import Preprocess
from busi_demo.training.config import TrainConfig
from busi_demo.training.sources import TrainingData
from busi_demo.training.validate import validate
from busi_demo.types import CLASSES
from busi_demo.weights import save_weights


def finish(
    model: ApproachModel,
    data: TrainingData,
    preprocess: Preprocess,
    config: TrainConfig,
    history: Sequence[Mapping[str, float]],
    output: Path,
) -> None:
    """Write `output/<approach>/`: config.json, model.safetensors, split.csv and report/, and say how good it is.

    The metrics are those of the validation split, with calibrated probabilities at the network's resolution.
    """
    model = model.to("cpu", memory_format=torch.contiguous_format).float().eval()
    results, logits = validate(model, data.validation, preprocess, precision="fp32")
    temperature = fit_temperature(logits.numpy(), data.validation.labels.numpy())
    calibrated = (logits / temperature).softmax(1).tolist()
    results = [
        replace(result, probabilities=dict(zip(CLASSES, row, strict=True)))
        for result, row in zip(results, calibrated, strict=True)
    ]
    summary = summarise(results)
    folder = output / model.key
    settings = {k: v for k, v in config.to_dict().items() if k not in ("data", "extra", "init_from")}
    save_weights(
        folder,
        model,
        preprocess,
        temperature=temperature,
        facts={"metrics": {"validation": summary}, "data": data.facts, "training": settings},
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(data.split[0]))
    writer.writeheader()
    writer.writerows(data.split)
    (folder / "split.csv").write_text(text.getvalue(), encoding="utf-8")
    title = f"{model.key}, {data.facts['main']} validation"
    write_report(folder / "report", title=title, summary=summary, results=results, history=history)
    print(f"validation: accuracy {summary['accuracy']:.3f}, lesion Dice {summary['lesion_dice']:.3f}")
    print(f"wrote {folder}")
