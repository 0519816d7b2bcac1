"""Which engine runs a network: chosen once by a short timing and an agreement check, then used by every forward pass.

Networks run in PyTorch until `accelerate` has compiled them, so that the first answers need not wait.
"""

from __future__ import annotations

import logging
import os
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch

from busi_demo.inference.engines import EAGER, ENGINES, Run, Tensors, find_engine
from busi_demo.models.base import ApproachModel, Pass, Plan
from busi_demo.types import ModelOutput

ENGINE_VARIABLE = "BUSI_ENGINE"
"""Environment variable with the key of an engine, which then is used without a choice."""

MASK_TOLERANCE, PROBABILITY_TOLERANCE = 0.01, 0.005
"""Largest difference of a mask probability, and of a class probability, from those of PyTorch."""

SHARE = 0.01
"""Largest difference of a feature and of a descriptor, as a share of the largest one."""

WORTH_COMPILING = 150
"""Images from which on the time that compiling takes is made up for by faster passes: with the default approach on two
cores, 20 to 30 seconds and 0.18 seconds an image."""

_REPEATS = 5
_T = TypeVar("_T")
Shape = tuple[int, ...]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The engine of a network, and why.

    Attributes:
        engine: key of `engines.ENGINES`.
        reason: a sentence.
        milliseconds: key -> estimated time of the forward pass, of the engines that were timed.
    """

    engine: str
    reason: str
    milliseconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Compiled:
    choice: Choice
    runs: dict[Shape, list[Run]]


_compiled: WeakKeyDictionary[ApproachModel, _Compiled] = WeakKeyDictionary()
_compiling = threading.Lock()


def choice_of(model: ApproachModel) -> Choice:
    """The engine that was chosen for a model, or for its members."""
    found = [_compiled[network] for network in model.modules() if network in _compiled]  # type: ignore[index]
    return found[0].choice if found else Choice(EAGER, "No engine was chosen.")


def engine_of(plan: Plan) -> str:
    """Key of the engine that runs a plan."""
    engines = {_engine(one) for one in plan.passes}
    return engines.pop() if len(engines) == 1 else EAGER


def run_plan(plan: Plan) -> ModelOutput:
    """Run a forward pass without gradients, with the engine of its networks; in PyTorch where they have none for its
    inputs."""
    key = engine_of(plan)
    if key == EAGER:
        runs: list[Run] = [one.network.tensors for one in plan.passes]
    else:
        runs = _compiled_runs(plan)
    return plan.join(_run_all(runs, plan, key)) if runs else in_turn(plan.run)


def accelerate(plan: Plan, wanted: str | None = None) -> Choice:
    """Choose an engine for the networks of a plan, and compile them for its inputs.

    Args:
        plan: of an image that is typical of those to come; its inputs are timed and compared.
        wanted: key of the engine, which is then not timed; `None`: what `ENGINE_VARIABLE` names, else the fastest one
            that agrees with PyTorch.
    Raises:
        InputError: there is no such engine, or it is not installed.
    """
    wanted = wanted or os.environ.get(ENGINE_VARIABLE) or None
    with _compiling, torch.no_grad():
        if not plan.passes:
            return Choice(EAGER, "This approach has no parts to compile.")
        if engine_of(plan) != EAGER:
            return _compiled[plan.passes[0].network].choice
        if wanted:
            find_engine(wanted)
            return _install(plan, Choice(wanted, f"It was asked for, by ${ENGINE_VARIABLE} or an option."))
        times = estimate(plan, [key for key, engine in ENGINES.items() if engine.available and engine.by_default])
        faster = sorted((key for key in times if times[key] < times[EAGER]), key=times.__getitem__)
        for key in faster:
            choice = _install(plan, Choice(key, "It is the fastest one that agrees with PyTorch.", times))
            if choice.engine == key:
                return choice
        return Choice(EAGER, "No other engine is faster and agrees with it.", times)


def worth_compiling(images: int, wanted: str | None = None) -> bool:
    """Whether the networks should be compiled before so many images are analysed: an engine is asked for, by an option
    or by `ENGINE_VARIABLE`, or there are many."""
    return bool(wanted or os.environ.get(ENGINE_VARIABLE)) or images >= WORTH_COMPILING


def _engine(one: Pass) -> str:
    compiled = _compiled.get(one.network)
    return compiled.choice.engine if compiled and tuple(one.x.shape) in compiled.runs else EAGER


def _install(plan: Plan, choice: Choice) -> Choice:
    """Compile all networks of a plan and keep them, if their answer agrees with that of PyTorch; else PyTorch stays."""
    key, times = choice.engine, choice.milliseconds
    if key == EAGER:
        return choice
    try:
        runs = compile_plan(plan, key)
        outputs = _run_all(runs, plan, key)
    except Exception as error:  # whatever a compiler raises: PyTorch still runs
        _log.warning("%s cannot run the networks (%s: %s)", key, type(error).__name__, str(error)[:200])
        return Choice(EAGER, f"{ENGINES[key].title} failed: {type(error).__name__}.", times)
    if gap := disagreement(in_turn(plan.run), plan.join(outputs)):
        _log.warning("%s is not used: %s", key, gap)
        return Choice(EAGER, f"{ENGINES[key].title} does not agree with PyTorch: {gap}.", times)
    for network in plan.networks:
        own = defaultdict[Shape, list[Run]](list)
        for one, run in zip(plan.passes, runs, strict=True):
            if one.network is network:
                own[tuple(one.x.shape)].append(run)
        _compiled[network] = _Compiled(choice, dict(own))
    return choice


def _compiled_runs(plan: Plan) -> list[Run]:
    """The function of each pass. Passes of one network and shape, such as those of an image and of its mirror image,
    have one each: a compiled function runs once at a time."""
    met, runs = Counter[tuple[int, Shape]](), []
    for network, x in plan.passes:
        shape = tuple(x.shape)
        known = _compiled[network].runs[shape]
        runs.append(known[met[id(network), shape] % len(known)])
        met[id(network), shape] += 1
    return runs


def compile_plan(plan: Plan, key: str) -> list[Run]:
    """A function for each pass of a plan, by one engine."""
    engine, workers, runs = ENGINES[key], _workers(plan, key), dict[int, Run]()
    for network in plan.networks:
        places = [i for i, one in enumerate(plan.passes) if one.network is network]
        inputs = [plan.passes[i].x for i in places]
        runs |= dict(zip(places, engine.compile(network, inputs, _threads() // workers), strict=True))
    return [runs[i] for i in range(len(plan.passes))]


def disagreement(expected: ModelOutput, output: ModelOutput) -> str | None:
    """By how much an output differs from the expected one, in words; `None` within the tolerances."""
    mask = float((expected.mask_logits.sigmoid() - output.mask_logits.sigmoid()).abs().max())
    classes = float((expected.class_logits.softmax(1) - output.class_logits.softmax(1)).abs().max())
    if not mask <= MASK_TOLERANCE or not classes <= PROBABILITY_TOLERANCE:
        return f"mask probabilities differ by up to {mask:.3g}, class probabilities by {classes:.3g}"
    for name in ("features", "descriptor"):  # of the class activation maps, and of the input check
        one, other = getattr(expected, name), getattr(output, name)
        if one is not None and not (gap := float((one - other).abs().max() / one.abs().max().clamp(min=1e-6))) <= SHARE:
            return f"{name} differ by up to {gap:.3g} of the largest"
    return None


def estimate(plan: Plan, keys: Iterable[str]) -> dict[str, float]:
    """Time the first pass of a plan by some engines.

    Returns:
        key -> estimated milliseconds of the whole plan; engines that fail are left out.
    """
    first, times = plan.passes[0], {}
    for key in keys:
        workers = _workers(plan, key)
        try:
            (run,) = ENGINES[key].compile(first.network, [first.x], _threads() // workers)
            timed = partial(median_seconds, partial(run, first.x))
            seconds = in_turn(timed) if workers == 1 else _pool(workers).submit(timed).result()
        except Exception as error:  # whatever a compiler raises: the others remain
            _log.warning("%s cannot run the networks (%s: %s)", key, type(error).__name__, str(error)[:200])
            continue
        times[key] = 1000 * seconds * -(-len(plan.passes) // workers)
    return times


def in_turn(work: Callable[[], _T]) -> _T:
    """Run networks that use all cores in the one thread that does so, after what others asked for before; returns what
    it returns, or raises what it raises. PyTorch keeps a pool of threads for each thread that calls it, which wait for
    more work on cores that others need."""
    return _turns.submit(work).result()


def median_seconds(run: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Median wall time of some calls, after two that do not count."""
    times = []
    for i in range(repeats + 2):
        start = time.perf_counter()
        run()
        if i >= 2:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def _run_all(runs: Sequence[Run], plan: Plan, key: str) -> list[Tensors]:
    inputs = [one.x for one in plan.passes]
    if (workers := _workers(plan, key)) > 1:
        return list(_pool(workers).map(lambda run, x: run(x), runs, inputs))
    return in_turn(lambda: [run(x) for run, x in zip(runs, inputs, strict=True)])


def _workers(plan: Plan, key: str) -> int:
    """How many passes of a plan an engine runs at the same time, each with its share of all threads."""
    return min(_threads(), len(plan.passes)) if ENGINES[key].side_by_side and len(plan.passes) > 1 else 1


@cache
def _threads() -> int:
    """How many threads PyTorch has, which OMP_NUM_THREADS limits. It is asked once: while a pool starts, PyTorch tells
    new threads another number."""
    return torch.get_num_threads()


def _begin_turns() -> None:
    torch.set_grad_enabled(False)
    torch.set_num_threads(_threads())


_turns = ThreadPoolExecutor(1, "networks", _begin_turns)
_pools: dict[int, ThreadPoolExecutor] = {}
_starting = threading.Lock()


def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that run one pass each, with their share of the cores."""
    threads = _threads()

    def begin() -> None:
        torch.set_grad_enabled(False)
        torch.set_num_threads(threads // workers)  # of this thread, and of those that PyTorch meets from now on

    with _starting:
        if workers not in _pools:
            pool, begun = ThreadPoolExecutor(workers, "passes", begin), threading.Barrier(workers)
            for waiting in [pool.submit(begun.wait) for _ in range(workers)]:
                waiting.result()
            torch.set_num_threads(threads)
            _pools[workers] = pool
        return _pools[workers]
