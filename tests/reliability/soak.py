"""Many clients at once at the real app: python tests/reliability/soak.py [--minutes M] [--clients C] [--requests R]"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import httpx
import numpy as np
import psutil
from reliability import record
from reliability.inputs import NO_PICTURES, make_files, pictures
from reliability.journeys import ON_PAGE, Reply, Stopped, Visitor
from reliability.latency import TARGET, latency, latency_text
from serving import files_below, serve_app

from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.ui.limits import QUEUE_SIZE

_APPROACHES = (DEFAULT_APPROACH, "multitask_cnn")
_INTERRUPTED = 10  # cancelled, and as many disconnected
_WARM = 900.0  # seconds in which all networks are loaded and compiled
_FAULT = re.compile("Traceback|a request failed|could not be analysed|a decoder failed")  # in the log
_CROWD = 3 * QUEUE_SIZE  # programs that ask at the same moment
_FLAT = 5.0  # MiB of memory a minute
_LONG = 5.0  # minutes after which memory must be flat
_LEAVING = 30.0  # seconds in which what pages held is removed


def main() -> int:
    """Run the soak, or the short measurement of latency where --requests is given; returns 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, metavar="M", help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=64, metavar="C", help="default: %(default)s")
    parser.add_argument(
        "--requests", type=int, metavar="R", help="of each client, instead of minutes: measure latency only"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    told = record.circumstances()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "files").mkdir()
        files = make_files(folder / "inputs")
        environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "files")}
        with serve_app(folder, environment) as url:
            wait_until_warm(folder / "log.txt")
            if arguments.requests:
                figures = latency(url, folder / "pictures", arguments.clients, arguments.requests)
            else:
                figures = soak(url, files, arguments.clients, arguments.minutes * 60, arguments.seed)
                figures["crowd"] = crowd(url, folder / "crowd")
                figures["left_of_pages"] = left_of_pages(folder / "files")
        log = (folder / "log.txt").read_text(errors="replace")
        figures |= {
            "engines": dict(re.findall(r"^(\w+) runs with the engine (\w+)", log, re.MULTILINE)),
            "left_over": len(files_below(folder / "files")),
            "tracebacks": len(_FAULT.findall(log)),
        }
    if arguments.requests:
        record.save("latency", "Latency under load (`make soak ARGS=\"--clients 16 --requests 3\"`)", told, figures,
                    latency_text(figures))  # fmt: skip
        return int(figures["own_ratio"] >= TARGET)
    record.save("soak", "Soak (`make soak`)", told, figures, soak_text(figures))
    counts = figures["counts"]
    faults = counts["wrong"] + counts["lost"] + counts["error"] + figures["left_over"] + figures["tracebacks"]
    faults += figures["jobs"] - figures["same_afterwards"] + figures["left_of_pages"] + figures["crowd"]["other"]
    faults += counts.get("cancel not done", 0) + counts.get("disconnect not done", 0)
    faults += figures["errors_of_a_single_user"] != len(NO_PICTURES) * len(_APPROACHES)  # of programs
    grows = verdict_of(figures) == "missed"
    return int(bool(faults) or grows or not figures["crowd"]["full"])


def wait_until_warm(log: Path) -> None:
    """Wait until every approach has its engine: answers of another engine differ in the last digits."""
    end = time.monotonic() + _WARM
    while log.read_text(errors="replace").count("runs with the engine") < len(APPROACHES):
        assert time.monotonic() < end, f"the app did not warm up:\n{log.read_text()[-2000:]}"
        time.sleep(1)


def soak(url: str, files: dict[str, Path], clients: int, seconds: float, seed: int) -> dict[str, Any]:
    """Let clients ask for some time, and compare every answer with that of a single user."""
    config = httpx.get(f"{url}config", timeout=60).json()
    jobs = [(way, name, approach) for way in ("ask_page", "ask_api") for name in files for approach in _APPROACHES]
    single = Visitor(url, config)
    expected = {job: getattr(single, job[0])(files[job[1]], job[2]) for job in jobs}
    counts, times = Counter[str](wrong=0, lost=0, full=0, error=0), dict[str, list[float]](ask_page=[], ask_api=[])
    wrong, lock, memory, end = list[Any](), threading.Lock(), list[tuple[float, ...]](), time.monotonic() + seconds
    server = next(p for p in psutil.Process().children(recursive=True) if any("app.py" in word for word in p.cmdline()))
    memory.append((time.monotonic(), *resident(server)))

    def client(number: int) -> None:
        visitor, choice = Visitor(url, config), random.Random(seed * 1000 + number)
        mine = [job for job in jobs if job[0] == ("ask_page", "ask_api")[number % 2]]
        while time.monotonic() < end:
            way, name, approach = job = choice.choice(mine)
            start = time.monotonic()
            reply = getattr(visitor, way)(files[name], approach)
            with lock:
                times[way].append(time.monotonic() - start)
                counts[came_of(reply, expected[job])] += 1
                if came_of(reply, expected[job]) == "wrong":
                    wrong.append([job, reply.content[:300], expected[job].content[:300]])
            if reply.kind == "full":
                time.sleep(1)

    def interrupt() -> None:
        visitor, choice = Visitor(url, config), random.Random(seed)
        for i in range(2 * _INTERRUPTED):
            time.sleep(max(0.0, seconds / (2 * _INTERRUPTED + 1)))
            way = ("cancel", "disconnect")[i % 2]
            try:
                done = "done" if getattr(visitor, way)(files["valid.png"], choice.choice(_APPROACHES)) else "not done"
            except Stopped as stopped:
                done = "refused, the queue was full" if stopped.args[0] == "full" else "not done"
            except httpx.HTTPError:
                done = "not done"
            with lock:
                counts[f"{way} {done}"] += 1

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):  # a server that is gone answers nobody, which is counted
            while time.monotonic() < end + 5:
                time.sleep(10 if seconds > 60 else 2)
                memory.append((time.monotonic(), *resident(server)))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    threads += [threading.Thread(target=interrupt), threading.Thread(target=watch)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = {job: getattr(single, job[0])(files[job[1]], job[2]) == expected[job] for job in jobs}
    measured = np.array(memory)
    minutes, sizes = (measured[:, 0] - measured[0, 0]) / 60, measured[:, 1:].T / 2**20
    mebibytes = dict(zip(("server", "decoders"), sizes, strict=True)) | {"all": sizes.sum(0)}
    half = len(minutes) // 2  # the first requests of all clients fill caches
    return {
        "clients": clients, "minutes": seconds / 60, "counts": dict(counts), "wrong": wrong[:20],
        "errors_of_a_single_user": sum(reply.kind != "answer" for reply in expected.values()),
        "same_afterwards": sum(after.values()), "jobs": len(jobs),
        "latency": {way: [statistics.median(t), float(np.quantile(t, 0.95)), len(t)] for way, t in times.items() if t},
        "memory_minutes": minutes.round(2).tolist(),
        "memory_mib": {
            of: {"start": size[0], "end": size[-1], "most": max(size), "measured": size.round().tolist(),
                 "slope_per_minute": float(np.polyfit(minutes[half:], size[half:], 1)[0])}
            for of, size in mebibytes.items()
        },
    }  # fmt: skip


def resident(server: psutil.Process) -> tuple[int, int]:
    """Bytes of memory of a server, and of the processes that decode for it."""
    decoders = 0
    for process in server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            decoders += process.memory_info().rss
    return server.memory_info().rss, decoders


def slope_of(figures: dict[str, Any]) -> float:
    """MiB of memory a minute that all processes of the server gain in the second half."""
    return figures["memory_mib"]["all"]["slope_per_minute"]


def verdict_of(figures: dict[str, Any]) -> str:
    """Whether memory is flat: "met", "missed", or a sentence where the run was too short to tell."""
    if figures["minutes"] < _LONG:
        return "not judged in so short a time"
    return "met" if slope_of(figures) <= _FLAT else "missed"


def crowd(url: str, folder: Path) -> dict[str, int]:
    """More programs than the queue takes, all at once, each with a picture of its own: how many get an answer, how many
    are told to come back and when, and how many anything else. A third of the answers is compared with a single
    user's."""
    config = httpx.get(f"{url}config", timeout=60).json()
    files, visitors = pictures(folder, _CROWD, 4_600_000), [Visitor(url, config) for _ in range(_CROWD)]
    with ThreadPoolExecutor(_CROWD) as threads:
        replies = list(threads.map(lambda visitor, file: visitor.ask_api(file, _APPROACHES[0]), visitors, files))
    kinds = Counter(reply.kind for reply in replies)
    answered = [(reply, file) for reply, file in zip(replies, files, strict=True) if reply.kind == "answer"]
    wrong = sum(Visitor(url, config).ask_api(file, _APPROACHES[0]) != reply for reply, file in answered[::3])
    right = kinds["answer"] - wrong
    return {"programs": _CROWD, "right": right, "full": kinds["full"], "other": _CROWD - right - kinds["full"]}


def left_of_pages(folder: Path) -> int:
    """Files that were opened on pages and still lie on the server, though all pages were closed."""
    end = time.monotonic() + _LEAVING
    while (left := sum(path.name.startswith(ON_PAGE) for path in files_below(folder))) and time.monotonic() < end:
        time.sleep(1)
    return left


def came_of(reply: Reply, expected: Reply) -> str:
    """What a reply is worth: right, wrong, lost, full (politely refused), or another error than a single user gets."""
    if reply.kind in ("lost", "full"):
        return reply.kind
    if reply == expected:
        return "right" if reply.kind == "answer" else "right message"
    return "error" if reply.kind == "error" else "wrong"


def soak_text(figures: dict[str, Any]) -> str:
    """The section of the report."""
    counts, memory, latency = figures["counts"], figures["memory_mib"], figures["latency"]
    names = {"right": "the same answer as a single user's", "right message": "the same message as a single user's",
             "wrong": "another answer", "lost": "no answer and no message",
             "full": "politely refused, the queue was full", "error": "another message"}  # fmt: skip
    lines = [(words, counts.get(name, 0)) for name, words in names.items()]
    lines += [(f"interrupted: {name}", count) for name, count in sorted(counts.items()) if name not in names]
    lines += [(f"same answers to a single user afterwards, of {figures['jobs']}", figures["same_afterwards"])]
    lines += [(f"seconds, {'page' if way == 'ask_page' else 'API'}: median, p95", f"{median:.1f}, {p95:.1f}")
              for way, (median, p95, _) in latency.items()]  # fmt: skip
    lines += [
        (
            f"memory of {words}, MiB: at the start, at the end, most; a minute in the second half",
            f"{', '.join(f'{memory[of][k]:.0f}' for k in ('start', 'end', 'most'))}; "
            f"{memory[of]['slope_per_minute']:.2f}",
        )
        for of, words in (("server", "the server"), ("decoders", "the processes that decode"))
    ]
    lines += [
        (
            "both, MiB a minute in the second half",
            f"{slope_of(figures):.2f}, target at most {_FLAT:g}: {verdict_of(figures)}",
        ),
        (
            f"{figures['crowd']['programs']} programs at once: answered, told when to come back, anything else",
            ", ".join(str(figures["crowd"][name]) for name in ("right", "full", "other")),
        ),
        ("files of pages left when all were closed", figures["left_of_pages"]),
        ("files left when the server had ended", figures["left_over"]),
        ("failures in its log", figures["tracebacks"]),
    ]
    first = (f"{figures['clients']} clients for {figures['minutes']:g} minutes, half of them over the page's queue "
             "(upload, networks, what is shown: three waits), half over the API; pictures of five kinds, noise, and "
             "three files that are no pictures. Every answer is compared with a single user's.")  # fmt: skip
    engines = ", ".join(f"{key} in {engine}" for key, engine in figures["engines"].items())
    return f"{first} Networks: {engines}.\n\n{record.table(['', 'measured'], lines)}"


if __name__ == "__main__":
    sys.exit(main())
