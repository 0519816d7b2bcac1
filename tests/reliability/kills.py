"""Processes that are ended by SIGKILL at random moments, and what they leave."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from reliability.record import ROOT

KEY = "multitask_cnn"
_TRAINING = ("--approach", KEY, "--data", "phantoms", "--phantoms", "10", "--samples-per-epoch", "32", "--batch-size",
             "4", "--image-size", "64", "--start-size", "64", "--epochs", "3", "--precision", "fp32")  # fmt: skip
_IMAGES = 24
_PATIENCE = 600.0  # seconds for a run that is not killed
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "BUSI_ENGINE": "eager"}


def kill_until_done(
    command: Callable[[Path], Sequence[str]],
    compare: Callable[[Path], str],
    times: int,
    folder: Path,
    moments: random.Random,
) -> dict[str, Any]:
    """Start a command again and again, kill it at random moments, and compare what it has made once it finishes.

    Args:
        command: folder for its results -> its words; the same command continues an interrupted run.
        compare: folder with finished results -> "the same", or what differs.
        times: kills in all; runs that finish before they are killed are compared, and a new one is started.
        folder: for the results of all runs.
        moments: random numbers.
    Returns:
        Counts: kills, runs, and what came of them; partial files that were left.
    """
    start = time.monotonic()
    _run(command(folder / "undisturbed"), _PATIENCE)
    whole = time.monotonic() - start
    result: dict[str, Any] = {"kills": 0, "finished": 0, "seconds_of_a_run": whole, "left_over": 0}
    outcomes, place, killed = Counter[str](), folder / "0", 0
    while result["kills"] < times or killed:
        last = result["kills"] >= times
        status, words = _run(command(place), _PATIENCE if last else moments.uniform(0, whole))
        if status is None:
            result["kills"] += 1
            killed += 1
            continue
        outcomes[compare(place) if status == 0 else f"status {status}: {words.strip()[-200:]}"] += 1
        result["finished"] += 1
        result["left_over"] += len(list(place.rglob("*.partial")))
        place, killed = folder / str(result["finished"]), 0
    return result | {"outcomes": dict(outcomes)}


def _run(words: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """Exit status and standard error of a command; `None` if it was killed after so many seconds."""
    process = subprocess.Popen(words, cwd=ROOT, env=_ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True)  # fmt: skip
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, errors


def kill_training(times: int, folder: Path, moments: random.Random) -> dict[str, Any]:
    """A tiny training on phantoms, resumed until it finishes: weights and history as those of an undisturbed one."""

    def command(place: Path) -> list[str]:
        return [sys.executable, "train/train_multitask.py", *_TRAINING, "--output", str(place / "weights"), "--run-dir",
                str(place / "run"), "--resume"]  # fmt: skip

    def compare(place: Path) -> str:
        one, other = (p / "weights" / KEY / "model.safetensors" for p in (folder / "undisturbed", place))
        if one.read_bytes() != other.read_bytes():
            return "other weights"
        same = _history(folder / "undisturbed" / "run") == _history(place / "run")
        return "the same" if same else "another history"

    return kill_until_done(command, compare, times, folder, moments)


def _history(run: Path) -> list[dict[str, str]]:
    """history.csv but for the column that a clock fills."""
    with (run / "history.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "data_wait_share"} for row in csv.DictReader(file)]


def kill_batch(times: int, folder: Path, moments: random.Random) -> dict[str, Any]:
    """A batch of phantoms with the shipped weights, repeated until it finishes: the same table and figures."""
    from PIL import Image

    from busi_demo.data.phantom import make_phantom
    from busi_demo.types import CLASSES

    (folder / "images").mkdir(parents=True)
    for i in range(_IMAGES):
        phantom = make_phantom(CLASSES[i % 3], 4_200_000 + i, 300, 400)
        Image.fromarray(phantom.image).save(folder / "images" / f"{i}.png")

    def command(place: Path) -> list[str]:
        words = ["-m", "busi_demo", "batch", str(folder / "images"), "--output", str(place), "--approach", KEY]
        return [sys.executable, *words]

    def compare(place: Path) -> str:
        kept = folder / "undisturbed"
        names = [p.relative_to(kept) for p in kept.rglob("*") if p.is_file() and p.suffix in (".csv", ".png")]
        different = [str(name) for name in names if (kept / name).read_bytes() != (place / name).read_bytes()]
        return f"other {', '.join(different[:3])}" if different else "the same"

    return kill_until_done(command, compare, times, folder, moments)


def kill_saving(times: int, folder: Path, moments: random.Random) -> dict[str, Any]:
    """Weights of two values saved in turns in one folder: what lies there afterwards is the one or the other."""
    context = multiprocessing.get_context("forkserver")  # which imports torch once
    context.set_forkserver_preload(["reliability.saving"])
    from reliability.saving import save_for_ever, value_of

    outcomes = Counter[str]()
    place = folder / KEY
    for _ in range(times):
        before = place.stat().st_mtime_ns if place.is_dir() else 0
        process = context.Process(target=save_for_ever, args=(place,))
        with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))):  # for what is imported there
            process.start()
        end = time.monotonic() + 60
        while not (place / "config.json").is_file() or place.stat().st_mtime_ns == before:
            assert process.is_alive() and time.monotonic() < end, "nothing was saved"
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.join()
        outcomes[value_of(place)] += 1
    left = len(list(place.glob("*.partial")))
    shutil.rmtree(place)
    return {"kills": times, "outcomes": dict(outcomes), "left_over": left}
