"""Files decoded in other processes: the same pictures and sentences, and limits that hold."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
from helpers import ROOT, picture, save_grey, wait_until_ended
from PIL import Image
from reliability.seeds import images, scans

from busi_demo.imaging import apart, read_image
from busi_demo.types import InputError

SENTENCE = (
    "could not be decoded in the time and memory that there are for one file: make it smaller, or export it again."
)


HANGING = """
import time
from pathlib import Path
from busi_demo.imaging import picture

decode = picture.decode

def hang(path, frame=None):
    if Path(path).name.startswith("hangs"):
        Path(path).with_suffix(".begun").touch()
        time.sleep(1000)
    return decode(path, frame)

picture.decode = hang
"""


@pytest.fixture
def hanging(tmp_path_factory, monkeypatch):
    """A decoder in other processes that never ends for files called hangs."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.fixture
def workers(monkeypatch, hanging):
    """Files are decoded in two other processes, which are started, and end with the test."""
    monkeypatch.setattr(apart, "_PROCESSES", 2)
    apart.decode_apart()
    workers = list(apart._pool.queue)
    for worker in workers:
        worker.start()
    yield workers
    apart.decode_here()


def decoded(path: Path, frame: int | None = None) -> dict[str, object] | str:
    try:
        read = apart.decode(path, frame)
    except InputError as error:
        return str(error)
    return asdict(read) | {"image": (read.image.mode, read.image.size, read.image.tobytes())}


def test_pictures_and_sentences_are_those_of_the_process_itself(tmp_path, workers):
    files = [*images(), *scans(), b"", b"no picture", images()[0][:-40], scans()[0][:-40]]
    paths = [tmp_path / f'{number} "=a,\n\u4e73' for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    cases = [*((path, None) for path in paths), *((path, 2) for path in paths), (tmp_path / "missing", None)]
    elsewhere = [decoded(*case) for case in cases]
    counts = [apart.frames_in(path) for path in paths[:-4]]
    apart.decode_here()
    assert elsewhere == [decoded(*case) for case in cases]
    assert counts == [apart.frames_in(path) for path in paths[:-4]] and (2, 3) in counts
    assert sum(isinstance(read, dict) for read in elsewhere) > len(files)


def test_bytes_and_arrays_are_no_files(workers):
    pixels = picture(1)
    assert (read_image(pixels).pixels == pixels).all()
    assert read_image(images()[0]).format == "PNG"
    with pytest.raises(InputError, match="Expected the path or bytes"):
        read_image(3)


@pytest.fixture
def stuck(tmp_path):
    """Start to read a file that takes for ever, in a thread; its result is the sentence."""
    with ThreadPoolExecutor() as threads:
        yield lambda: threads.submit(decoded, tmp_path / "hangs.png")


def test_a_decoder_that_hangs_or_dies_costs_its_own_file_alone(tmp_path, monkeypatch, workers, stuck):
    image = save_grey(tmp_path / "a.png", picture(1))
    for _ in workers:  # they have started
        assert (read_image(image).pixels == picture(1)).all()
    monkeypatch.setattr(apart, "SECONDS", 4.0)
    hanging = stuck()
    assert (read_image(image).pixels == picture(1)).all()  # of the next person
    assert hanging.result() == f"hangs.png {SENTENCE}"
    monkeypatch.setattr(apart, "SECONDS", 600.0)
    hanging = stuck()
    while not hanging.done():  # a process that died is replaced once
        for worker in workers:
            if worker not in apart._pool.queue and worker._process and worker._process.poll() is None:
                worker._process.kill()
        time.sleep(0.05)
    assert hanging.result() == f"hangs.png {SENTENCE}"
    for worker in workers:
        worker.start().kill()  # while it waits for a file
    for _ in workers:
        assert (read_image(image).pixels == picture(1)).all()


def test_a_decoder_that_asks_for_too_much_memory_costs_its_own_file_alone(tmp_path, monkeypatch, workers):
    for worker in workers:
        worker.end()
    monkeypatch.setattr(apart, "MEMORY_MB", 400)
    large = tmp_path / "large.png"
    Image.new("RGBA", (4900, 5000)).save(large)
    assert decoded(large) == f"large.png {SENTENCE}"
    assert isinstance(decoded(save_grey(tmp_path / "a.png", picture(1))), dict)


def test_what_a_process_had_still_to_say_is_told_to_nobody_else(tmp_path, monkeypatch, workers):
    one, other = save_grey(tmp_path / "a.png", picture(1)), save_grey(tmp_path / "b.png", picture(2))

    def no_memory(text: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(apart.json, "loads", no_memory)
    for _ in workers:
        with pytest.raises(MemoryError):
            read_image(one)
    monkeypatch.undo()
    assert (read_image(other).pixels == picture(2)).all()


def test_faults_are_told_as_those_of_the_process_itself_and_name_no_file(tmp_path, monkeypatch, workers, caplog):
    with pytest.raises(OSError, match="Input/output error") as error:
        apart.decode("/proc/self/mem")
    assert "mem" not in str(error.value)
    ask = apart._Worker.ask
    monkeypatch.setattr(apart._Worker, "ask", lambda worker, request: ask(worker, {**request, "path": None}))
    with pytest.raises(RuntimeError, match=r"^A decoder failed\.$"):
        apart.frames_in(save_grey(tmp_path / "Jane_Doe.png", picture(1)))
    assert "TypeError" in caplog.text and "apart.py" in caplog.text and "Jane" not in caplog.text


def test_a_decoder_that_hangs_ends_though_its_server_was_killed(tmp_path, hanging):
    code = (
        "import sys; from busi_demo.imaging import apart; apart.SECONDS = 1.0; apart.decode_apart(); "
        "print(apart._pool.queue[-1].start().pid, flush=True); apart.decode(sys.argv[1])"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "hangs.png")]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    decoder = int(server.stdout.readline())  # type: ignore[union-attr]
    while not (tmp_path / "hangs.begun").exists():
        time.sleep(0.01)
    server.kill()
    server.communicate()
    wait_until_ended(decoder)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png is no regular file, expected .*: save it as a file first"):
        read_image(tmp_path / "pipe.png")
