"""Files decoded in other processes: the same pictures and sentences, and limits that hold."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
from helpers import picture, save_grey
from PIL import Image
from reliability.seeds import images, scans

from busi_demo.imaging import apart, read_image
from busi_demo.types import InputError

SENTENCE = "could not be decoded in the time and memory that there are for one file: export it as PNG, or smaller."


@pytest.fixture
def workers(monkeypatch):
    """Files are decoded in other processes, which end with the test."""
    monkeypatch.setattr(apart, "_pool", None)
    apart.decode_apart()
    workers = list(apart._pool.queue)
    yield workers
    for worker in workers:
        worker.end()


def decoded(path: Path, frame: int | None = None) -> dict[str, object] | str:
    try:
        read = apart.decode(path, frame)
    except InputError as error:
        return str(error)
    return asdict(read) | {"image": (read.image.mode, read.image.size, read.image.tobytes())}


def test_pictures_and_sentences_are_those_of_the_process_itself(tmp_path, monkeypatch, workers):
    files = [*images(), *scans(), b"", b"no picture", images()[0][:-40], scans()[0][:-40]]
    paths = [tmp_path / f'{number} "=a,\n\u4e73' for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    cases = [*((path, None) for path in paths), *((path, 2) for path in paths), (tmp_path / "missing", None)]
    elsewhere = [decoded(*case) for case in cases]
    counts = [apart.frames_in(path) for path in paths[:-4]]
    monkeypatch.setattr(apart, "_pool", None)
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
    """Start to read a file that never ends, in a thread; its result is the sentence."""
    os.mkfifo(tmp_path / "hangs.png")  # opening it waits for a writer
    with ThreadPoolExecutor() as threads:
        yield lambda: threads.submit(decoded, tmp_path / "hangs.png")


def test_a_decoder_that_hangs_or_dies_costs_its_own_file_alone(tmp_path, monkeypatch, workers, stuck):
    image = save_grey(tmp_path / "a.png", picture(1))
    monkeypatch.setattr(apart, "SECONDS", 1.0)
    hanging = stuck()
    assert (read_image(image).pixels == picture(1)).all()  # of the next person
    assert hanging.result() == f"hangs.png {SENTENCE}"
    monkeypatch.setattr(apart, "SECONDS", 60.0)
    hanging = stuck()
    while len(apart._pool.queue) == len(workers):
        time.sleep(0.01)
    next(worker for worker in workers if worker not in apart._pool.queue).end()
    assert hanging.result() == f"hangs.png {SENTENCE}"
    workers[0].end()  # while it waits for a file
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
