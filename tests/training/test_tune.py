"""The search, with a stand-in for training that has a known score, and with the real script."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import optuna
import pytest

from busi_demo.training.config import TrainConfig, add_arguments, config_from
from busi_demo.training.recipe import add_run_arguments, command_line, parse
from busi_demo.training.tune import SPACE, search
from busi_demo.types import InputError

EPOCHS = 3
CONFIG = TrainConfig(approach="multitask_cnn", epochs=EPOCHS, seed=1)
NAMES = ["learning_rate", "weight_decay", "label_smoothing", "ema_decay", "w_seg"]  # without `extra` no main_share


class Training:
    """Stands in for training: the score is better the closer the learning rate is to 2e-3. Records its calls;
    stops like Ctrl-C in the given epoch, counted over its life, after a checkpoint in the run's folder."""

    def __init__(self, stop_at: int = 0) -> None:
        self.asked, self.epochs, self.stop_at = [], 0, stop_at

    def __call__(self, config, folder: Path, listener) -> None:
        self.asked.append((folder.name, {name: getattr(config, name) for name in NAMES}))
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = folder / "checkpoint.pt"
        history = [self.row(config, i) for i in range(int(checkpoint.read_text()))] if checkpoint.exists() else []
        listener.started(len(history), history)
        for epoch in range(len(history), EPOCHS):
            self.epochs += 1
            if self.epochs == self.stop_at:
                raise KeyboardInterrupt
            checkpoint.write_text(str(epoch + 1))
            listener.finished_epoch(epoch + 1, self.row(config, epoch))

    @staticmethod
    def row(config, epoch: int) -> dict[str, float]:
        return {"epoch": epoch + 1, "val_score": 1 / (1 + 1000 * abs(config.learning_rate - 2e-3)) - 0.01 * epoch}


def tune(folder: Path, trials: int, training: Training, resume: bool = False, config: TrainConfig = CONFIG):
    said: list[str] = []
    best = search(config, trials, folder, training, lambda values: f"train {sorted(values)}", resume, said.append)
    return best, said


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="tune", storage=f"sqlite:///{folder / 'study.db'}")


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in study_of(folder).trials]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A search of 12 trials: folder, best settings, printed lines, training calls."""
    folder, training = tmp_path_factory.mktemp("tune"), Training()
    return folder, *tune(folder, 12, training), training


def test_the_best_settings_are_those_of_the_best_trial(undisturbed):
    folder, best, said, training = undisturbed
    nearest = min((values for _, values in training.asked), key=lambda values: abs(values["learning_rate"] - 2e-3))
    assert best == nearest
    assert (folder / "best.sh").read_text() == f"{said[-1]}\n"
    assert "the best of 12 trials" in said[-1] and said[-1].endswith(f"train {sorted(NAMES)}")


def test_the_first_trial_has_the_settings_that_were_given(undisturbed):
    folder, values = undisturbed[3].asked[0]
    assert folder == "trial_000" and values == {name: getattr(CONFIG, name) for name in NAMES}


def test_settings_stay_inside_their_ranges_and_are_short(undisturbed):
    asked = [values for _, values in undisturbed[3].asked]
    for name in NAMES:
        found, limits = [values[name] for values in asked], SPACE[name]
        ends = sorted((1 - limits.low, 1 - limits.high) if limits.complement else (limits.low, limits.high))
        assert len(set(found)) > 6 and ends[0] - 1e-9 <= min(found) and max(found) <= ends[1] + 1e-9
        assert all(len(f"{value:g}".lstrip("0.")) <= 6 for value in found)


def test_poor_trials_are_stopped_early_but_not_the_first_ones(undisturbed):
    folder, _, said, training = undisturbed
    found = states(folder)
    assert "PRUNED" in found and set(found[:4]) == {"COMPLETE"}
    assert training.epochs < 12 * EPOCHS
    assert any("stopped early" in line for line in said)


def test_weights_of_trials_are_not_kept(undisturbed):
    assert [path.name for path in undisturbed[0].rglob("*.pt")] == []


def test_the_same_seed_tries_the_same_and_another_does_not(undisturbed, tmp_path):
    same, other = Training(), Training()
    tune(tmp_path / "same", 3, same)
    assert same.asked == undisturbed[3].asked[:3]
    tune(tmp_path / "other", 3, other, config=TrainConfig(approach="multitask_cnn", epochs=EPOCHS, seed=2))
    assert other.asked[0] == same.asked[0] and other.asked[1] != same.asked[1]


@pytest.mark.parametrize("stop_at", [1, 3, 8])  # in the first trial; in its last epoch; in the middle of the third
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(undisturbed, tmp_path, stop_at):
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, 12, Training(stop_at))
    training = Training()
    best, _ = tune(tmp_path, 12, training, resume=True)
    folder, expected, _, whole = undisturbed
    assert best == expected
    assert training.asked == whole.asked[(stop_at - 1) // EPOCHS :]
    assert training.epochs == whole.epochs - (stop_at - 1)  # epochs that were done are not done again
    results = [
        [(trial.state, trial.value, trial.intermediate_values) for trial in study_of(where).trials]
        for where in (tmp_path, folder)
    ]
    assert [row for row in results[0] if row[0].name != "FAIL"] == results[1]


def test_a_search_can_be_made_longer(undisturbed, tmp_path):
    tune(tmp_path, 3, Training())
    training = Training()
    tune(tmp_path, 5, training, resume=True)
    assert training.asked == undisturbed[3].asked[3:5]


def test_a_search_is_not_begun_over_another(tmp_path):
    tune(tmp_path, 1, Training())
    with pytest.raises(InputError, match="holds a search: add --resume"):
        tune(tmp_path, 1, Training())
    with pytest.raises(InputError, match="was started with epochs=3, not 4"):
        tune(tmp_path, 2, Training(), resume=True, config=TrainConfig(approach="multitask_cnn", epochs=4, seed=1))


def test_a_loss_that_is_not_finite_ends_a_trial_not_the_search(tmp_path):
    class Diverging(Training):
        def __call__(self, config, folder, listener):
            if folder.name != "trial_002":
                raise FloatingPointError("The loss is nan.")
            super().__call__(config, folder, listener)

    _, said = tune(tmp_path, 3, Diverging())
    assert states(tmp_path) == ["PRUNED", "PRUNED", "COMPLETE"]
    assert sum("The loss is nan." in line for line in said) == 2


def test_without_a_finished_trial_there_is_no_best(tmp_path):
    def diverging(config, folder, listener):
        raise FloatingPointError("The loss is nan.")

    with pytest.raises(InputError, match="No trial reached its end"):
        tune(tmp_path, 2, diverging)


def test_stages_add_up(tmp_path):
    """Two calls of `fit` in a trial, as `train_two_stage.py` makes: the value is the sum of the best of each."""

    def stages(config, folder, listener):
        for scores in ((0.5, 0.4), (0.1, 0.2)):
            listener.started(0, [])
            for epoch, score in enumerate(scores):
                listener.finished_epoch(epoch + 1, {"epoch": epoch + 1, "val_score": score})

    tune(tmp_path, 1, stages)
    study = study_of(tmp_path)
    assert study.best_value == pytest.approx(0.7)
    assert list(study.best_trial.intermediate_values.values()) == pytest.approx([0.5, 0.5, 0.6, 0.7])


def test_what_changes_nothing_is_not_searched(tmp_path):
    def drawn(folder: Path, **settings) -> set[str]:
        return set(tune(folder, 1, Training(), config=TrainConfig(epochs=EPOCHS, **settings))[0])

    assert drawn(tmp_path / "a") == set(NAMES)
    assert drawn(tmp_path / "b", extra=("more",)) == {*NAMES, "main_share"}
    assert drawn(tmp_path / "c", approach="two_stage") == set(NAMES) - {"w_seg"}


def parser_of(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(name)
    add_arguments(parser, TrainConfig())
    add_run_arguments(parser)
    return parser


def test_the_command_line_repeats_the_settings():
    parser = parser_of("train_multitask.py")
    words = ["--approach", "multitask_cnn", "--extra", "a b", "c", "--epochs", "3", "--learning-rate", "0.5", "--tune",
             "4", "--resume", "--run-dir", "there"]  # fmt: skip
    line = command_line(parser, parser.parse_args(words), {"learning_rate": 0.00123, "w_seg": 2.0})
    assert line == ("python train/train_multitask.py --approach multitask_cnn --extra 'a b' c --epochs 3 "
                    "--learning-rate 0.00123 --w-seg 2.0")  # fmt: skip


@pytest.mark.parametrize("package", ["optuna", "tensorboard"])
def test_a_missing_library_is_named_in_one_sentence(monkeypatch, package):
    option = {"optuna": ["--tune", "2"], "tensorboard": ["--tensorboard"]}[package]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"{option[0]} needs the package {package}: pip install {package}."):
        parse(parser_of("x"), option)
    assert parse(parser_of("x"), []).tune is None


def test_no_trials_are_refused():
    with pytest.raises(InputError, match="--tune must be at least 1, got 0"):
        parse(parser_of("x"), ["--tune", "0"])


def test_the_script_tries_and_trains_nothing_else(run_script, tmp_path):
    words = ["--approach", "multitask_cnn", "--data", "phantoms", "--phantoms", 10, "--samples-per-epoch", 4,
             "--batch-size", 4, "--image-size", 64, "--start-size", 64, "--epochs", 1, "--precision", "fp32",
             "--output", tmp_path / "weights", "--run-dir", tmp_path / "run"]  # fmt: skip
    status, out, _ = run_script("train/train_multitask.py", *words, "--tune", 2, "--tensorboard")
    assert status == 0 and "trial 2 of 2" in out
    assert not (tmp_path / "weights").exists()
    tuned = tmp_path / "run" / "tune"
    assert {path.name for path in tuned.iterdir()} == {"study.db", "best.sh", "trial_000", "trial_001"}
    assert {path.name for path in (tuned / "trial_001").iterdir()} == {"history.csv", "tensorboard"}
    line = (tuned / "best.sh").read_text().splitlines()[-1]
    assert line in out and "--tune" not in line and "--approach multitask_cnn" in line
    repeated = config_from(parser_of("x").parse_args(line.split()[2:]))
    assert (repeated.image_size, repeated.samples_per_epoch) == (64, 4)
