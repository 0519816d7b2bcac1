"""An objective that is interrupted, for tests of resuming."""

from __future__ import annotations

from busi_demo.training.losses import JointObjective


class Stumbling(JointObjective):
    """Stops like Ctrl-C in the given step, counted over the objective's life from 1; at 0 never."""

    def __init__(self, at: int, **weights: float) -> None:
        super().__init__(**weights)
        self.steps, self.at = 0, at

    def losses(self, model, x, batch):
        self.steps += 1
        if self.steps == self.at:
            raise KeyboardInterrupt
        return super().losses(model, x, batch)
