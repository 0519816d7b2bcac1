"""One process or many: training scripts and `batch` run unchanged under `torchrun --nproc_per_node P`.

In training the batch is that of the whole run and each process takes its share of every one. What is a mean over the
batch is divided by the sum of all processes' counts (`total`), so that the summed gradients are those of one process,
apart from rounding and from what is drawn inside the model: dropout, and the crops of `CropObjective`. gloo on CPUs,
NCCL on GPUs.

`accelerate launch --cpu --num_processes 2` silently runs one process: use torchrun.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.utils.data import BatchSampler, Sampler

from busi_demo.project import require

_PATIENCE = timedelta(hours=12)  # how long the others wait for the main process to read the data or to validate
_T = TypeVar("_T")


class Processes:
    """This process among all those of the run; all instances share one state. The only user of accelerate, which one
    process alone does not need.

    Attributes:
        count: how many there are.
        index: of this one, from 0.
        is_main: whether this one validates, prints and writes.
        device: of this one, a GPU of its own where there are any.
    """

    def __init__(self) -> None:
        self.count, self.index, self.is_main = 1, 0, True
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._accelerator = _accelerator() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None
        if joined := self._accelerator:
            self.count, self.index = joined.num_processes, joined.process_index
            self.is_main, self.device = joined.is_main_process, joined.device

    def spread(self, module: nn.Module) -> nn.Module:
        """Move a module to this process's device; its gradients become the mean over the processes."""
        return self._accelerator.prepare(module) if self._accelerator else module.to(self.device)

    def from_main(self, make: Callable[[], _T]) -> _T:
        """Call `make` in the main process alone and return its value, which must be picklable, in all of them. Where it
        raises, so does the main process, and the others end with status 2."""
        if not self.is_main:
            return self._receive()
        with self._sending() as message:
            message.append(make())
        return message[0]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run a block in the main process, then, without its messages, in the others; failures as in `from_main`."""
        if self.is_main:
            with self._sending() as message:
                yield
                message.append(None)
        else:
            self._receive()
            with redirect_stderr(io.StringIO()):
                yield

    @contextmanager
    def _sending(self) -> Iterator[list[Any]]:
        """Send what the block puts into the list, also where it fails: nobody may wait in vain."""
        message: list[Any] = []
        try:
            yield message
        finally:
            if self.count > 1:
                distributed.broadcast_object_list([message], src=0)

    @staticmethod
    def _receive() -> Any:
        received: list[Any] = [None]
        distributed.broadcast_object_list(received, src=0)
        if not received[0]:
            sys.exit(2)
        return received[0][0]


def _accelerator() -> Any:
    """This process's `accelerate.Accelerator`, which joins the others."""
    require("accelerate", by="torchrun with several processes")
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    return Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",  # `precision.autocast` does that
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )


class BatchShares(Sampler[list[Any]]):
    """The batches of the whole run, of each of them every `count`-th index from this process's on.

    Args:
        sampler: the same in every process.
        batch_size: of the whole run, at least `processes.count`; an incomplete last batch is dropped.
    """

    def __init__(self, sampler: Sampler, batch_size: int, processes: Processes) -> None:
        self.whole = BatchSampler(sampler, batch_size, drop_last=True)
        self.share = slice(processes.index, None, processes.count)

    def __len__(self) -> int:
        return len(self.whole)

    def __iter__(self) -> Iterator[list[Any]]:
        return (batch[self.share] for batch in self.whole)


def total(values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes, in which it has the same shape; no gradient flows through it."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    values = values.detach().clone()
    distributed.all_reduce(values)
    return values


def leave() -> None:
    """Wait until all processes are done, then take leave of them; without others nothing happens."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
