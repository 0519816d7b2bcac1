"""Equal work that is asked for at the same time is done once; nothing is kept afterwards."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from helpers import picture

from busi_demo.inference import predictor as module
from busi_demo.inference.single_flight import SingleFlight

THREADS = 6


class Value:
    """Something that can be weakly referenced."""


class Gate:
    """A function that counts its calls and waits until all other threads wait for it."""

    def __init__(self, flights: SingleFlight, compute: Callable[[], Any]) -> None:
        self.flights, self.compute, self.calls, self.waiting = flights, compute, 0, THREADS - 1

    def __call__(self) -> Any:
        self.calls += 1
        end = time.monotonic() + 10
        (running,) = self.flights._running.values()
        while running._condition is None or len(running._condition._waiters) < self.waiting:  # type: ignore[attr-defined]
            assert time.monotonic() < end, "the others do not wait"
            time.sleep(0.001)
        return self.compute()


def together(function: Callable[[int], Any]) -> list[Any]:
    """Call a function in several threads that start at the same time; returns values and errors."""
    barrier = threading.Barrier(THREADS)

    def one(i: int) -> Any:
        barrier.wait()
        try:
            return function(i)
        except Exception as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


def test_threads_that_ask_at_the_same_time_share_one_value_which_is_not_kept():
    flights: SingleFlight = SingleFlight()
    gate = Gate(flights, Value)
    values = together(lambda _: flights.run("key", gate))
    assert gate.calls == 1 and len({id(value) for value in values}) == 1
    kept = weakref.ref(values[0])
    values.clear()
    assert kept() is None and not flights._running
    assert isinstance(flights.run("key", Value), Value)


def test_an_error_is_given_to_all_and_not_kept():
    flights: SingleFlight = SingleFlight()

    def fail() -> None:
        raise ValueError("no")

    gate = Gate(flights, fail)
    errors = together(lambda _: flights.run("key", gate))
    assert gate.calls == 1 and [str(error) for error in errors] == ["no"] * THREADS
    assert not flights._running and flights.run("key", lambda: "yes") == "yes"


def test_different_keys_do_not_wait_for_each_other():
    flights, barrier = SingleFlight[int](), threading.Barrier(THREADS)
    assert together(lambda i: flights.run(i, lambda: (barrier.wait(10), i)[1])) == list(range(THREADS))


@pytest.fixture
def counted(monkeypatch) -> list[torch.Tensor]:
    """The input of every forward pass from now on; the first ones wait until the other threads wait for them."""
    inputs, run, flights = list[torch.Tensor](), module.run_plan, module._flights

    def slow(plan: Any) -> Any:
        inputs.append(plan.passes[0].x)
        return Gate(flights, lambda: run(plan))()

    monkeypatch.setattr(module, "run_plan", slow)
    return inputs


def test_the_same_picture_at_the_same_time_is_one_forward_pass(predictors, counted, monkeypatch):
    predictor, image = predictors["multitask_cnn"], picture(4, 72, 96)
    thresholds = [0.1 + 0.1 * i for i in range(THREADS)]
    together_ones = together(lambda i: predictor.forward_pass(image.copy()).prediction(thresholds[i]))
    assert len(counted) == 1 and not module._flights._running
    monkeypatch.undo()
    for threshold, one in zip(thresholds, together_ones, strict=True):  # each has its own threshold
        alone = predictor.forward_pass(image).prediction(threshold)
        assert one.probabilities == alone.probabilities and one.threshold == threshold
        for name in ("mask", "mask_probability", "cam"):
            np.testing.assert_array_equal(getattr(one, name), getattr(alone, name))


def test_other_pictures_and_later_requests_are_computed(predictors, monkeypatch):
    runs, run = [], module.run_plan
    monkeypatch.setattr(module, "run_plan", lambda plan: runs.append(plan) or run(plan))
    predictor = predictors["multitask_cnn"]
    together(lambda i: predictor.predict(picture(i, 72, 96)))
    assert len(runs) == THREADS
    predictor.predict(picture(0, 72, 96))
    assert len(runs) == THREADS + 1
