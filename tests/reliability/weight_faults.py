"""Weights that are missing, damaged or of another kind, full disks, and a Hub that does not answer."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from reliability.record import ROOT

KEY, OTHER = "multitask_cnn", "multitask_resnet50"
_FILES = ("model.safetensors", "config.json", "input_check.safetensors", "trust.json")
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "BUSI_ENGINE": "eager"}
_REMEDY = re.compile(r"fetch|train|try again|make it|again|check the network|name another|mend this|correct")


def verdict(message: str, name: str) -> str:
    """What a message is worth: "one sentence", or what it lacks.

    Args:
        message: what a person sees.
        name: of the file, or of what else it has to name.
    """
    if "Traceback" in message:
        return "traceback"
    if "\n" in message.strip() or not message.strip():
        return "no single line"
    if name not in message:
        return f"does not name {name}"
    return "one sentence" if _REMEDY.search(message) else "does not say what to do"


def damaged_weights(flips: int, folder: Path, moments: random.Random) -> dict[str, Counter[str]]:
    """Damage a copy of the shipped weights in many ways, and let it answer on one picture.

    Args:
        flips: bits that are flipped, one at a time, in each file.
        folder: for the copies.
        moments: random numbers.
    Returns:
        Kind of damage -> what came of it -> how often.
    """
    shipped, found = ROOT / "weights", dict[str, Counter[str]]()
    expected = _answer(shipped, folder, lambda _: None)
    for name in _FILES:
        for kind, change in (
            ("missing", lambda p: p.unlink()),
            ("truncated", lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2])),
            ("empty", lambda p: p.write_bytes(b"")),
        ):
            told = _answer(shipped, folder, lambda f, c=change, n=name: c(f / KEY / n))
            found[f"{name} {kind}"] = Counter([_came_of(told, expected, name)])
        flipped = Counter[str]()
        for _ in range(flips):
            told = _answer(shipped, folder, lambda f, n=name: _flip(f / KEY / n, moments))
            flipped[_came_of(told, expected, name)] += 1
        found[f"{name}, one bit flipped"] = flipped

    def other(folder: Path) -> None:
        shutil.copy(shipped / OTHER / "model.safetensors", folder / KEY)
        sha256 = json.loads((shipped / OTHER / "config.json").read_text())["sha256"]
        _edit(folder, sha256=sha256)

    for kind, change in (("tensors of another architecture", other), ("a newer format", lambda f: _edit(f, format=3))):
        name = "model.safetensors" if "tensors" in kind else "config.json"
        found[kind] = Counter([_came_of(_answer(shipped, folder, change), expected, name)])
    return found


def _answer(shipped: Path, folder: Path, change: Callable[[Path], object]) -> Any:
    """Probabilities of a picture and what is told of how far to trust them, or the message where there is no answer."""
    from busi_demo.analysis.trust import Level, assess
    from busi_demo.data.phantom import make_phantom
    from busi_demo.inference.predictor import load_predictor
    from busi_demo.types import InputError

    copy = folder / str(time.monotonic_ns())  # predictors are kept by folder
    shutil.copytree(shipped / KEY, copy / KEY, ignore=shutil.ignore_patterns("report"))
    for file in shipped.glob("*.*"):
        shutil.copy(file, copy)
    change(copy)
    try:
        predictor = load_predictor(KEY, copy)
        prediction = predictor.predict(make_phantom("malignant", 4_300_000, 200, 260).image)
        sentences = " ".join(check.sentence for check in assess(prediction, predictor.trust_fit).checks)
        told = predictor.trust_fit is None or not prediction.input_check.compared
        assert not told or assess(prediction, predictor.trust_fit).level is not Level.GREEN
        return dict(prediction.probabilities), sentences, told
    except InputError as error:
        return str(error)
    except Exception as error:
        return f"Traceback: {error!r}"
    finally:
        shutil.rmtree(copy)


def _came_of(told: Any, expected: Any, name: str) -> str:
    if isinstance(told, str):
        return verdict(told, name)
    if told == expected:
        return "answered the same"
    return "answered, never green, and says so" if told[2] else "answered something else"


def _flip(path: Path, moments: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[moments.randrange(len(data))] ^= 1 << moments.randrange(8)
    path.write_bytes(data)


def _edit(folder: Path, **values: Any) -> None:
    path = folder / KEY / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def at_the_command_line(folder: Path) -> dict[str, Counter[str]]:
    """The same kinds of damage as a person sees them, each with a process of its own; and places that cannot be
    written: on a read-only file system, on a full disk, and above the largest size of a file."""
    from PIL import Image

    from busi_demo.data.phantom import make_phantom

    picture, found = folder / "picture.png", dict[str, Counter[str]]()
    Image.fromarray(make_phantom("benign", 4_300_001, 200, 260).image).save(picture)
    predict = ["-m", "busi_demo", "predict", str(picture), "--approach", KEY, "--output", str(folder / "out")]
    for name, kind in (
        ("model.safetensors", "missing"),
        ("model.safetensors", "truncated"),
        ("config.json", "truncated"),
    ):
        weights = folder / "weights"
        shutil.copytree(ROOT / "weights", weights, ignore=shutil.ignore_patterns("report"))
        damaged = weights / KEY / name
        content = damaged.read_bytes()
        damaged.unlink()
        if kind == "truncated":
            damaged.write_bytes(content[: len(content) // 2])
        found[f"predict, {name} {kind}"] = _told(predict, name, environment={"BUSI_DEMO_WEIGHTS": str(weights)})
        shutil.rmtree(weights)
    tiny = ["--data", "phantoms", "--phantoms", "10", "--samples-per-epoch", "8", "--batch-size", "4",
            "--image-size", "64", "--start-size", "64", "--epochs", "1"]  # fmt: skip
    batch = ["-m", "busi_demo", "batch", str(ROOT / "examples"), "--approach", KEY, "--output"]
    for kind, options in (("read-only folder", "bind"), ("full disk", "tmpfs")):
        place = folder / options
        place.mkdir()
        before = _mounted(place, options)
        if before is None:
            found[kind] = Counter(["not tried: this machine does not allow mounts"])
            continue
        train = ["train/train_multitask.py", "--approach", KEY, *tiny]
        words = [*train, "--output", str(place), "--run-dir", str(folder / f"run {options}")]
        found[f"training, {kind}"] = _told(words, str(place), before)
        named = ".png" if options == "tmpfs" else str(place)  # where the disk is full, each image has its message
        found[f"batch, {kind}"] = _told([*batch, str(place / "out")], named, before)
    limited = ["train/train_multitask.py", "--approach", KEY, *tiny, "--output", str(folder / "w"), "--run-dir",
               str(folder / "run")]  # fmt: skip
    found["training, largest size of a file"] = _told(limited, str(folder / "run"), limit=200_000)
    return found


def _mounted(place: Path, kind: str) -> list[str] | None:
    """The start of a command that sees a folder read-only, or as a disk of 64 kB; `None` where that is not allowed."""
    mount = {
        "bind": 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"',
        "tmpfs": 'mount -t tmpfs -o size=64k x "$0"',
    }
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount[kind]} && exec "$@"', str(place)]
    allowed = shutil.which("unshare") and not subprocess.run([*words, "true"], capture_output=True).returncode
    return words if allowed else None


def _told(
    words: list[str],
    name: str,
    before: list[str] | None = None,
    environment: dict[str, str] | None = None,
    limit: int = 0,
) -> Counter[str]:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*(before or []), sys.executable, *words],
        cwd=ROOT,
        env=_ENVIRONMENT | (environment or {}),
        capture_output=True,
        text=True,
        preexec_fn=limited if limit else None,
        timeout=600,
    )
    if done.returncode == 0:
        return Counter(["no error"])
    errors = [line for line in done.stderr.splitlines() if line.startswith(("error", "Traceback"))]
    return Counter([f"status {done.returncode}, {verdict(errors[-1] if errors else done.stderr, name)}"])


_FETCH = """
import os, time
from concurrent.futures import ThreadPoolExecutor
from busi_demo.types import InputError
from busi_demo.weights.store import approach_folder, load_weights
import huggingface_hub
start = time.monotonic()
try:  # as a request to the page does, not in the main thread
    ThreadPoolExecutor().submit(load_weights, approach_folder("multitask_cnn")).result()
    told = "loaded"
except InputError as error:
    told = str(error)
print(time.monotonic() - start)
print(told, flush=True)
os._exit(0)  # without what still waits for the Hub
"""


def hub_that_does_not_answer(folder: Path) -> dict[str, tuple[float, str]]:
    """Weights that are to be downloaded from a Hub that cannot be reached: kind -> seconds, verdict."""
    found = {}
    with _silent() as silent, _slow() as slow:
        for kind, address in (
            ("refuses", "http://127.0.0.1:9"),
            ("is silent", silent),
            ("sends a byte a second", slow),
            ("has no address", "http://hub.invalid"),
        ):
            (folder / kind).mkdir()
            more = {"BUSI_DEMO_WEIGHTS": str(folder / kind), "BUSI_WEIGHTS_REPO": "anna/busi@main",
                    "HF_ENDPOINT": address, "HF_HOME": str(folder / kind / "cache")}  # fmt: skip
            done = subprocess.run(
                [sys.executable, "-c", _FETCH],
                cwd=ROOT, env=_ENVIRONMENT | more, capture_output=True, text=True, timeout=600,
            )  # fmt: skip
            seconds, _, told = done.stdout.partition("\n")
            found[kind] = (float(seconds or "nan"), verdict(told or done.stderr, "anna/busi"))
    return found


@contextmanager
def _silent() -> Any:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _slow() -> Any:
    """The address of a Hub that has every file, says so at once, and sends them a byte a second."""
    size = 1000

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            for name, value in {"X-Repo-Commit": "0" * 40, "ETag": '"1"', "Content-Length": size}.items():
                self.send_header(name, str(value))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            with suppress(OSError):  # whoever asked has left
                for _ in range(size):
                    self.wfile.write(b" ")
                    time.sleep(1)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
