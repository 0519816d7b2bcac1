"""How long answers take: requests, figures, engines, the comparison of all approaches, and batches."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from busi_demo.analysis.analysis import AnalysedImage, analyse_image
from busi_demo.analysis.figure import DPI
from busi_demo.analysis.png import png_bytes
from busi_demo.analysis.view import DEFAULT_VIEW
from busi_demo.batch.analyse import analyse_items
from busi_demo.batch.items import find_items
from busi_demo.cli.benchmark.timing import in_turns
from busi_demo.data.phantom import make_phantom
from busi_demo.imaging import read_image
from busi_demo.inference.accelerate import estimate, run_plan
from busi_demo.inference.consensus import consensus
from busi_demo.inference.engines import ENGINES
from busi_demo.inference.predictor import Predictor, SharedPasses, load_predictor
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.types import CLASSES

_RESNET50 = "multitask_resnet50"
_NOTEBOOK_DPI = 200
FULL_RUN = 20
"""From this number of repeats on, engines that compile for minutes are timed, too."""
Measured = dict[str, Any]


def answers(repeats: int, images: int, engine: str | None) -> Measured:
    """Measure answers with the weights at hand.

    Args:
        repeats: calls of each, of which the median counts.
        images: in the batch.
        engine: key of the engine; `None`: the one that is chosen.
    Returns:
        `milliseconds`, `ratios` and `engines`: what was timed, by name.
    """
    file = png_bytes(make_phantom("malignant", 4_000_000, 420, 520).image)
    image = read_image(file)
    predictors = {key: load_predictor(key) for key in APPROACHES}
    chosen = {key: predictors[key].accelerate(image.pixels, engine) for key in APPROACHES}
    milliseconds: dict[str, dict[str, float]] = {
        key: in_turns(_parts(predictor, file), repeats) for key, predictor in predictors.items()
    }
    milliseconds["all approaches"] = in_turns({"compare": partial(_compare, list(predictors.values()), file)}, repeats)
    times = _engines(predictors[DEFAULT_APPROACH], image.pixels, repeats >= FULL_RUN, engine)
    own, resnet = milliseconds[DEFAULT_APPROACH], milliseconds[_RESNET50]
    used = chosen[DEFAULT_APPROACH].engine
    ratios = {
        "request_over_bare": own["request"] / own["bare"],
        "request_over_bare_resnet50": resnet["request"] / resnet["bare"],
        "notebook_over_request": resnet["notebook"] / resnet["request"],
        "figure_over_matplotlib": own["figure"] / own["matplotlib"],
        "engine_best_over_used": min(times.values()) / times.get(used, float("inf")),
        "compare_over_bare_sum": milliseconds["all approaches"]["compare"]
        / sum(milliseconds[key]["bare"] for key in APPROACHES),
        "batch_efficiency": _batch_efficiency(predictors[DEFAULT_APPROACH], images),
        "control_over_request": max(own[f"control: {name}"] for name in _CONTROLS) / own["request"],
    }
    return {"milliseconds": milliseconds, "engines": {"used": used, "milliseconds": times}, "ratios": ratios}


_CONTROLS: dict[str, dict[str, Any]] = {
    "threshold": {"threshold": 0.3},
    "opacity": {"opacity": 0.9},
    "class": {"cam_class": "normal"},
}


def _parts(predictor: Predictor, file: bytes) -> dict[str, Callable[[], object]]:
    """What is timed of one approach."""
    image, key = read_image(file), predictor.key
    model, x = predictor.network(image.framed)
    analysed = analyse_image(image, key)
    analysis = analysed.analysis()
    size = analysis.figure().size
    controls = {f"control: {name}": partial(_control, analysed, values) for name, values in _CONTROLS.items()}

    def bare() -> None:
        with torch.no_grad():
            model(x)

    return {
        "bare": bare,
        "prediction": lambda: predictor.predict(file),
        "request": lambda: analyse_image(file, key).analysis().figure_png(),
        "figure": lambda: analysis.figure_png(),
        "matplotlib": lambda: _five_axes(image.pixels, (size[0] / DPI, size[1] / DPI), DPI),
        "notebook": lambda: _notebook(model, x, file),
        **controls,
    }


def _control(analysed: AnalysedImage, values: dict[str, Any]) -> bytes:
    return analysed.analysis(replace(DEFAULT_VIEW, **values)).figure_png()


def _five_axes(image: np.ndarray, inches: tuple[float, float], dpi: int) -> bytes:
    """Five pictures side by side, as Matplotlib draws them."""
    figure = Figure(figsize=inches, dpi=dpi)
    FigureCanvasAgg(figure)
    for i, axes in enumerate(figure.subplots(1, 5)):
        axes.imshow(image, cmap="inferno" if i == 3 else "gray")
        axes.set_title(f"panel {i}")
        axes.axis("off")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def _notebook(model: torch.nn.Module, x: torch.Tensor, file: bytes) -> bytes:
    """The way of a notebook: a forward pass for the answer, another one and a backward pass for the Grad-CAM, and five
    axes of Matplotlib at 200 dpi."""
    with Image.open(io.BytesIO(file)) as opened:
        image = np.asarray(opened.convert("L"))
    with torch.no_grad():
        model(x)
    with torch.enable_grad():
        traced = x.clone().requires_grad_()
        model(traced).class_logits[0, CLASSES.index("malignant")].backward()
    return _five_axes(image, (20, 4), _NOTEBOOK_DPI)


def _compare(predictors: list[Predictor], file: bytes) -> object:
    """The answers of all approaches and their consensus, as the tab Compare makes them."""
    image, shared = read_image(file), SharedPasses()
    return consensus([predictor.predict(image, shared) for predictor in predictors])


def _engines(predictor: Predictor, image: np.ndarray, slow_ones: bool, asked: str | None) -> dict[str, float]:
    """Estimated milliseconds of the passes of an approach by the engines that can be had here; `slow_ones`: those that
    compile for minutes, too; `asked`: one that is timed in any case."""
    model, x = predictor.network(image)
    with torch.no_grad():
        wanted = [key for key, engine in ENGINES.items() if slow_ones or engine.by_default or key == asked]
        return estimate(model.plan(x), [key for key in wanted if ENGINES[key].available])


def _batch_efficiency(predictor: Predictor, images: int) -> float:
    """Throughput of a batch as a share of that of the bare forward pass by the same engine, at the best of some batch
    sizes: passes are compiled for one image, so that is one."""
    with TemporaryDirectory() as folder:
        for i in range(images):
            phantom = make_phantom(CLASSES[i % 3], 4_100_000 + i, 400, 500)
            (Path(folder) / f"{i}.png").write_bytes(png_bytes(phantom.image))
        items = find_items([Path(folder)])
        model, x = predictor.network(read_image(Path(folder) / "0.png").framed)
        with torch.no_grad():
            one = in_turns({"bare": lambda: run_plan(model.plan(x))}, 20)["bare"]

        def batch() -> list[int]:
            return list(analyse_items(items, [predictor], False, lambda item, sha256, results: len(results)))

        every = in_turns({"batch": batch}, 1)
    return one / (every["batch"] / images)
