"""The end of a training: calibrate on the validation split, save the weights and write the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from busi_demo.analysis.figure import draw_figure
from busi_demo.data.phantom import make_phantom
from busi_demo.evaluation.history import history_csv, stages_of
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult
from busi_demo.evaluation.write import write_report
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.predictor import Predictor
from busi_demo.models import complete
from busi_demo.models.base import ApproachModel
from busi_demo.project import save_whole
from busi_demo.training.config import WEIGHTS_OPTIONS, TrainConfig
from busi_demo.training.detector import reference_to
from busi_demo.training.sources import TrainingData, counts
from busi_demo.training.validate import network_outputs, score
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.calibration import fit_calibration
from busi_demo.weights.config import DetectorReference, WeightsConfig
from busi_demo.weights.input_reference import INPUT_CHECK_FILE
from busi_demo.weights.results import Histories, clear_results, history_file
from busi_demo.weights.split_file import VALIDATION, SplitRow, fold_name, write_split
from busi_demo.weights.start import identity
from busi_demo.weights.store import Weights, has_config, keep_previous, load_weights, read_config, save_weights

# Phantoms shown in the report: from seeds that neither training nor the gallery uses.
_EXAMPLE_SEED, _EXAMPLE_SIZE, _EXAMPLE_DPI = 2_000_000, (360, 440), 72


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
    detector: Weights | None = None,
) -> None:
    """Write the folder of an approach in `output`, with the results on the validation split, and print a summary.

    Weights that are there already are copied to `output/<approach>.previous/` first, and their results are deleted.
    The metrics are those of the validation split, with calibrated probabilities at the network's resolution. The
    example figures show phantoms.

    Args:
        parts_from: option -> `identity` of the weights that a part of the network came from, besides those in `config`.
        earlier: name of an earlier stage of the training -> its history.
        whole: written instead of `model`, which is the part of it that was not trained on the validation fold
            (`ApproachModel.held_out`); the metrics and the calibration are those of `model`.
        detector: the weights whose network is the detector of the model. If they are in `output`, a reference to them
            is stored instead of a copy.
    """
    model = model.to("cpu").to(memory_format=torch.contiguous_format).float().eval()
    logits, masks = network_outputs(model, data.validation, preprocess, precision="fp32")
    calibration = fit_calibration(logits.numpy(), data.validation.labels.numpy())
    results = score(data.validation, logits, masks, calibration=calibration)
    split: Sequence[SplitRow] = data.split
    if whole is not None:
        model = whole.to("cpu").to(memory_format=torch.contiguous_format).float().eval()
        split = [replace(row, split=fold_name(config.fold)) if row.split == VALIDATION else row for row in split]
    settings = {k: v for k, v in config.to_dict().items() if k not in ("data", "extra", *WEIGHTS_OPTIONS)}
    origins = {name: place for name in WEIGHTS_OPTIONS if (place := getattr(config, name))}
    folder = output / model.key
    write_approach(
        folder,
        Weights(model, preprocess, calibration=calibration),
        results,
        facts={
            "data": {**data.facts, **counts(split)},
            "training": settings,
            "learnt_from": {name: identity(Path(place)) for name, place in origins.items()} | dict(parts_from or {}),
        },
        split=split,
        histories={"": history} | {f"_{name}": rows for name, rows in (earlier or {}).items()},
        detector=reference_to(detector, folder) if detector else None,
    )


def write_approach(
    folder: Path,
    weights: Weights,
    results: Sequence[ImageResult],
    facts: Mapping[str, Any],
    split: Sequence[SplitRow],
    histories: Histories,
    detector: DetectorReference | None = None,
) -> None:
    """Write the folder of an approach and print a summary of its results.

    Args:
        folder: named by the key of the approach. A folder that is there already is copied to `NAME.previous` first, and
            its input check is deleted where the networks, or the sizes that they see, are others.
        weights: written; their config is ignored.
        results: of the validation images.
        facts: of `WeightsConfig`: `data`, `training` and so on.
        histories: see `read_histories`; the one of `""` is drawn.
        detector: see `save_weights`.
    """
    model, summary = weights.model, summarise(results)
    before = _seen_before(folder)
    if previous := keep_previous(folder):
        print(f"the earlier weights in {folder} were copied to {previous}")
    written = save_weights(
        folder,
        model,
        weights.preprocess,
        threshold=weights.threshold,
        min_area=weights.min_area,
        calibration=weights.calibration,
        detector=detector,
        facts={"metrics": {"validation": summary}, **facts},
    )
    if before != _seen_as(written):
        (folder / INPUT_CHECK_FILE).unlink(missing_ok=True)
    write_split(folder, split)
    report, title = clear_results(folder), f"{model.key}, {facts['data']['main']} validation"
    write_report(
        report, title=title, summary=summary, results=results, history=histories[""], earlier=stages_of(histories)[:-1]
    )
    for name, rows in histories.items():
        if name:
            save_whole(history_file(folder, name), history_csv(rows).encode())
    _draw_examples(Predictor(load_weights(folder)), report)
    overlap = "unknown" if summary["lesion_dice"] is None else f"{summary['lesion_dice']:.3f}"
    print(f"validation: accuracy {summary['accuracy']:.3f}, lesion Dice {overlap}")
    print(f"wrote {folder}")


def _seen_before(folder: Path) -> tuple[Any, ...] | None:
    """`_seen_as` of the weights in a folder; `None` where there are none that this version can read."""
    try:
        return _seen_as(read_config(folder)) if has_config(folder) else None
    except InputError:
        return None


def _seen_as(config: WeightsConfig) -> tuple[Any, ...]:
    """What the descriptor of a picture depends on."""
    return config.sha256, config.preprocess, complete(config.approach, config.architecture)


def _draw_examples(predictor: Predictor, folder: Path) -> None:
    """Draw the panels of one phantom of each class, as predicted by the weights that were written."""
    for label in CLASSES:
        phantom = make_phantom(label, _EXAMPLE_SEED, *_EXAMPLE_SIZE)
        title = f"{predictor.title}, {label} phantom"
        figure = draw_figure(predictor.predict(phantom.image), phantom.mask, title, dpi=_EXAMPLE_DPI)
        Image.fromarray(figure).save(folder / f"example_{label}.png")
