"""What a server that runs for days does so that neither files nor memory accumulate."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from busi_demo.ui import held, upkeep


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1")
    return path


def test_what_is_old_is_removed_whoever_holds_it(folder, monkeypatch):
    def sweep(now: float) -> None:
        monkeypatch.setattr(upkeep, "time", SimpleNamespace(time=lambda: now))
        upkeep.remove_old_files()

    name = "0123456789abcdef" * 4
    monkeypatch.setattr(held, "_shared", {str(folder / name / "example.png")})
    old = [make(folder / path) for path in (f"{name}/scan.png", "batch_1/batch.csv", "tmp1a2b3c")]
    stay = [make(folder / path) for path in (f"{name}/example.png", "in_use.lock", "openvino_cache/1.blob", "tmp_x/1")]
    used_again = Path(held.save(b"figure", "figure.png", None))
    in_batch = make(folder / ("f" * 64) / "scan.png")
    sweep(used_again.stat().st_ctime + upkeep.KEPT_SECONDS - 1)
    assert all(path.exists() for path in (*old, *stay, used_again, in_batch))
    time.sleep(0.1)
    assert held.save(b"figure", "figure.png", None) == str(used_again)
    held.use_again([in_batch, folder / "gone"])
    sweep(used_again.stat().st_ctime + upkeep.KEPT_SECONDS - 0.05)
    assert not any(path.exists() for path in old) and all(path.exists() for path in (*stay, used_again, in_batch))
    sweep(time.time() + upkeep.KEPT_SECONDS + 60)
    assert not any(path.parent.exists() for path in (old[1], used_again, in_batch))
    assert all(path.exists() for path in stay)


def test_a_folder_that_vanishes_meanwhile_ends_nothing(folder, monkeypatch):
    """Somebody takes an image away between the two listings."""
    paths = [make(folder / (f"{i:x}" * 64) / "scan.png") for i in range(16)]
    remove = held.remove_older

    def remove_all_others_first(path: Path, before: float) -> None:
        for other in paths[:8]:
            if other.exists() and other != path:
                other.unlink()
                other.parent.rmdir()
        remove(path, before)

    monkeypatch.setattr(held, "remove_older", remove_all_others_first)
    monkeypatch.setattr(upkeep, "KEPT_SECONDS", -60.0)
    upkeep.remove_old_files()
    assert not list(folder.iterdir())


def test_gradio_forgets_files_that_are_gone_while_others_arrive(folder):
    here, paths = make(folder / "1.png"), {str(folder / f"{i}.png") for i in range(50_000)}
    arriving, stop = set[str](), threading.Event()

    def arrive() -> None:
        while not stop.is_set():
            path = str(make(folder / "new" / f"{len(arriving)}.png"))
            paths.add(path)
            arriving.add(path)

    thread = threading.Thread(target=arrive)
    thread.start()
    try:
        for _ in range(3):
            upkeep.forget_removed_files(SimpleNamespace(temp_file_sets=[paths]))
    finally:
        stop.set()
        thread.join()
    assert paths == {str(here)} | arriving and len(arriving) > 3


def test_one_failure_ends_nothing(monkeypatch, caplog):
    done: list[str] = []
    monkeypatch.setattr(upkeep, "_SECONDS", 0.01)
    monkeypatch.setattr(held, "expire", lambda: 1 / 0)
    monkeypatch.setattr(upkeep, "return_memory", lambda: done.append("minute"))
    stopped = RuntimeError("the test is over")

    def sleep(seconds: float) -> None:
        if len(done) == 3:
            raise stopped

    monkeypatch.setattr(upkeep.time, "sleep", sleep)
    with pytest.raises(RuntimeError, match="the test is over"):
        upkeep._keep_up(SimpleNamespace(temp_file_sets=[]))
    assert len(done) == 3 and caplog.text.count("the upkeep of the server failed") == 3


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the size of a process is read there")
def test_memory_goes_back_to_the_system():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    pieces = [bytearray(60_000) for _ in range(4000)]  # below the size that is returned at once
    kept = pieces[::100]
    full = resident()
    del pieces
    upkeep.return_memory()
    assert full - resident() > 150e6 and len(kept) == 40
