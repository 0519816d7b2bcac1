"""The analysis of the images of a batch: while the networks run on one image, the next ones are read and the last ones
drawn and written."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from busi_demo.analysis.trusted import known_image, trusted_view
from busi_demo.batch.items import BatchItem
from busi_demo.batch.rows import Result, consensus_result, error_row, result_of
from busi_demo.imaging import UNKNOWN_TRUTH, GreyImage, GroundTruth, read_image, read_mask
from busi_demo.imaging.masks import is_two_valued
from busi_demo.inference.consensus import consensus
from busi_demo.inference.forward_pass import ForwardPass
from busi_demo.inference.predictor import Predictor, SharedPasses
from busi_demo.types import InputError, place_of, reason_of
from busi_demo.weights.known_images import KnownImage

AHEAD = 2
"""Images that are read before the networks are free, and that may wait to be written."""

_log = logging.getLogger(__name__)
_NO_ULTRASOUND = ("{} has two grey values, as a mask or a drawing has: expected an ultrasound image; if it is the mask "
                  "of an image, name it NAME_mask.png.")  # fmt: skip
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, eq=False)
class _Step:
    """An image of the batch on its way.

    Attributes:
        item: the image.
        sha256: of its files before they were read; `None` if that was not asked for, or they cannot be read.
        grey, truth: as read.
        known: the known image that it matches.
        passes: of each approach.
        fault: the result instead of all others.
    """

    item: BatchItem
    sha256: str | None = None
    grey: GreyImage | None = None
    truth: GroundTruth = UNKNOWN_TRUTH
    known: KnownImage | None = None
    passes: Sequence[ForwardPass] = ()
    fault: Result | None = None


def analyse_item(item: BatchItem, predictors: Sequence[Predictor], analyse_anyway: bool = False) -> list[Result]:
    """Analyse one image with one or more approaches. The image and its masks are read once.

    Args:
        analyse_anyway: as for `Predictor.predict`.
    Returns:
        One result per approach and, for several approaches, that of their consensus. If the image or its ground truth
        cannot be used, a single result with an error in its row.
    """
    return _results(_run(_read(_Step(item), analyse_anyway), predictors, analyse_anyway), predictors)


def analyse_items(
    items: Iterable[BatchItem],
    predictors: Sequence[Predictor],
    analyse_anyway: bool,
    finish: Callable[[BatchItem, str | None, list[Result]], _Out],
) -> Iterator[_Out]:
    """Analyse images as `analyse_item` does. One thread reads the next ones, two run the networks, so that no core
    waits while one of them joins what the networks found, and one tells, draws and writes.

    Args:
        finish: called in order, by one thread, with each image, the hash of its files and its results.
    Yields:
        What `finish` returns, in the order of the images. What it raises ends the analysis; images whose turn to be
        finished had come are finished then, too.
    """
    read = ahead(lambda item: _read(_Step(item, item.sha256()), analyse_anyway), items)
    ran = ahead(lambda step: _run(step, predictors, analyse_anyway), read, threads=2)
    return ahead(lambda step: finish(step.item, step.sha256, _results(step, predictors)), ran)


def ahead(function: Callable[[_In], _Out], items: Iterable[_In], most: int = AHEAD, threads: int = 1) -> Iterator[_Out]:
    """Call a function in other threads, for at most so many items before its values are taken; yields them in order. At
    the end, whatever the reason, calls that were begun or wait are made."""
    with ThreadPoolExecutor(threads, thread_name_prefix="batch") as thread:
        waiting: deque[Future[_Out]] = deque()
        for item in items:
            waiting.append(thread.submit(function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read(step: _Step, analyse_anyway: bool) -> _Step:
    item = step.item

    def work() -> _Step:
        if item.image is None:
            raise InputError(item.fault or "There is no file.")
        with ExitStack() as files:
            grey = read_image(files.enter_context(item.image.on_disk()), item.frame)
            if is_two_valued(grey.pixels) and grey.pixels.min() < grey.pixels.max() and not analyse_anyway:
                raise InputError(_NO_ULTRASOUND.format(item.name))
            height, width = grey.pixels.shape
            truth = _united(read_mask(files.enter_context(mask.on_disk()), (height, width)) for mask in item.masks)
        return replace(step, grey=grey, truth=truth, known=known_image(grey))

    found = _guarded(item, work)
    return replace(step, fault=found) if isinstance(found, Result) else found


def _run(step: _Step, predictors: Sequence[Predictor], analyse_anyway: bool) -> _Step:
    def work() -> _Step:
        shared, grey = SharedPasses(), step.grey
        assert grey is not None  # there is a fault otherwise
        passes = [predictor.forward_pass(grey, shared, analyse_anyway) for predictor in predictors]
        return replace(step, passes=passes)

    found = step if step.fault else _guarded(step.item, work)
    return replace(step, fault=found) if isinstance(found, Result) else found


def _results(step: _Step, predictors: Sequence[Predictor]) -> list[Result]:
    def work() -> list[Result]:
        pairs = zip(predictors, step.passes, strict=True)
        answers = [trusted_view(predictor, one, step.truth, step.known) for predictor, one in pairs]
        results = [result_of(step.item, answer) for answer in answers]
        if len(answers) > 1:
            together = consensus([answer.prediction for answer in answers])
            results.append(consensus_result(step.item, together, answers))
        return results

    if step.fault:
        return [step.fault]
    found = _guarded(step.item, work)
    return [found] if isinstance(found, Result) else found


def _guarded(item: BatchItem, work: Callable[[], _Out]) -> _Out | Result:
    """What a part of the work returns; where it fails a row that says why, as one image must not stop the others."""
    try:
        return work()
    except InputError as error:
        sentence = str(error)
    except OSError as error:
        _log.warning("an image could not be read (%s)", reason_of(error))  # neither its name nor its place
        sentence = f"{item.name} could not be read ({reason_of(error)}): try it again."
    except Exception as error:
        kind = type(error).__name__
        _log.error("an image could not be analysed: %s", place_of(error))
        sentence = f"{item.name} could not be analysed ({kind}): leave it out."
    return Result(error_row(item, sentence))


def _united(masks: Iterable[tuple[np.ndarray, tuple[str, ...]]]) -> GroundTruth:
    """The ground truth of an image from its masks, bool (H, W) each, and the notes on each."""
    united, notes = None, list[str]()
    for mask, more in masks:
        united = mask if united is None else united | mask
        notes += more
    return GroundTruth(united, tuple(notes))
