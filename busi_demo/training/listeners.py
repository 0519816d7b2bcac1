"""Objects that `fit` calls while it runs. They do not change the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, float | None]
_EVERY = 10  # steps between two entries


class Listener:
    """Base class; `fit` calls the methods in the main process only. Here they do nothing."""

    def started(self, step: int, history: Sequence[Row]) -> None:
        """`fit` starts or resumes: `step` steps and the epochs of `history` are done."""

    def stepped(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """Step number `step`, counted from 1, had these losses at this learning rate."""

    def finished_epoch(self, step: int, row: Row) -> None:
        """An epoch was trained, validated and saved after `step` steps; `row` as in history.csv."""


class TensorBoard(Listener):
    """Write scalars for TensorBoard over the steps of the run: losses and learning rate every ten steps, and the
    columns of history.csv every epoch. A resumed run overwrites the steps that it repeats.

    Args:
        folder: the run folder; receives `tensorboard/`.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # loaded here: few runs need it

        self._open, self._folder = SummaryWriter, folder / "tensorboard"

    def started(self, step: int, history: Sequence[Row]) -> None:
        self._writer = self._open(str(self._folder), purge_step=step + 1 if step else None)

    def stepped(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        if step % _EVERY == 0:
            for name, value in losses.items():
                self._writer.add_scalar(f"step/{name}", value, step)
            self._writer.add_scalar("step/learning_rate", rate, step)

    def finished_epoch(self, step: int, row: Row) -> None:
        for name, value in row.items():
            if value is not None:
                self._writer.add_scalar(f"epoch/{name}", value, step)
        self._writer.flush()
