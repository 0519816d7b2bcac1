"""How long clients wait that all ask at once, beside the time of a single request."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from reliability import record
from reliability.inputs import pictures
from reliability.journeys import Visitor

from busi_demo.models import DEFAULT_APPROACH

TARGET = 1.3
"""p95 / (clients x single request) stays below it."""


def latency(url: str, folder: Path, clients: int, requests: int) -> dict[str, Any]:
    """Time of some requests of clients that all ask at once, beside that of a single request: with a picture of its own
    for each request, and with one picture for all.

    Args:
        folder: receives the pictures.
    """
    config = httpx.get(f"{url}config", timeout=60).json()
    files = pictures(folder, clients * requests + 12, 4_500_000)

    def timed(visitor: Visitor, file: Path) -> float:
        start = time.perf_counter()
        reply = visitor.ask_api(file, DEFAULT_APPROACH)
        assert reply.kind == "answer", reply
        return time.perf_counter() - start

    def together(chosen: list[Path]) -> list[float]:
        times: list[float] = []
        own = [(Visitor(url, config), chosen[i::clients]) for i in range(clients)]
        threads = [threading.Thread(target=lambda v=v, f=f: times.extend(timed(v, x) for x in f)) for v, f in own]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(times) == len(chosen), "a client got no answer"
        return times

    visitor = Visitor(url, config)
    single = statistics.median([timed(visitor, file) for file in files[-12:]][2:])
    figures = {"clients": clients, "requests": requests, "single_seconds": single}
    for name, chosen in (("own", files[:-12]), ("one", files[:1] * (clients * requests))):
        times = together(chosen)
        p95 = float(np.quantile(times, 0.95))
        figures |= {f"{name}_median_seconds": statistics.median(times), f"{name}_p95_seconds": p95,
                    f"{name}_ratio": p95 / (clients * single)}  # fmt: skip
    return figures


def latency_text(figures: dict[str, Any]) -> str:
    """The section of the report."""
    lines = [("a single request, seconds", figures["single_seconds"])]
    for name, words in (("own", "a picture of its own for each request"), ("one", "one picture for all")):
        met = "met" if figures[f"{name}_ratio"] < TARGET else "missed"
        lines += [(f"{words}: median, p95, seconds",
                   f"{figures[f'{name}_median_seconds']:.3g}, {figures[f'{name}_p95_seconds']:.3g}"),
                  (f"{words}: p95 / (clients x single request)",
                   f"{figures[f'{name}_ratio']:.2f}, target below {TARGET}: {met}")]  # fmt: skip
    lines += [("files left when the server had ended", figures["left_over"])]
    first = f"{figures['clients']} clients ask /analyse at once, {figures['requests']} times each."
    return f"{first}\n\n{record.table(['', 'measured'], lines)}"
