"""Fuzz what reads people's files: python tests/reliability/fuzz.py [--cases N] [--seconds S] [--targets T ...]

An image, a DICOM file or a zip archive of any bytes is read, or refused with an InputError of one sentence. Looked for
are any other exception, a crash of the process, a case over 10 s, and a case that needs over 1 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from reliability import record
from reliability.targets import SOURCES, TARGETS, Share, keep, work

SLOW = 10.0
"""Seconds after which a case counts as a failure and its process is ended."""

_START = 120.0  # seconds in which a process imports what it needs


def main() -> int:
    """Fuzz all targets, as many at a time as there are cores; returns 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--cases", type=int, default=100_000, metavar="N", help="for each target (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=3600, metavar="S", help="for each target (default: %(default)s)"
    )
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    arguments = parser.parse_args()
    told, folder = record.circumstances(), record.RUNS / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.is_file() and old.name.split("-")[0] in arguments.targets:
            old.unlink()
    before = record.earlier("fuzz").get("targets", {})
    with ThreadPoolExecutor(told["cores"]) as pool:
        begun = {
            pool.submit(fuzz, target, arguments.cases, arguments.seconds, arguments.seed, folder): target
            for target in arguments.targets
        }
        for ended in as_completed(begun):
            before[begun[ended]] = ended.result() | {"commit": told["commit"]}
            found = failures(folder)
            figures = {"targets": before, "failures": found}
            record.save("fuzz", "Fuzzing (`make fuzz`)", told, figures, text(before, found))
    return 1 if failures(folder) else 0


def fuzz(target: str, cases: int, seconds: float, seed: int, folder: Path) -> dict[str, Any]:
    """Try cases of all sources, one source after the other.

    Args:
        target: key of `TARGETS`.
        cases: how many.
        seconds: the longest that all of them may take.
        folder: where failures are saved.
    Returns:
        Counts of cases by source, of those that were refused, crashes and slow cases, and the worst time and memory.
    """
    sources = [name for name in SOURCES if name != "guided" or find_spec("atheris")]
    start = time.monotonic()
    result: dict[str, Any] = {
        "seed": seed,
        "cases": {},
        "refused": 0,
        "crashes": 0,
        "slow": 0,
        "longest": 0.0,
        "grown": 0,
    }
    for i, source in enumerate(sources):
        left, end = cases - sum(result["cases"].values()), start + seconds * (i + 1) / len(sources)
        result["cases"][source] = 0
        wanted = left // (len(sources) - i)
        while result["cases"][source] < wanted and time.monotonic() < end:
            more = wanted - result["cases"][source]
            attempt = seed + result["crashes"] + result["slow"]
            share = Share(target, source, attempt, more, end - time.monotonic(), folder)
            if not _watch(share, result):
                break
    result["seconds"] = time.monotonic() - start
    return result


def _watch(share: Share, result: dict[str, Any]) -> int:
    """Run one process and watch it; returns how many cases it has tried."""
    context = multiprocessing.get_context("spawn")
    state = context.Array("d", 5, lock=False)
    process = context.Process(target=work, args=(share, state))
    process.start()
    begun, slow = time.monotonic(), False
    while process.is_alive():
        process.join(0.2)
        started, now = state[1], time.monotonic()
        stuck = (started and now - started > SLOW) or (not state[0] and now - begun > _START)
        if process.is_alive() and (stuck or now - begun > share.seconds + _START):
            process.kill()
            process.join()
            slow = True
    tried = int(state[0])
    if slow or process.exitcode:
        tried += bool(state[1])
        kind = "slow" if slow else "crash"
        result["slow" if slow else "crashes"] += 1
        keep(share, _current(share), kind, _last_words(share), f"{kind} {process.exitcode}")
    result["cases"][share.source] += tried
    result["refused"] += int(state[4])
    result["longest"] = max(result["longest"], state[2])
    result["grown"] = max(result["grown"], int(state[3]))
    return tried


def _current(share: Share) -> bytes:
    content = share.current.read_bytes() if share.current.is_file() else b""
    return content[8 : 8 + int.from_bytes(content[:8], "little")]


def _last_words(share: Share) -> str:
    log = share.folder / f"{share.target}-{share.source}.log"
    return log.read_text(errors="replace")[-3000:] if log.is_file() else ""


def failures(folder: Path) -> list[dict[str, Any]]:
    """All failures that were saved, the most frequent first."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda failure: -failure["count"])


def text(targets: dict[str, Any], found: list[dict[str, Any]]) -> str:
    """The section of the report."""
    heads = ["target", "commit", *(f"{source} cases" for source in SOURCES), "refused", "exceptions", "crashes",
             "over 10 s", "over 1 GB", "longest, s", "most memory, MiB", "minutes"]  # fmt: skip
    rows = []
    for target, result in targets.items():
        counts = {kind: sum(f["count"] for f in found if f["target"] == target and f["kind"] == kind)
                  for kind in ("exception", "message", "memory")}  # fmt: skip
        rows.append([
            target, result["commit"], *(f"{result['cases'].get(source, 0):,}" for source in SOURCES),
            f"{result['refused']:,}",
            counts["exception"] + counts["message"], result["crashes"], result["slow"], counts["memory"],
            float(result["longest"]), round(result["grown"] / 2**20), result["seconds"] / 60,
        ])  # fmt: skip
    lines = [
        "Structure: Hypothesis makes odd files; bytes: parts of whole files are changed; guided: Atheris changes them "
        "towards code not yet reached. A refusal is an `InputError` of one sentence; the rest of the cases was read.",
        record.table(heads, rows),
    ]
    if found:
        shown = [[f["target"], f["kind"], f["place"], f["count"], ", ".join(f["files"])] for f in found]
        lines += ["Found:", record.table(["target", "kind", "where", "times", "files"], shown)]
    else:
        lines.append("No exception other than `InputError`, no crash, no slow case, no growth of memory over 1 GB.")
    return "\n\n".join(lines)


if __name__ == "__main__":
    tempfile.tempdir = None
    sys.exit(main())
