"""The interface of every approach."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import nn

from busi_demo.types import InputError, ModelOutput

DETECTOR = "detector"
"""Name of the sub-module that can be the network of another approach, see `ApproachModel.outline_network`."""


class Pass(NamedTuple):
    """One run of a network that needs no other run of the same forward pass: `network.tensors(x)`."""

    network: ApproachModel
    x: torch.Tensor


class Plan(NamedTuple):
    """A forward pass in parts, so that an engine can run them in its own way, or side by side.

    Attributes:
        passes: independent runs of networks; none, if the approach cannot be taken apart.
        join: makes the output from the tensors of each pass, in their order.
    """

    passes: list[Pass]
    join: Callable[[Sequence[tuple[torch.Tensor, ...]]], ModelOutput]

    @property
    def networks(self) -> list[ApproachModel]:
        """The networks of the passes, each once."""
        return list({id(network): network for network, _ in self.passes}.values())

    def run(self) -> ModelOutput:
        """Run the passes one after the other, and join them."""
        return self.join([network.tensors(x) for network, x in self.passes])


class ApproachModel(nn.Module, ABC):
    """A network that segments and classifies in one forward pass.

    Class attributes:
        key: name on the command line, in file paths and in `APPROACHES`.
        title: name shown to a person.
        summary: one sentence on how it works, shown beside the choice.
        covers_input: whether the features of its outputs cover the whole input, not a crop of it.
        takes_encoder_weights: whether the constructor takes `encoder_weights`, so that a training can start from
            pretrained weights.
        encoder_part: name of the sub-module that is the encoder of its classes; `None`: it has none that a training
            could start from.

    Attributes:
        config: the keywords that make this architecture again.
        folds: of several networks that answer together, the fold of the data that each was not trained on; empty for
            a single network.

    Every keyword that a constructor takes has a plain JSON value, is kept by the subclass in `self.config`, and makes
    the same architecture again: `type(model)(**model.config)`. Nothing is downloaded by a constructor unless
    `encoder_weights="imagenet"` is given, and that word is never kept in `config`.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    covers_input: ClassVar[bool] = True
    takes_encoder_weights: ClassVar[bool] = False
    encoder_part: ClassVar[str | None] = None
    config: dict[str, Any]
    folds: tuple[int, ...] = ()

    @classmethod
    def fresh(cls, encoder_weights: str | None = None) -> Self:
        """Build the network that a training starts from, with the default architecture.

        Args:
            encoder_weights: `"imagenet"` starts the encoder from pretrained weights, `None` from random ones.
        Raises:
            InputError: pretrained weights are asked for and this approach has none.
        """
        if encoder_weights is None:
            return cls()
        if not cls.takes_encoder_weights:
            raise InputError(
                f"{cls.key} has no encoder with pretrained weights, got encoder_weights {encoder_weights!r}: leave "
                "--encoder-weights out."
            )
        return cls(encoder_weights=encoder_weights)  # type: ignore[call-arg]

    @property
    def architecture(self) -> dict[str, Any]:
        """JSON values from which `busi_demo.models.build_model` makes the same architecture again."""
        return self.config

    @property
    def outline_network(self) -> ApproachModel:
        """The network that makes `mask_logits`: this one, or the detector that is a part of it. Approaches with the
        same outline network have the same mask probabilities."""
        return self

    @abstractmethod
    def forward(self, x: torch.Tensor) -> ModelOutput:
        """Run the network once.

        An approach with another `outline_network` takes the output of that network on `x` as a second, optional
        argument `detected`, so that it need not run again.

        Args:
            x: float32 (N, 1, S, S) from `Preprocess`, S a multiple of 32.
        Returns:
            Logits and the features behind the class logits, see `ModelOutput`.
        """

    def plan(self, x: torch.Tensor, detected: ModelOutput | None = None) -> Plan:
        """The parts of `forward(x)`, whose result is that of `plan(x).run()`.

        Args:
            x: as for `forward`.
            detected: output of `outline_network` on `x`, for an approach that takes it.
        """
        return Plan([], lambda _: self(x) if detected is None else self(x, detected))

    def tensors(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What a pass of this network computes, from tensors alone and for any batch.

        Args:
            x: of a `Pass`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no passes.")

    def descriptor(self, x: torch.Tensor) -> torch.Tensor | None:
        """`ModelOutput.descriptor` of an input, without the rest of the forward pass: float (N, D); `None` from a
        network that makes none.

        Args:
            x: as for `forward`, in evaluation mode.
        """
        return None

    def part(self, folds: Sequence[int]) -> ApproachModel:
        """The networks of some folds alone, their weights shared; a single network returns itself, its weights record
        the fold, see `Weights.held_out`.

        Args:
            folds: one or more of the folds that the networks were not trained on; the networks have their order.
        Raises:
            InputError: there are none, or all networks were trained on one of them.
        """
        return self

    def held_out(self, fold: int) -> ApproachModel:
        """The part of this network that was not trained on a fold of the data.

        Raises:
            InputError: all parts were trained on the fold.
        """
        return self.part((fold,))

    def parameter_count(self) -> int:
        """Number of trainable and fixed parameters."""
        return sum(p.numel() for p in self.parameters())
