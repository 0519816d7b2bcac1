"""How long the app takes to start, its first answers, and how much memory it needs; each in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from busi_demo.data.phantom import make_phantom
from busi_demo.project import ROOT
from busi_demo.types import InputError

_PATIENCE = 300.0  # seconds

_MEMORY = """
import json, sys
from busi_demo.analysis.analysis import analyse_image
from busi_demo.data.phantom import make_phantom
from busi_demo.inference.predictor import load_predictor
from busi_demo.models import APPROACHES
from busi_demo.types import CLASSES

def resident():
    with open("/proc/self/status") as status:
        facts = dict(line.split(":", 1) for line in status)
    return tuple(int(facts[name].split()[0]) / 2**20 for name in ("VmRSS", "VmHWM"))

count, engine = int(sys.argv[1]), sys.argv[2] or None
images = [make_phantom(CLASSES[i % 3], i, 300 + 10 * i, 420).image for i in range(6)]
for key in APPROACHES:
    load_predictor(key).accelerate(images[0], engine)
keys, early = list(APPROACHES), None
for i in range(count):
    analyse_image(images[i % 6], keys[i % len(keys)]).analysis().figure_png()
    if i + 1 == max(1, count // 20):
        early = resident()[0]
now, peak = resident()
print(json.dumps({"early_gib": early, "late_gib": now, "peak_gib": peak, "requests": count}))
"""


def start(repeats: int) -> dict[str, Any]:
    """Seconds until the first page stands, and of the first answers, beside those of the imports alone."""
    import gradio_client

    imports, pages, firsts, seconds = list[float](), list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "phantom.png"
        Image.fromarray(make_phantom("benign", 4_000_001, 420, 520).image).save(image)
        for _ in range(repeats):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import torch, gradio"], check=True, cwd=ROOT)
            imports.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            with _app(folder) as url:
                pages.append(time.perf_counter() - begin)
                client = gradio_client.Client(url, verbose=False)
                for times in (firsts, seconds):
                    begin = time.perf_counter()
                    client.predict(gradio_client.handle_file(image), api_name="/analyse")
                    times.append(time.perf_counter() - begin)
    best = {"imports": min(imports), "page": min(pages), "first answer": min(firsts), "second answer": min(seconds)}
    return {
        "seconds": best,
        "ratios": {
            "start_over_imports": best["page"] / best["imports"],
            "first_over_second": best["first answer"] / best["second answer"],
        },
    }


def memory(requests: int, engine: str | None) -> dict[str, Any]:
    """Resident memory of a process that answers requests to all approaches in turn.

    Raises:
        InputError: the process failed.
    """
    words = [sys.executable, "-c", _MEMORY, str(requests), engine or ""]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"The measurement of memory failed: {done.stderr.strip().splitlines()[-1:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    growth = measured["late_gib"] / measured["early_gib"]
    return {"memory": measured, "ratios": {"memory_growth": growth, "peak_gib": measured["peak_gib"]}}


@contextmanager
def _app(folder: str) -> Iterator[str]:
    """Run `python app.py`; yields its address once its page is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_TEMP_DIR": folder}
    words, url = [sys.executable, str(ROOT / "app.py"), "--port", str(port)], f"http://127.0.0.1:{port}/"
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + _PATIENCE
    try:
        while True:
            try:
                with urllib.request.urlopen(url, timeout=_PATIENCE):
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise InputError("The app did not start: run python app.py to see why.") from None
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()
