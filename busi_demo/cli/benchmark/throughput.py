"""How many images a second a batch analyses and a training takes, in one process and in two, and what many would
cost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from busi_demo.analysis.png import png_bytes
from busi_demo.data.phantom import make_phantom
from busi_demo.inference.engines import EAGER, ENGINES, find_engine
from busi_demo.models import DEFAULT_APPROACH
from busi_demo.project import ROOT
from busi_demo.types import CLASSES, InputError

PROCESSES = (1, 2)
PRICE = 0.10
"""US dollars an hour of a rented machine with two cores: an assumption, not a quotation."""

MANY = 1_000_000
_EPOCHS, _BATCH, _SIZE = 3, 16, 224
_PAUSE = 0.05  # seconds


def throughput(images: int, engine: str | None) -> dict[str, Any]:
    """Run `batch` and a training over simulated images, and see when they write their results: from the first row to
    the last one, and from the end of the first epoch to that of the last one, so that the start does not count.

    Args:
        images: of the batch, and of the epochs after the first one.
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
        (folder / "images").mkdir()
        for i in range(max(images, 2)):
            phantom = make_phantom(CLASSES[i % 3], 4_200_000 + i, 400, 500)
            (folder / "images" / f"{i}.png").write_bytes(png_bytes(phantom.image))
        for processes in PROCESSES:
            rows = folder / f"batch_{processes}" / "rows"
            times = watch(batch_words(folder, key, processes), lambda rows=rows: len(list(rows.glob("*.json"))))  # type: ignore[misc]
            runs[f"batch, {processes}"] = rate(times, 1)
        each = max(1, images // (_EPOCHS - 1) // _BATCH) * _BATCH
        for processes in PROCESSES:
            table = folder / f"training_{processes}" / "history.csv"
            times = watch(training_words(folder, each, processes), lambda table=table: _epochs(table))  # type: ignore[misc]
            runs[f"training, {processes}"] = rate(times, each)
    best = max(runs[f"batch, {processes}"]["images_per_second"] for processes in PROCESSES)
    return {"throughput": {"engine": key, "runs": runs, "cost": cost(best)}}


def cost(images_per_second: float) -> dict[str, float]:
    """Hours of one machine for `MANY` images, and dollars at `PRICE`."""
    hours = MANY / images_per_second / 3600
    return {
        "images": MANY, "images_per_second": images_per_second, "hours": hours, "dollars_an_hour": PRICE,
        "dollars": hours * PRICE,
    }  # fmt: skip


def batch_words(folder: Path, engine: str, processes: int) -> list[str]:
    """The command line of a batch."""
    words = ["-m", "busi_demo", "batch", str(folder / "images"), "--output", str(folder / f"batch_{processes}")]
    return [*_start(processes), *words, "--engine", engine, "--no-figures"]


def training_words(folder: Path, images: int, processes: int) -> list[str]:
    """The command line of a training with so many images an epoch, at the size of inference."""
    name, size = str(folder / f"training_{processes}"), str(_SIZE)
    words = [str(ROOT / "train" / "train_multitask.py"), "--approach", DEFAULT_APPROACH, "--data", "phantoms"]
    settings = {"--epochs": str(_EPOCHS), "--samples-per-epoch": str(images), "--batch-size": str(_BATCH),
                "--phantoms": "10", "--image-size": size, "--start-size": size, "--run-dir": name,
                "--output": f"{name}_weights"}  # fmt: skip
    return [*_start(processes), *words, *(word for pair in settings.items() for word in pair)]


def watch(words: Sequence[str], count: Callable[[], int]) -> list[float]:
    """Run a command and ask again and again how many results it has written.

    Returns:
        Seconds from its start to each result, in order.
    Raises:
        InputError: it failed, or wrote fewer than two results.
    """
    times, begin = list[float](), time.perf_counter()
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors)
        running = True
        while running:
            running = process.poll() is None
            times += [time.perf_counter() - begin] * (count() - len(times))
            time.sleep(_PAUSE if running else 0)
        errors.seek(0)
        if process.returncode or len(times) < 2:
            raise InputError(f"The measurement of throughput failed: {errors.read().strip().splitlines()[-1:]}")
    return times


def rate(times: Sequence[float], images: int) -> dict[str, float]:
    """Images a second after the first result, and seconds until that; each result is of so many images."""
    span = max(times[-1] - times[0], _PAUSE)
    return {"images_per_second": (len(times) - 1) * images / span, "start_seconds": times[0]}


def _start(processes: int) -> list[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [sys.executable, *(torchrun if processes > 1 else [])]


def _epochs(table: Path) -> int:
    return max(0, len(table.read_text(encoding="utf-8").splitlines()) - 1) if table.is_file() else 0
