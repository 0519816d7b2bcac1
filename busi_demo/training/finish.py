"""After the last step: calibrate on the validation split, save the weights, write the report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from busi_demo.analysis.figure import figure_image, five_panels
from busi_demo.data.phantom import make_phantom
from busi_demo.evaluation.history import stages_of
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult
from busi_demo.evaluation.write import history_csv, write_report
from busi_demo.imaging.masks import MIN_AREA, THRESHOLD
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.predictor import Predictor
from busi_demo.models.base import ApproachModel
from busi_demo.training.config import TrainConfig
from busi_demo.training.sources import TrainingData, counts
from busi_demo.training.validate import validate
from busi_demo.types import CLASSES
from busi_demo.weights.calibration import fit_calibration
from busi_demo.weights.split_file import SPLIT_FILE, VALIDATION, SplitRow, fold_name, write_split
from busi_demo.weights.start import identity
from busi_demo.weights.store import Weights, load_weights, save_weights

# Phantoms shown in the report: from seeds that neither training nor the gallery uses.
_EXAMPLE_SEED, _EXAMPLE_SIZE, _EXAMPLE_DPI = 2_000_000, (360, 440), 72
_WEIGHTS_OPTIONS = ("init_from", "teacher")


def finish(
    model: ApproachModel,
    data: TrainingData,
    preprocess: Preprocess,
    config: TrainConfig,
    history: Sequence[Mapping[str, float]],
    output: Path,
    parts_from: Mapping[str, Mapping[str, Any]] | None = None,
    earlier: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    whole: ApproachModel | None = None,
) -> None:
    """Write `output/<approach>/`: config.json, model.safetensors, split.csv and report/, and say how good it is.

    Weights that lie there already are copied to `output/<approach>.previous/` first, and no file of their report stays.
    The metrics are those of the validation split, with calibrated probabilities at the network's resolution. The
    example figures show phantoms.

    Args:
        parts_from: option -> `identity` of the weights that a part of the network came from, beside those in `config`.
        earlier: name of a stage that was trained before -> its history, written as report/history_NAME.csv.
        whole: what is written instead of `model`, which is that part of it that was not trained on the fold that
            validates (`ApproachModel.held_out`); the metrics and the calibration are those of `model`.
    """
    model = model.to("cpu").to(memory_format=torch.contiguous_format).float().eval()
    _, logits = validate(model, data.validation, preprocess, precision="fp32")
    calibration = fit_calibration(logits.numpy(), data.validation.labels.numpy())
    results, _ = validate(model, data.validation, preprocess, precision="fp32", calibration=calibration)
    split: Sequence[SplitRow] = data.split
    if whole is not None:
        model = whole.to("cpu").to(memory_format=torch.contiguous_format).float().eval()
        split = [replace(row, split=fold_name(config.fold)) if row.split == VALIDATION else row for row in split]
    settings = {k: v for k, v in config.to_dict().items() if k not in ("data", "extra", *_WEIGHTS_OPTIONS)}
    origins = {name: place for name in _WEIGHTS_OPTIONS if (place := getattr(config, name))}
    write_approach(
        output / model.key,
        Weights(model, preprocess, THRESHOLD, MIN_AREA, calibration.temperature, {}, calibration.class_bias),
        results,
        facts={
            "data": {**data.facts, **counts(split)},
            "training": settings,
            "learnt_from": {name: identity(Path(place)) for name, place in origins.items()} | dict(parts_from or {}),
        },
        split=split,
        histories={"": history} | {f"_{name}": rows for name, rows in (earlier or {}).items()},
    )


def write_approach(
    folder: Path,
    weights: Weights,
    results: Sequence[ImageResult],
    facts: Mapping[str, Any],
    split: Sequence[SplitRow],
    histories: Mapping[str, Sequence[Mapping[str, float]]],
) -> None:
    """Write config.json, model.safetensors, split.csv and report/ of an approach, and say how good it is.

    Args:
        folder: named by the key of the approach. What lies there already is copied to `NAME.previous` first.
        weights: to be written; their config is not looked at.
        results: of the images that validate.
        facts: for config.json: `data`, `training` and so on.
        histories: what follows `history` in the name of a file -> its rows; those of `""` are drawn.
    """
    model, summary = weights.model, summarise(results)
    _keep_previous(folder)
    save_weights(
        folder,
        model,
        weights.preprocess,
        threshold=weights.threshold,
        min_area=weights.min_area,
        temperature=weights.temperature,
        class_bias=weights.class_bias,
        facts={"metrics": {"validation": summary}, **facts},
    )
    write_split(folder / SPLIT_FILE, split)
    shutil.rmtree(folder / "report", ignore_errors=True)
    title = f"{model.key}, {facts['data']['main']} validation"
    write_report(
        folder / "report",
        title=title,
        summary=summary,
        results=results,
        history=histories[""],
        earlier=stages_of(histories)[:-1],
    )
    for name, rows in histories.items():
        if name:
            (folder / "report" / f"history{name}.csv").write_text(history_csv(rows), encoding="utf-8")
    _draw_examples(Predictor(load_weights(model.key, folder.parent)), folder / "report")
    overlap = "unknown" if summary["lesion_dice"] is None else f"{summary['lesion_dice']:.3f}"
    print(f"validation: accuracy {summary['accuracy']:.3f}, lesion Dice {overlap}")
    print(f"wrote {folder}")


def _keep_previous(folder: Path) -> None:
    if folder.is_dir():
        before = folder.with_name(f"{folder.name}.previous")
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(folder, before)
        print(f"the weights that lay in {folder} were kept in {before}")


def _draw_examples(predictor: Predictor, folder: Path) -> None:
    """Five panels of one phantom a class, as the written weights, not those in memory, see it."""
    for label in CLASSES:
        phantom = make_phantom(label, _EXAMPLE_SEED, *_EXAMPLE_SIZE)
        figure = five_panels(predictor.predict(phantom.image), phantom.mask, f"{predictor.title}, {label} phantom")
        figure_image(figure, _EXAMPLE_DPI).save(folder / f"example_{label}.png")
