"""Knowledge distillation: training on a blend of the true targets and the answers of a trained approach."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from busi_demo.data.dataset import Batch
from busi_demo.models.base import ApproachModel
from busi_demo.training.config import TrainConfig
from busi_demo.training.hints import Hints, encoder_of, hints_for, outputs_of
from busi_demo.training.losses import Objective, class_shares, normal_shares
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.start import check_split
from busi_demo.weights.store import Weights, has_config, load_weights


class Distilled:
    """An objective whose targets are a blend of the truth and of a teacher's answers to the same augmented images
    (Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, 2015).

    The class target becomes `(1 - share) * one-hot + share * the teacher's calibrated probabilities`, the mask target
    likewise for each pixel. Where a truth is unknown, the teacher's answer is the whole target.

    Args:
        objective: the losses of the student.
        teacher: a trained approach.
        share: of the teacher in the targets, in [0, 0.5]: beyond one half a true lesion could fall out of its mask.
        hints: train the student's encoder to predict the teacher's feature maps, too; both are single networks whose
            encoder sees the whole image.
        w_hints: weight of their loss.
    """

    def __init__(
        self,
        objective: Objective,
        teacher: Weights,
        share: float = 0.5,
        hints: Hints | None = None,
        w_hints: float = 0.0,
    ) -> None:
        self.objective, self.teacher, self.share = objective, teacher, share
        self.hints, self.w_hints = hints, w_hints

    @property
    def trains_class(self) -> bool:
        return self.objective.trains_class

    @property
    def auxiliary(self) -> nn.Module:
        return nn.ModuleList([self.objective.auxiliary, self.hints]) if self.hints else self.objective.auxiliary

    def trained(self, model: Any) -> nn.Module:
        return self.objective.trained(model)

    def score(self, summary: Mapping[str, Any]) -> float:
        return self.objective.score(summary)

    def losses(self, model: ApproachModel, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        if self.hints is None:
            return self.objective.losses(model, x, self.blended(x, batch))
        with outputs_of(encoder_of(model)) as learnt:
            losses = self.objective.losses(model, x, self.blended(x, batch))
        with torch.no_grad():  # not the maps of its answer: it may look at other sizes of the image
            taught = encoder_of(self.teacher.model)(x)
        hints = self.hints.loss(learnt[0], taught)
        return losses | {"loss": losses["loss"] + self.w_hints * hints, "hints": hints}

    @torch.no_grad()
    def blended(self, x: torch.Tensor, batch: Batch) -> Batch:
        """The batch with soft targets: `mask` float (N, 1, S, S) and `label` float (N, 3), all known; and, float (N,),
        `normal_share` of the class normal before the blend, the teacher's where the truth is unknown."""
        output = self.teacher.model.to(x.device)(x)
        probabilities = self.teacher.calibration.apply(output.class_logits.float())
        known, labels = torch.ones_like(batch["mask_known"]), class_shares(batch["label"])
        normal = torch.where(batch["label_known"] > 0, normal_shares(batch), probabilities[:, CLASSES.index("normal")])
        return batch | {
            "mask": torch.lerp(batch["mask"], output.mask_logits.float().sigmoid(), self._share(batch["mask_known"])),
            "label": torch.lerp(labels, probabilities, self._share(batch["label_known"])[:, :, 0, 0]),
            "mask_known": known,
            "label_known": known,
            "normal_share": normal,
        }

    def _share(self, known: torch.Tensor) -> torch.Tensor:
        """(N,) -> (N, 1, 1, 1): the teacher's share where a truth is known, 1 where it is not."""
        return torch.where(known > 0, self.share, 1.0)[:, None, None, None]


def with_teacher(objective: Objective, config: TrainConfig, student: ApproachModel | None = None) -> Objective:
    """The objective itself, or one that learns from `config.teacher` as well; of an ensemble, the teacher is the
    network that was not trained on the images that validate here.

    Args:
        student: the network that gets hints, where `config.hints` asks for them.
    Raises:
        InputError: there are no weights there, they were trained on images that validate here, or hints are asked for
            and one of the two networks has no encoder that sees the whole image.
        ValueError: hints are asked for, and there is no student.
    """
    if config.teacher is None:
        return objective
    folder = Path(config.teacher)
    if not has_config(folder):
        raise InputError(f"--teacher must be the folder of an approach with config.json and weights, got {folder}.")
    teacher = load_weights(folder)
    check_split(folder, teacher.config, config.seed)
    teacher = teacher.held_out(config.fold)
    if not config.hints:
        return Distilled(objective, teacher, config.teacher_share)
    if student is None:
        raise ValueError("Hints need the network that gets them.")
    return Distilled(
        objective, teacher, config.teacher_share, hints_for(student, teacher.model, config.seed), config.hints
    )
