"""What is fuzzed, and the loop that tries cases in a process of its own, as a case may end it."""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
import os
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GROWTH = 10**9
"""Bytes by which the memory of a process may grow."""

_KEPT = 3  # files of each kind of failure


@dataclass(frozen=True)
class Share:
    """What one process tries.

    Attributes:
        target: key of `TARGETS`.
        source: key of `SOURCES`.
        seed: of its random numbers.
        cases: how many.
        seconds: the longest it may take.
        folder: where the current case and failures are kept.
    """

    target: str
    source: str
    seed: int
    cases: int
    seconds: float
    folder: Path

    @property
    def current(self) -> Path:
        """The file with the case that is being tried."""
        return self.folder / f"{self.target}-{self.source}.current"


class Finished(BaseException):
    """Enough cases were tried; no handler of `Exception` holds it up."""


def read_an_image(case: bytes) -> None:
    """Count the frames of bytes, and read them as an image; they may be DICOM, too."""
    from busi_demo.imaging import read_image
    from busi_demo.imaging.picture import frames_in

    frames_in(case)
    read_image(case)


def read_an_archive(case: bytes) -> None:
    """List an archive as a batch, and unpack its images; nothing may lie outside of the folder meant for that."""
    from busi_demo.batch.items import list_batch
    from busi_demo.types import InputError
    from busi_demo.ui.batch.job import LIMITS

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.zip"
        path.write_bytes(case)
        items, others = list_batch([path], LIMITS)
        assert len({item.name for item in items}) == len(items), "names occur twice"
        for item in items:
            assert "\n" not in f"{item.name} {item.fault}", "a name or a sentence of several lines"
            for file in (item.image, *item.masks)[:10]:
                if file is None:
                    continue
                try:
                    with file.on_disk() as unpacked:
                        here = unpacked.resolve().relative_to(Path(tempfile.gettempdir()).resolve()).parts
                        assert len(here) == 2 and here[0].startswith("busi_demo_"), f"unpacked to {here}"
                except InputError as error:
                    one_sentence(error)
            item.sha256()
        assert all("\n" not in f"{other.name} {other.reason}" for other in others), "a reason of several lines"
        assert os.listdir(folder) == ["case.zip"], "something else was written"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "image": read_an_image, "dicom": read_an_image, "archive": read_an_archive
}  # fmt: skip
"""Name -> what is done with the bytes of a case. It may raise InputError."""


def one_sentence(error: Exception) -> None:
    """Check that a message is one line that ends as a sentence does."""
    text = str(error)
    assert text and "\n" not in text and text[-1] in ".!" and "Traceback" not in text, f"no sentence: {text!r}"


class Trial:
    """Tries cases one after the other.

    Args:
        share: what to try.
        state: numbers that the parent reads: cases done, start of the current one (monotonic seconds; 0: none),
            longest case in seconds, growth of memory in bytes, cases that were refused with a sentence.
    """

    def __init__(self, share: Share, state: Any) -> None:
        self.share, self.state, self.run = share, state, TARGETS[share.target]
        self.end = time.monotonic() + share.seconds
        self.start_memory = _peak_memory()
        self.current = share.current.open("r+b" if share.current.exists() else "w+b", buffering=0)

    def try_case(self, case: bytes) -> None:
        """Try one case; raises `Finished` when there were enough."""
        from busi_demo.types import InputError

        if self.state[0] >= self.share.cases or time.monotonic() > self.end:
            raise Finished
        os.pwrite(self.current.fileno(), len(case).to_bytes(8, "little") + case, 0)
        before = _peak_memory()
        self.state[1] = start = time.monotonic()
        try:
            self.run(case)
        except InputError as error:
            self.state[4] += 1
            try:
                one_sentence(error)
            except AssertionError as fault:
                keep(self.share, case, "message", str(fault), type(error).__name__)
        except Exception as error:
            keep(self.share, case, "exception", traceback.format_exc(limit=-12), _place(error))
        self.state[1] = 0
        self.state[0] += 1
        seconds, grown = time.monotonic() - start, _peak_memory() - before
        if seconds > max(self.state[2], 1):
            self._note("longest", case)
        if grown > 10**8:
            self._note("largest", case)
        self.state[2] = max(self.state[2], seconds)
        self.state[3] = max(self.state[3], _peak_memory() - self.start_memory)
        if grown > GROWTH:
            keep(self.share, case, "memory", f"memory grew by {grown / 2**20:.0f} MiB", "memory")

    def _note(self, what: str, case: bytes) -> None:
        """Keep a case that is no failure, but worth a look."""
        (self.share.folder / f"{self.share.target}-{self.share.source}-{what}.bin").write_bytes(case)


def keep(share: Share, case: bytes, kind: str, detail: str, place: str) -> None:
    """Save a failure: the case and a JSON file beside it; of the same place, three files and a count.

    Args:
        kind: exception, message, memory, slow or crash.
        detail: a traceback or a sentence.
        place: failures of the same place count as one.
    """
    mark = hashlib.sha256(f"{share.target} {kind} {place}".encode()).hexdigest()[:8]
    note = share.folder / f"{share.target}-{kind}-{mark}.json"
    known = json.loads(note.read_text()) if note.is_file() else {"count": 0, "files": []}
    if len(known["files"]) < _KEPT:
        name = f"{share.target}-{kind}-{mark}-{len(known['files'])}.bin"
        (share.folder / name).write_bytes(case)
        known["files"].append(name)
    known |= {"target": share.target, "source": share.source, "kind": kind, "place": place, "detail": detail[-3000:]}
    note.write_text(json.dumps(known | {"count": known["count"] + 1}, indent=2))


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "busi_demo" in frame.filename] or frames
    return f"{type(error).__name__} in {own[-1].name} of {Path(own[-1].filename).name}"


def _bytes(trial: Trial) -> None:
    import numpy as np
    from reliability import seeds

    generator, whole = np.random.default_rng(trial.share.seed), seeds.SEEDS[trial.share.target]()
    while True:
        trial.try_case(seeds.mutated(generator, whole))


def _structure(trial: Trial) -> None:
    import hypothesis
    from reliability.structures import STRUCTURES

    seed = trial.share.seed
    while True:
        # Hypothesis keeps all that it has seen of a run, so runs are short.
        settings = hypothesis.settings(max_examples=2000, database=None, deadline=None, derandomize=False,
                                       phases=[hypothesis.Phase.generate],
                                       suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
        case = STRUCTURES[trial.share.target]()
        hypothesis.seed(seed)(settings(hypothesis.given(case)(lambda case: trial.try_case(case))))()
        seed += 10**6


def _guided(trial: Trial) -> None:
    import sys

    import atheris
    from reliability import seeds

    def one(case: bytes) -> None:
        try:
            trial.try_case(case)
        except Finished:
            os._exit(0)  # libFuzzer would report an exception

    with tempfile.TemporaryDirectory() as corpus:
        for i, whole in enumerate(seeds.SEEDS[trial.share.target]()):
            (Path(corpus) / str(i)).write_bytes(whole)
        words = [f"-seed={trial.share.seed % 2**31}", "-max_len=20000", "-timeout=1000", "-rss_limit_mb=0",
                 "-malloc_limit_mb=0", "-print_final_stats=0", "-verbosity=0"]  # fmt: skip
        atheris.Setup([sys.argv[0], *words, corpus], one)
        atheris.Fuzz()


SOURCES: dict[str, Callable[[Trial], None]] = {"structure": _structure, "bytes": _bytes, "guided": _guided}
"""Where cases come from: Hypothesis, changed bytes of whole files, and Atheris, which looks for new code."""


def work(share: Share, state: Any) -> None:
    """The main function of a process that tries cases."""
    log = (share.folder / f"{share.target}-{share.source}.log").open("a")
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    faulthandler.enable(log)
    warnings.simplefilter("ignore")
    if share.source == "guided":
        import atheris

        with atheris.instrument_imports(include=["busi_demo", "pydicom", "PIL", "zipfile"]):
            import busi_demo.batch.items
            import busi_demo.imaging.dicom
    import busi_demo.batch.items
    import busi_demo.imaging  # noqa: F401
    from busi_demo.types import InputError

    with tempfile.TemporaryDirectory() as own:
        tempfile.tempdir = own
        with contextlib.suppress(InputError):
            TARGETS[share.target](b"")  # imports what it needs, which is no part of a case
        with contextlib.suppress(Finished):
            SOURCES[share.source](Trial(share, state))
