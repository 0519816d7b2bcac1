from __future__ import annotations

import pytest

from busi_demo.evaluation.history import mean_history, read_stages, stages_of
from busi_demo.project import ROOT
from busi_demo.weights.store import read_config


def rows(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": float(epoch), "train_loss": loss} for epoch, loss in enumerate(losses, 1)]


def write(folder, **files):
    (folder / "report").mkdir(exist_ok=True)
    for name, losses in files.items():
        lines = [f"{epoch},{loss}" for epoch, loss in enumerate(losses, 1)]
        (folder / "report" / f"{name}.csv").write_text("\n".join(["epoch,train_loss", *lines]) + "\n")


def test_an_empty_cell_is_left_out(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "history.csv").write_text("epoch,val_lesion_dice\n1,\n2,0.5\n")
    assert read_stages(tmp_path) == [[{"epoch": 1.0}, {"epoch": 2.0, "val_lesion_dice": 0.5}]]


def test_a_training_without_stages(tmp_path):
    write(tmp_path, history=[3, 2])
    assert read_stages(tmp_path) == [rows(3, 2)]


def test_earlier_stages_come_first(tmp_path):
    write(tmp_path, history=[1], history_stage_2=[2], history_stage_1=[4, 3])
    assert read_stages(tmp_path) == [rows(4, 3), rows(2), rows(1)]


def test_stages_of_an_ensemble_are_averaged_over_the_folds(tmp_path):
    write(tmp_path, history_fold_0=[1], history_fold_1=[3], history_first_stage_fold_0=[4, 3])
    write(tmp_path, history_first_stage_fold_1=[8, 5])
    assert read_stages(tmp_path) == [rows(6, 4), rows(2)]
    write(tmp_path, history=[7])  # written as the mean: it is not computed again
    assert read_stages(tmp_path) == [rows(6, 4), rows(7)]


def test_one_network_of_an_ensemble_has_its_own_stages(tmp_path):
    write(tmp_path, history=[2], history_fold_0=[1], history_fold_1=[3], history_stage_1_fold_1=[8, 5])
    assert read_stages(tmp_path, fold=1) == [rows(8, 5), rows(3)]
    assert read_stages(tmp_path, fold=4)[-1] == rows(2)


def test_where_nothing_is_recorded_there_is_no_stage(tmp_path):
    write(tmp_path, history=[])
    assert read_stages(tmp_path) == read_stages(tmp_path / "missing") == stages_of({}) == []


def test_the_mean_has_the_columns_that_all_histories_have():
    assert mean_history([rows(1, 2), [{**row, "extra": 1.0} for row in rows(3, 6)]]) == rows(2, 4)
    assert mean_history([rows(1), rows(1, 2)]) == mean_history([]) == []


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("multitask_unet", [8, 3, 3]),
        ("multitask_cnn", [5, 16]),
        ("two_stage", [20, 4, 2]),
    ],
)
def test_the_shipped_histories_are_read(name, lengths):
    """The last stage is that of the settings in config.json, and each network of the ensemble has one."""
    config = read_config(ROOT / "weights" / name)
    assert lengths[-1] == config.facts["training"]["epochs"]
    for fold in (None, *config.folds):
        stages = read_stages(ROOT / "weights" / name, fold)
        assert [len(stage) for stage in stages] == lengths
        assert [row["epoch"] for row in stages[0]] == list(range(1, lengths[0] + 1))
