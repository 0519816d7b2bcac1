"""`--tune N`: search for settings (Optuna). Every trial is an ordinary run; it stops early if others did better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busi_demo.models.two_stage import TwoStage
from busi_demo.project import make_folder
from busi_demo.training.checkpoint import RunFolder
from busi_demo.training.config import AFTER_TRAINING, TrainConfig
from busi_demo.training.listeners import Listener, Row
from busi_demo.types import InputError

if TYPE_CHECKING:
    import optuna

_STARTUP_TRIALS = 4  # never stopped early: a median of fewer trials says little


@dataclass(frozen=True)
class _Range:
    """Limits of the search for one setting; with `complement`, 1 minus its value is drawn."""

    low: float
    high: float
    log: bool = False
    complement: bool = False

    def draw(self, trial: optuna.Trial, name: str) -> float:
        """Draw a value, rounded to three digits so that it can be typed on a command line."""
        value = float(f"{trial.suggest_float(self._name(name), self.low, self.high, log=self.log):.3g}")
        return round(1 - value, 6) if self.complement else value

    def given(self, name: str, value: float) -> dict[str, float]:
        """A setting of the command line in the form that is drawn, clipped to the range."""
        return {self._name(name): min(max(1 - value if self.complement else value, self.low), self.high)}

    def _name(self, name: str) -> str:
        return f"1 - {name}" if self.complement else name


SPACE: Mapping[str, _Range] = {
    "learning_rate": _Range(1e-4, 1e-2, log=True),
    "weight_decay": _Range(1e-3, 0.3, log=True),
    "label_smoothing": _Range(0.0, 0.2),
    "ema_decay": _Range(5e-4, 2e-2, log=True, complement=True),
    "w_seg": _Range(0.25, 4.0, log=True),
    "main_share": _Range(0.1, 0.9),
}


class _Report(Listener):
    """Reports to a trial, after each epoch, the best validation score so far, summed over the stages; stops the trial
    if that score is below the median of the others.

    Raises:
        optuna.TrialPruned: from the calls of `fit`.
    """

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial, self._epochs, self._before, self._best = trial, 0, 0.0, 0.0

    @property
    def score(self) -> float:
        return self._before + self._best

    def started(self, step: int, history: Sequence[Row]) -> None:
        self._before, self._best = self.score, 0.0
        for row in history:
            self.finished_epoch(step, row)

    def finished_epoch(self, step: int, row: Row) -> None:
        import optuna

        self._best = max(self._best, row["val_score"] or 0.0)
        self._trial.report(self.score, self._epochs)
        self._epochs += 1
        if self._trial.should_prune():
            raise optuna.TrialPruned


def search(
    config: TrainConfig,
    trials: int,
    folder: Path,
    run: Callable[[TrainConfig, Path, Listener], object],
    command: Callable[[Mapping[str, Any]], str],
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Try settings until the study has `trials` trials; the first one has the settings of `config`, clipped to `SPACE`.

    The settings of a trial depend on the seed, its number and the trials before it. So a search that is killed, even in
    the middle of a trial, and resumed tries the same settings as an uninterrupted one (Akiba et al., Optuna, KDD 2019;
    TPE: Bergstra et al., NeurIPS 2011).

    Args:
        config: settings that are not in `SPACE` keep their value.
        folder: receives study.db (SQLite), each trial's history.csv and best.sh.
        run: trains once with these settings in this folder and resumes from a checkpoint there; if it calls `fit`
            several times, these are stages and their best scores are added.
        command: gives the command line with these settings, for best.sh.
        resume: continue the search in the folder.
    Returns:
        The best settings.
    Raises:
        InputError: the folder holds a search and `resume` is False, or that search had other settings; or no trial
            reached its end.
    """
    import optuna  # loaded here: few runs need it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {name: limits for name, limits in SPACE.items() if _matters(name, config)}
    fixed = {name: value for name, value in config.to_dict().items() if name not in (*space, *AFTER_TRAINING)}
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS)
    study = _open(folder, fixed, pruner, resume)
    done = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    for number in range(len(study.get_trials(states=done)), trials):
        study.sampler = optuna.samplers.TPESampler(seed=config.seed * 100_003 + number)
        if number == 0 and not study.get_trials(states=(optuna.trial.TrialState.WAITING,)):
            given = [limits.given(name, getattr(config, name)) for name, limits in space.items()]
            study.enqueue_trial({name: value for one in given for name, value in one.items()})
        trial = study.ask()
        values: dict[str, Any] = {name: limits.draw(trial, name) for name, limits in space.items()}
        trial.set_user_attr("settings", values)
        where, report, outcome = folder / f"trial_{number:03d}", _Report(trial), "stopped early"
        try:
            run(replace(config, **values), where, report)
            study.tell(trial, report.score)
            outcome = f"score {report.score:.4f}"
        except (optuna.TrialPruned, FloatingPointError) as error:  # a loss that is not finite counts as stopped early
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            outcome = str(error) or outcome
        for part in sorted(where.rglob("checkpoint.pt")):
            RunFolder(part.parent).drop_weights()
        say(f"trial {number + 1} of {trials}: {outcome}  " + "  ".join(f"{k} {v:g}" for k, v in values.items()))
    if not study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
        raise InputError("No trial reached its end: lower --learning-rate, or raise the number of trials.")
    best = study.best_trial
    text = f"# validation score {best.value:.4f}, the best of {len(study.get_trials(states=done))} trials"
    line = command(best.user_attrs["settings"])
    (folder / "best.sh").write_text(f"{text}\n{line}\n", encoding="utf-8")
    say(f"{text}\n{line}")
    return best.user_attrs["settings"]


def _matters(name: str, config: TrainConfig) -> bool:
    """Whether a setting of `SPACE` changes anything in this run."""
    return not (name == "main_share" and not config.extra) and not (name == "w_seg" and config.approach == TwoStage.key)


def _open(folder: Path, fixed: Mapping[str, Any], pruner: optuna.pruners.BasePruner, resume: bool) -> optuna.Study:
    import optuna

    path = folder / "study.db"
    if path.exists() and not resume:
        raise InputError(
            f"{path} holds a search: add --resume to continue it, give another --run-dir, or delete {folder}."
        )
    make_folder(folder, "--run-dir")
    study = optuna.create_study(
        storage=f"sqlite:///{path}", study_name="tune", direction="maximize", pruner=pruner, load_if_exists=True
    )
    before = study.user_attrs.get("settings", fixed)
    if changed := sorted(name for name in fixed if before.get(name) != fixed[name]):
        name = changed[0]
        raise InputError(
            f"{path} was started with {name}={before.get(name)!r}, not {fixed[name]!r}: resume with the same settings, "
            "or give another --run-dir."
        )
    study.set_user_attr("settings", dict(fixed))
    for trial in study.get_trials(
        states=(optuna.trial.TrialState.RUNNING,)
    ):  # killed: it is tried again under a new number
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study
