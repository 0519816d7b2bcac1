"""Decode files of strangers in processes of their own, with limits of time and memory that hold whatever a decoder
does: one that hangs, crashes or asks for all memory costs its own file, and the next file gets a new process.

A server calls `decode_apart` once. Without that, as on the command line, files are decoded in the process itself.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from busi_demo.imaging import picture
from busi_demo.imaging.picture import Picture
from busi_demo.imaging.source import Undecoded, name_of, too_costly
from busi_demo.project import ROOT
from busi_demo.types import InputError, place_of

SECONDS = 20.0
"""Longest time that a file may take, by the clock."""

MEMORY_MB = 3000
"""Largest address space of a process that decodes, in megabytes, where the system knows such a limit (Windows and macOS
do not). The largest pictures that are taken need half of it."""

_PROCESSES = 2
_PROGRAM = "import sys; from busi_demo.imaging.apart import serve; serve(int(sys.argv[1]))"
_pool: queue.LifoQueue[_Worker] | None = None


def decode_apart() -> None:
    """Decode all files from now on in other processes, which end with this one. The first of them is started."""
    global _pool
    if _pool is None:
        workers = [_Worker() for _ in range(_PROCESSES)]
        workers[-1].start()  # the one that is taken first
        _pool = queue.LifoQueue()
        for worker in workers:
            _pool.put(worker)


def decode(source: Undecoded, frame: int | None = None) -> Picture:
    """`picture.decode`, in another process where `decode_apart` was called and the source is a file.

    Raises:
        InputError: as for `picture.decode`; or it takes more time or memory than the limits, or the decoder crashes.
    """
    if _pool is None or not isinstance(source, str | Path):
        return picture.decode(source, frame)
    answer, pixels = _ask(_pool, "picture", source, frame)
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in answer["picture"].items()
    }
    image = Image.frombytes(answer["mode"], tuple(answer["size"]), pixels)
    return Picture(image, **values)


def frames_in(source: str | Path) -> tuple[int, int]:
    """`picture.frames_in`, as `decode` does it."""
    if _pool is None:
        return picture.frames_in(source)
    default, count = _ask(_pool, "frames", source)[0]["frames"]
    return default, count


def _ask(
    pool: queue.LifoQueue[_Worker], task: str, source: str | Path, frame: int | None = None
) -> tuple[dict[str, Any], bytes]:
    worker = pool.get()
    try:
        answer = worker.ask({"task": task, "path": os.fspath(source), "frame": frame})
    finally:
        pool.put(worker)
    if answer is None:
        raise too_costly(name_of(source))
    if "refusal" in answer[0]:
        raise InputError(answer[0]["refusal"])
    if "error" in answer[0]:
        raise RuntimeError(f"A decoder failed: {answer[0]['error']}")
    return answer


class _Worker:
    """A process that decodes one file at a time, started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-P", "-c", _PROGRAM, str(MEMORY_MB * 10**6)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        return self._process

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """The answer and the bytes that belong to it; `None` where the process did not live to give them."""
        process = self.start()
        assert process.stdin and process.stdout
        limit = threading.Timer(SECONDS, process.kill)
        limit.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            content = process.stdout.read(answer.get("bytes", 0))
            if len(content) == answer.get("bytes", 0):
                return answer, content
        except (OSError, ValueError):  # it ended: nobody takes the request, or there is no answer, or a part of one
            pass
        finally:
            limit.cancel()
        self.end()
        return None

    def end(self) -> None:
        """End the process; the next file gets a new one."""
        if self._process:
            self._process.kill()
            self._process.wait()
            for stream in filter(None, (self._process.stdin, self._process.stdout)):
                with suppress(OSError):  # of what it did not take
                    stream.close()


def serve(memory: int) -> None:
    """What such a process does: answer requests on standard input, a line of JSON each, until it is closed. An answer
    is a line of JSON and, where that tells a number of them, bytes.

    Args:
        memory: largest address space, bytes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the server
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    _limit_memory(memory)
    for request in sys.stdin.buffer:
        answer, content = _answer(json.loads(request))
        with suppress(BrokenPipeError):  # the server has ended
            _send(answers, answer, content)


def _limit_memory(most: int) -> None:
    with suppress(ImportError, OSError, ValueError):  # unknown, or less is allowed already
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        if request["task"] == "frames":
            return {"frames": picture.frames_in(request["path"])}, b""
        read = picture.decode(request["path"], request["frame"])
        image, content = read.image, read.image.tobytes()
        values = {field.name: getattr(read, field.name) for field in fields(read) if field.name != "image"}
        return {"picture": values, "mode": image.mode, "size": image.size, "bytes": len(content)}, content
    except InputError as error:
        return {"refusal": str(error)}, b""
    except MemoryError:
        return {"refusal": str(too_costly(name_of(request["path"])))}, b""
    except Exception as error:  # without its text, which may hold a name
        return {"error": place_of(error)}, b""


def _send(stream: BinaryIO, answer: dict[str, Any], content: bytes) -> None:
    stream.write(json.dumps(answer).encode() + b"\n")
    stream.write(content)
    stream.flush()
