"""Decode files in processes of their own, with limits of time and memory that hold whatever a decoder does: one that
hangs, crashes or asks for all memory costs its own file, and the next file gets a new process.

A server calls `decode_apart` once. Without that, as on the command line, files are decoded in the process itself.
"""

from __future__ import annotations

import json
import logging
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

SECONDS = 15.0
"""Longest time that a file may take, by the clock."""

MEMORY_MB = 3000
"""Largest address space of a process that decodes, in megabytes, where the system knows such a limit (Windows and macOS
do not). The largest pictures that are taken need half of it."""

_PROCESSES = 8  # more than the page lets ask at once, so that nobody waits for the file of another
_PROGRAM = "import sys; from busi_demo.imaging.apart import serve; serve(float(sys.argv[1]), int(sys.argv[2]))"
_log = logging.getLogger(__name__)
_pool: queue.LifoQueue[_Worker] | None = None  # the last that was used is taken first: the others need not be started


def decode_apart() -> None:
    """Decode all files from now on in other processes, which end with this one. The first of them is started."""
    global _pool
    if _pool is None:
        workers = [_Worker() for _ in range(_PROCESSES)]
        workers[-1].start()
        _pool = queue.LifoQueue()
        for worker in workers:
            _pool.put(worker)


def decode_here() -> None:
    """End these processes, as far as they are idle, and decode in this process from now on."""
    global _pool
    ending, _pool = _pool, None
    while ending is not None and not ending.empty():
        ending.get().end()


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
    worker, request = pool.get(), {"task": task, "path": os.fspath(source), "frame": frame}
    try:
        found = worker.ask(request) or worker.ask(request)  # a process may have been ended from outside, while idle
    except TimeoutError:
        found = None
    finally:
        pool.put(worker)
    if found is None:
        raise too_costly(name_of(source))
    answer = found[0]
    if "refusal" in answer:
        raise InputError(answer["refusal"])
    if "system" in answer:
        raise OSError(*answer["system"])
    if "error" in answer:
        _log.error("a decoder failed: %s", answer["error"])
        raise RuntimeError("A decoder failed.")
    return found


class _Worker:
    """A process that decodes one file at a time, started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(SECONDS), str(MEMORY_MB * 10**6)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # Ctrl+C is for the server
            )
        return self._process

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        """The answer and the bytes that belong to it; `None` where the process ended before it gave them.

        Raises:
            TimeoutError: it took too long, and was ended.
        """
        process, expired = self.start(), threading.Event()
        assert process.stdin and process.stdout

        def expire() -> None:
            expired.set()
            process.kill()

        limit = threading.Timer(SECONDS, expire)
        limit.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            content = process.stdout.read(answer.get("bytes", 0))
            if len(content) == answer.get("bytes", 0):
                return answer, content
        except (OSError, ValueError):  # nobody takes the request, or there is no answer, or a part of one
            pass
        except BaseException:
            self.end()  # with what it has still to say
            raise
        finally:
            limit.cancel()
        self.end()
        if expired.is_set():
            raise TimeoutError
        return None

    def end(self) -> None:
        """End the process; the next file gets a new one."""
        if self._process:
            self._process.kill()
            self._process.wait()
            for stream in filter(None, (self._process.stdin, self._process.stdout)):
                with suppress(OSError):  # of what it did not take
                    stream.close()


def serve(seconds: float, memory: int) -> None:
    """What such a process does: answer requests on standard input, a line of JSON each, until it is closed. An answer
    is a line of JSON and, where that tells a number of them, bytes.

    Args:
        seconds: longest time for an answer.
        memory: largest address space, bytes.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print must not get between the answers
    _limit_memory(memory)
    for request in sys.stdin.buffer:
        _limit_time(seconds)
        answer, content = _answer(json.loads(request))
        with suppress(BrokenPipeError):  # the server has ended
            _send(answers, answer, content)
        _limit_time(0)


def _limit_time(seconds: float) -> None:
    """End this process after so many seconds, whatever it does then and though the server is gone; 0: not any more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds and seconds + 1)


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
    except OSError as error:
        return {"system": [error.errno, error.strerror]}, b""  # without the name of the file
    except Exception as error:  # without its text, which may hold a name
        return {"error": place_of(error)}, b""


def _send(stream: BinaryIO, answer: dict[str, Any], content: bytes) -> None:
    stream.write(json.dumps(answer).encode() + b"\n")
    stream.write(content)
    stream.flush()
