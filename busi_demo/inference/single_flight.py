"""Equal work that several threads ask for at the same time is done once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SingleFlight(Generic[_T]):
    """Functions of a key that run once for all threads that ask at the same time. It is thread-safe.

    The first thread computes; the others wait for it and take its value, or its error. Nothing is kept afterwards: who
    asks later computes again. A function must not ask for its own key.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, Future[_T]] = {}

    def run(self, key: Hashable, compute: Callable[[], _T]) -> _T:
        """The value of `compute`, or that of another thread that computes it for the same key.

        Raises:
            Exception: whatever `compute` raises, in all threads that wait for it.
        """
        with self._lock:
            running = self._running.get(key)
            if running is None:
                own = self._running[key] = Future()
        if running is not None:
            return running.result()
        try:
            value = compute()
        except BaseException as error:
            self._end(key)
            own.set_exception(error)
            raise
        self._end(key)
        own.set_result(value)
        return value

    def _end(self, key: Hashable) -> None:
        with self._lock:
            del self._running[key]
