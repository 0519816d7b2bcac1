"""`Predictor` makes a `Prediction` of an image; app, command line and evaluation run the models only through it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from busi_demo.imaging import Source, read_image
from busi_demo.inference.accelerate import Choice, accelerate, choice_of, run_plan
from busi_demo.inference.forward_pass import ForwardPass
from busi_demo.inference.input_check import Known, check_input, known_pictures
from busi_demo.inference.single_flight import SingleFlight
from busi_demo.models import ALL, approaches_of
from busi_demo.models.base import ApproachModel
from busi_demo.types import CLASSES, InputError, ModelOutput, Prediction
from busi_demo.weights import hub
from busi_demo.weights.store import (
    Weights,
    approach_folder,
    available_approaches,
    load_weights,
    reinitialised,
    why_left_out,
)
from busi_demo.weights.trust_file import TrustFit, read_trust

_BATCH = 16


class SharedPasses:
    """Outputs of networks on one image, so that a network that several approaches share runs once.

    Make one object per image and pass it to `Predictor.predict` of every approach. It stores the outputs, so delete it
    with the image. It is not thread-safe.
    """

    def __init__(self) -> None:
        self._passes: list[tuple[ApproachModel, torch.Tensor, ModelOutput]] = []

    def output(self, network: ApproachModel, x: torch.Tensor) -> ModelOutput:
        """The output of a network on an input, float (N, 1, S, S); the network runs only once on the same input."""
        for other, y, output in self._passes:
            if other is network and torch.equal(x, y):
                return output
        output = _once(network, x, lambda: run_plan(network.plan(x)))
        self._passes.append((network, x, output))
        return output


class Predictor:
    """A trained approach for inference. It is thread-safe; threads that ask for the same picture at the same time share
    the passes of the networks.

    Args:
        weights: from `load_weights`.
        known: what pictures are compared with before an answer is told; `None`: only what needs no comparison is
            checked.
        trust_fit: what was fitted to the errors of the approach; `None` where nothing was.
    """

    def __init__(self, weights: Weights, known: Known | None = None, trust_fit: TrustFit | None = None) -> None:
        self.key, self.title = weights.model.key, weights.model.title
        weights.model.requires_grad_(False)  # so that CAMs write no gradients, which requests would share
        self._weights, self._known, self.trust_fit = weights, known, trust_fit

    @property
    def config(self) -> Mapping[str, Any]:
        """The content of config.json of the weights; empty for weights that were not loaded from a folder."""
        config = self._weights.config
        return config.to_json() if config else {}

    @property
    def outline_key(self) -> str:
        """Key of the approach whose network computes the mask probabilities, see `Weights.outline_key`."""
        return self._weights.outline_key

    def predict(self, image: Source, shared: SharedPasses | None = None, analyse_anyway: bool = False) -> Prediction:
        """Segment, classify and explain one image in one forward pass.

        Args:
            image: as for `read_image`: a path, bytes, a Pillow image, or uint8 (H, W).
            shared: outputs of other approaches on the same image; their networks do not run again.
            analyse_anyway: tell the answer on a picture that the input check refuses.
        Returns:
            The prediction, with maps at the image's own size and the Grad-CAM of the predicted class. The network sees
            only the frame of the image, see `GreyImage.framed`.
        Raises:
            InputError: the image cannot be used.
        """
        return self.forward_pass(image, shared, analyse_anyway).prediction()

    def forward_pass(
        self, image: Source, shared: SharedPasses | None = None, analyse_anyway: bool = False
    ) -> ForwardPass:
        """Run the network once on one image and store its output.

        Args:
            image, shared, analyse_anyway: as for `predict`.
        Returns:
            The forward pass, for predictions with other thresholds and CAMs without the network.
        Raises:
            InputError: the image cannot be used.
        """
        start = time.perf_counter()
        grey, weights = read_image(image), self._weights
        with torch.no_grad():
            output = _detached(_run(weights.model, weights.preprocess(grey.framed), shared or SharedPasses()))
        descriptor = None if output.descriptor is None else output.descriptor[0].numpy()
        check = check_input(grey.framed, self._known, descriptor=descriptor, coloured=grey.coloured, header=grey.header)
        return ForwardPass(
            approach=self.key,
            grey=grey,
            probabilities=dict(zip(CLASSES, self._calibrated(output)[0].tolist(), strict=True)),
            output=output,
            preprocess=weights.preprocess,
            threshold=weights.threshold,
            min_area=weights.min_area,
            seconds=time.perf_counter() - start,
            outline_key=self.outline_key,
            input_check=replace(check, overridden=analyse_anyway),
        )

    def network(self, pixels: np.ndarray) -> tuple[ApproachModel, torch.Tensor]:
        """The network, and its input for uint8 (H, W) pixels: float32 (1, 1, S, S)."""
        return self._weights.model, self._weights.preprocess(pixels)

    @property
    def engine(self) -> Choice:
        """The engine that runs its networks."""
        return choice_of(self._weights.model)

    @torch.no_grad()
    def accelerate(self, image: np.ndarray, engine: str | None = None) -> Choice:
        """Compile the networks of the approach for this machine, see `inference.accelerate`.

        Args:
            image: uint8 (H, W), typical of those to come.
            engine: key of the engine; `None`: the fastest one that agrees with PyTorch.
        Raises:
            InputError: there is no such engine, or it is not installed.
        """
        model, x = self._weights.model, self._weights.preprocess(image)
        if model.outline_network is model:
            return accelerate(model.plan(x), engine)
        accelerate(model.outline_network.plan(x), engine)
        return accelerate(model.plan(x, run_plan(model.outline_network.plan(x))), engine)

    @torch.no_grad()
    def probabilities(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Classify many images in batches, without maps.

        Args:
            images: N grey images, uint8 (H, W) each.
        Returns:
            float64 (N, 3) in [0, 1], calibrated, columns in the order of `CLASSES`, rows summing to 1.
        """
        rows = [np.zeros((0, len(CLASSES)))]
        for start in range(0, len(images), _BATCH):
            batch = torch.cat([self._weights.preprocess(image) for image in images[start : start + _BATCH]])
            rows.append(self._calibrated(self._weights.model(batch)).numpy())
        return np.concatenate(rows)

    def held_out(self, fold: int | None) -> Predictor:
        """The part of the approach that was not trained on a fold of its data, see `Weights.held_out`; all of it for
        `None`.

        Raises:
            InputError: all of it was trained on the fold.
        """
        if fold is None:
            return self
        weights, known = self._weights.held_out(fold), self._known
        if known and weights.model is not self._weights.model:
            known = replace(known, network=None)  # another network than the one whose descriptors are known
        return Predictor(weights, known, self.trust_fit)

    def randomised(self, seed: int = 0) -> Predictor:
        """The same approach with random weights, to measure whether its CAMs depend on the training."""
        return Predictor(reinitialised(self._weights, seed))

    def _calibrated(self, output: ModelOutput) -> torch.Tensor:
        return self._weights.calibration.apply(output.class_logits.double())


def load_predictor(key: str, weights_folder: Path | None = None) -> Predictor:
    """Load an approach, with a cache. Approaches with the same detector share it in memory.

    `load_predictor.cache_clear()` clears the cache.

    Args:
        key: one of `busi_demo.models.APPROACHES`.
        weights_folder: holds one folder per approach; by default the project's `weights`.
    Raises:
        InputError: there is no such approach, or its weights are missing or damaged.
    """
    folder = approach_folder(key, weights_folder)
    with hub.one_answer(), _loading:
        predictor = _load(folder.parent.resolve() / folder.name)  # one cache entry for all spellings of a path
    if predictor.key != key:
        raise InputError(f"The folder of {key} holds weights of {predictor.key}: fetch the weights folder again.")
    return predictor


_loading = threading.RLock()


@cache
def _load(folder: Path) -> Predictor:
    weights = load_weights(folder, load_other=lambda other: _load(other)._weights)
    config = weights.config
    known = known_pictures(folder, config.sha256 if config else "")
    return Predictor(weights, known, read_trust(folder, config.to_json()) if config else None)


load_predictor.cache_clear = _load.cache_clear  # type: ignore[attr-defined]


def _run(model: ApproachModel, x: torch.Tensor, shared: SharedPasses) -> ModelOutput:
    outline_network = model.outline_network
    if outline_network is model:
        return shared.output(model, x)
    detected = shared.output(outline_network, x)
    return _once(model, x, lambda: run_plan(model.plan(x, detected)))


_flights: SingleFlight[ModelOutput] = SingleFlight()


def _once(network: ApproachModel, x: torch.Tensor, compute: Callable[[], ModelOutput]) -> ModelOutput:
    """The output of a network on an input; threads that ask for it at the same time share one computation. Threshold
    and CAM are no part of it: each thread derives its own."""
    digest = hashlib.sha256(x.numpy().tobytes()).digest()
    return _flights.run((network, tuple(x.shape), digest), compute)


def load_predictors(choice: str) -> tuple[list[Predictor], str | None]:
    """Load the approaches of `choose`.

    Returns:
        The predictors, and a sentence on the approaches that were left out, or `None`.
    Raises:
        InputError: the chosen approach, or every approach, has no weights, or weights are damaged.
    """
    keys, left_out = choose(choice)
    with hub.one_answer():
        return [load_predictor(key) for key in keys], left_out


def choose(choice: str) -> tuple[list[str], str | None]:
    """The approaches that take part in a choice.

    Args:
        choice: a key of `busi_demo.models.APPROACHES`, or `ALL`, which leaves out the approaches without weights.
    Returns:
        Their keys, and a sentence on the approaches that were left out, or `None`. If every approach is without
        weights, none is left out: loading them says what is missing.
    """
    if choice != ALL or not (available := available_approaches()):
        return approaches_of(choice), None
    return available, (reason := why_left_out()) and f"Left out, {reason}."


def _detached(output: ModelOutput) -> ModelOutput:
    """The output without a graph, on the CPU."""

    def kept(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().float().cpu()

    return ModelOutput(
        mask_logits=kept(output.mask_logits),
        class_logits=kept(output.class_logits),
        features=kept(output.features),
        head=output.head,
        boxes=None if output.boxes is None else kept(output.boxes),
        descriptor=None if output.descriptor is None else kept(output.descriptor),
        disagreement=None if output.disagreement is None else kept(output.disagreement),
    )
