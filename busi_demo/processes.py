"""One process or many: training scripts and `batch` run unchanged under `torchrun --nproc_per_node P`.

In training, the batch size is that of the whole run, and each process takes a share of every batch. A mean over the
batch is divided by the sum of the counts of all processes (`total`). So the summed gradients equal those of a single
process, except for rounding and for what is drawn inside the model: dropout, and the crops of `CropObjective`. The
backend is gloo on CPUs and NCCL on GPUs.

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

_PATIENCE = timedelta(hours=12)  # how long processes wait for the main one to read the data or to validate
_T = TypeVar("_T")


class Processes:
    """This process among all processes of the run; all instances share one state. Only this class uses accelerate, and
    a single process does not need it.

    Attributes:
        count: number of processes.
        index: of this one, from 0.
        is_main: whether this one validates, prints and writes.
        device: of this process; its own GPU where there are GPUs.
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
        """Call `make` in the main process only and return its value, which must be picklable, in all processes. If it
        raises, the main process raises too and the others exit with status 2."""
        if not self.is_main:
            return self._receive()
        with self._sending() as message:
            message.append(make())
        return message[0]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run a block in the main process, then in the others without messages; failures as in `from_main`."""
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
        """Send what the block puts into the list. It is sent also when the block fails, so that no process waits
        forever."""
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
    """The share of this process in each batch of the run: every `count`-th index, starting with its own number.

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
    """Sum a tensor over all processes; it has the same shape in each. No gradient flows through the sum."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    values = values.detach().clone()
    distributed.all_reduce(values)
    return values


def leave() -> None:
    """Wait for all processes, then close the process group; a single process does nothing."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
