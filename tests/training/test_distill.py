from __future__ import annotations

import pytest
import torch
from torch import nn

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.training.config import TrainConfig
from busi_demo.training.distill import Distilled, with_teacher
from busi_demo.training.losses import CropObjective, JointObjective
from busi_demo.types import InputError, ModelOutput
from busi_demo.weights.calibration import Calibration
from busi_demo.weights.store import Weights, save_weights


class _Teacher(nn.Module):
    """Sees a lesion of probability 3/4 everywhere, and says benign, malignant, normal with 1/2, 1/4, 1/4 at T = 2."""

    def forward(self, x: torch.Tensor) -> ModelOutput:
        masks = torch.full((len(x), 1, *x.shape[-2:]), 3.0).log()
        logits = 2 * torch.tensor([0.5, 0.25, 0.25]).log().expand(len(x), 3)
        return ModelOutput(masks, logits, x, nn.Identity())


@pytest.fixture
def teacher() -> Weights:
    return Weights(_Teacher(), Preprocess(size=32), min_area=0.0, calibration=Calibration(2.0))


def batch(mask_known: float = 1.0, label_known: float = 1.0) -> dict[str, torch.Tensor]:
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, :, :16] = 1
    known = {"mask_known": torch.tensor([mask_known, 1.0]), "label_known": torch.tensor([label_known, 1.0])}
    return {"mask": masks, "label": torch.tensor([1, 2]), **known}


def test_targets_are_blended_by_hand(teacher):
    blended = Distilled(JointObjective(), teacher, share=0.4).blended(torch.zeros(2, 1, 32, 32), batch())
    assert blended["mask"][0, 0, 0, 0].item() == pytest.approx(0.6 + 0.4 * 0.75)
    assert blended["mask"][0, 0, -1, 0].item() == pytest.approx(0.4 * 0.75)
    assert blended["label"][0].tolist() == pytest.approx([0.2, 0.6 + 0.1, 0.1])
    assert blended["label"][1].tolist() == pytest.approx([0.2, 0.1, 0.7])


def test_labels_that_mixup_blended_are_blended_with_the_teacher(teacher):
    mixture = batch() | {"label": torch.tensor([[0.3, 0.7, 0.0], [0.0, 0.0, 1.0]])}
    blended = Distilled(JointObjective(), teacher, share=0.4).blended(torch.zeros(2, 1, 32, 32), mixture)
    assert blended["label"][0].tolist() == pytest.approx([0.18 + 0.2, 0.42 + 0.1, 0.1])


def test_the_teacher_alone_speaks_where_a_truth_is_unknown(teacher):
    blended = Distilled(JointObjective(), teacher, share=0.4).blended(torch.zeros(2, 1, 32, 32), batch(0.0, 0.0))
    assert blended["mask"][0].unique().tolist() == pytest.approx([0.75])
    assert blended["label"][0].tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert blended["label"][1].tolist() == pytest.approx([0.2, 0.1, 0.7])
    assert blended["mask_known"].tolist() == blended["label_known"].tolist() == [1, 1]


def test_the_truth_says_which_masks_count_less_where_a_teacher_doubts_it(teacher):
    """Without masks of normal images, one that the teacher calls benign still has no mask loss."""
    objective = Distilled(JointObjective(normal_masks=0.0), teacher, share=0.5)
    blended = objective.blended(torch.zeros(2, 1, 32, 32), batch())
    assert blended["normal_share"].tolist() == [0, 1]
    unknown = objective.blended(torch.zeros(2, 1, 32, 32), batch(label_known=0.0))
    assert unknown["normal_share"].tolist() == pytest.approx([0.25, 1])
    lesion = {name: value[:1] for name, value in batch().items()}
    with_normal, alone = (
        objective.losses(teacher.model, torch.zeros(len(b["label"]), 1, 32, 32), b)["segmentation"].item()
        for b in (batch(), lesion)
    )
    assert with_normal == pytest.approx(alone)


def test_soft_targets_reach_the_loss(teacher):
    class _Student(_Teacher):
        def forward(self, x: torch.Tensor) -> ModelOutput:
            output = super().forward(x)
            return ModelOutput(output.mask_logits, output.class_logits / 2, x, output.head)

    # The student answers what the teacher does: what is left is the entropy of the blend against these answers.
    objective = Distilled(JointObjective(smoothing=0.0), teacher, share=0.5)
    loss = objective.losses(_Student(), torch.zeros(2, 1, 32, 32), batch())["classification"]
    half, quarter = torch.tensor([0.5, 0.25]).log().neg().tolist()
    assert loss.item() == pytest.approx(0.25 * half + 0.75 * quarter, rel=1e-5)


def test_crops_still_come_from_the_true_masks(teacher, models):
    objective = Distilled(CropObjective(), teacher, share=0.5)
    blended = objective.blended(torch.zeros(2, 1, 32, 32), batch())
    assert torch.equal(blended["mask"] > 0.5, batch()["mask"] > 0.5)


def test_a_teacher_comes_from_a_folder(tmp_path, models):
    save_weights(tmp_path / "multitask_cnn", models["multitask_cnn"], Preprocess(size=64), facts={})
    config = TrainConfig(teacher=str(tmp_path / "multitask_cnn"), teacher_share=0.3)
    objective = with_teacher(JointObjective(), config)
    assert isinstance(objective, Distilled) and objective.share == 0.3
    assert objective.teacher.model.key == "multitask_cnn"
    plain = JointObjective()
    assert with_teacher(plain, TrainConfig()) is plain


def test_a_teacher_is_the_one_of_the_folder_that_was_named(tmp_path, models):
    """The folder of earlier weights, not the one beside it that has the name of the approach."""
    for name, threshold in (("multitask_cnn", 0.3), ("multitask_cnn.previous", 0.7)):
        save_weights(tmp_path / name, models["multitask_cnn"], Preprocess(size=64), threshold=threshold, facts={})
    objective = with_teacher(JointObjective(), TrainConfig(teacher=str(tmp_path / "multitask_cnn.previous")))
    assert objective.teacher.threshold == 0.7


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(InputError, match="--teacher must be the folder of an approach with"):
        with_teacher(JointObjective(), TrainConfig(teacher=str(tmp_path)))
