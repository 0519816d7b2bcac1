"""How many images a second a batch analyses and a training takes, in one process and in two, and what many would
cost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from busi_demo.analysis.figure import png_bytes
from busi_demo.data.phantom import make_phantom
from busi_demo.inference.engines import EAGER, ENGINES, find_engine
from busi_demo.models import DEFAULT_APPROACH
from busi_demo.project import ROOT
from busi_demo.types import CLASSES, InputError

PROCESSES = (1, 2)
PRICE = 0.10
"""US dollars an hour of a rented machine with two cores: an assumption, not a quotation."""

MANY = 1_000_000
_FEW, _FEW_STEPS, _BATCH, _SIZE = 8, 1, 16, 224


def throughput(images: int, engine: str | None) -> dict[str, Any]:
    """Time `batch` and a training over a few and over more simulated images; the difference is free of the start.

    Args:
        images: that the longer run has more.
        engine: key of the one of `batch`; `None`: OpenVINO where it is, else PyTorch.
    Returns:
        `throughput`: the engine, images a second and seconds of the start of each, and the cost of `MANY` images.
    Raises:
        InputError: a command failed, or the engine is not there.
    """
    key = engine or ("openvino" if ENGINES["openvino"].available else EAGER)
    find_engine(key)
    runs: dict[str, dict[str, float]] = {}
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name, count in (("few", _FEW), ("more", _FEW + images)):
            (folder / name).mkdir()
            for i in range(count):
                phantom = make_phantom(CLASSES[i % 3], 4_200_000 + i, 400, 500)
                (folder / name / f"{i}.png").write_bytes(png_bytes(phantom.image))
        for processes in PROCESSES:
            few, more = (_seconds(batch_words(folder, name, key, processes)) for name in ("few", "more"))
            runs[f"batch, {processes}"] = _rate(images, few, more, _FEW)
        steps = max(1, images // _BATCH)
        for processes in PROCESSES:
            counts = (_FEW_STEPS, _FEW_STEPS + steps)
            few, more = (_seconds(training_words(folder, count * _BATCH, processes)) for count in counts)
            runs[f"training, {processes}"] = _rate(steps * _BATCH, few, more, _FEW_STEPS * _BATCH)
    best = max(runs[f"batch, {processes}"]["images_per_second"] for processes in PROCESSES)
    return {"throughput": {"engine": key, "runs": runs, "cost": cost(best)}}


def cost(images_per_second: float) -> dict[str, float]:
    """Hours of one machine for `MANY` images, and dollars at `PRICE`."""
    hours = MANY / images_per_second / 3600
    return {
        "images": MANY, "images_per_second": images_per_second, "hours": hours, "dollars_an_hour": PRICE,
        "dollars": hours * PRICE,
    }  # fmt: skip


def batch_words(folder: Path, name: str, engine: str, processes: int) -> list[str]:
    """The command line of a batch over a folder."""
    output = folder / f"{name}_{processes}"
    words = ["-m", "busi_demo", "batch", str(folder / name), "--output", str(output), "--engine", engine]
    return [*_start(processes), *words, "--no-figures"]


def training_words(folder: Path, images: int, processes: int) -> list[str]:
    """The command line of a training over one epoch of so many images, at the size of inference."""
    name, size = str(folder / f"training_{images}_{processes}"), str(_SIZE)
    words = [str(ROOT / "train" / "train_multitask.py"), "--approach", DEFAULT_APPROACH, "--data", "phantoms"]
    settings = {"--epochs": "1", "--samples-per-epoch": str(images), "--batch-size": str(_BATCH), "--phantoms": "10",
                "--image-size": size, "--start-size": size,
                "--run-dir": name, "--output": f"{name}_weights"}  # fmt: skip
    return [*_start(processes), *words, *(word for pair in settings.items() for word in pair)]


def _start(processes: int) -> list[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [sys.executable, *(torchrun if processes > 1 else [])]


def _seconds(words: Sequence[str]) -> float:
    """Wall time of a command."""
    begin = time.perf_counter()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"The measurement of throughput failed: {done.stderr.strip().splitlines()[-1:]}")
    return time.perf_counter() - begin


def _rate(images: int, few: float, more: float, among_few: int) -> dict[str, float]:
    """Images a second without the start, and the seconds of the start."""
    each = max(more - few, 1e-9) / images
    return {"images_per_second": 1 / each, "start_seconds": max(few - among_few * each, 0.0)}
