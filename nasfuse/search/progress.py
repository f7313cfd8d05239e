"""Progress of a study: the figures that `status` and a running search display."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from nasfuse.search.fold import Fold
from nasfuse.search.front import Candidate, Objectives, allowed_candidates, best, candidates_of, front_of
from nasfuse.search.trial import TrialView

#: Whether a trial is in a state, by the names that `status` shows; every trial is in one.
_IS_IN: dict[str, Callable[[TrialView], bool]] = {
    "complete": lambda trial: trial.is_complete,
    "running": lambda trial: trial.is_running,
    "waiting": lambda trial: trial.is_waiting,
    "stopped": lambda trial: trial.is_stopped and not trial.is_out_of_time,
    "out_of_time": lambda trial: trial.is_out_of_time,
    "failed": lambda trial: trial.is_failed,
    "over_max_macs": lambda trial: trial.is_over_max_macs,
}

#: States of trials. Early stopping ended those that are `stopped`, the end of the study's time those `out_of_time`.
STATES = tuple(_IS_IN)


@dataclass(frozen=True)
class Progress:
    """Summary of the trials of a study.

    Attributes:
        states: Number of trials in each of `STATES`. Trials that are operating points of a training are not counted.
        done: Number of trainings that have ended: complete, stopped, out of time or failed after they were handed out.
        epochs_spent: Epochs run by all trainings that are complete or were stopped.
        epochs_saved: Epochs of these trainings that were not run, because of early stopping, patience or the end of the
            time.
        inherited: Number of ended trainings that started from weights of earlier ones.
        hypervolume: Hypervolume of the front, in units of the metric x decades of cost.
        seconds_per_suggestion: Median time of a suggestion; None before the first.
        front: Non-dominated candidates, cheapest first.
        best: Candidate with the best metric; None before the first result.
        best_baseline: Hand-made design with the best metric; None before the first result of one.
        reasons: Number of each failed trial to the reason.
        n_above_limit: Number of complete trainings without an operating point within the study's `max_macs`.
        n_not_robust: Number of recipes with such a point, but none that reaches the study's `robust_metric`.
    """

    states: dict[str, int]
    done: int
    epochs_spent: int
    epochs_saved: int
    inherited: int
    hypervolume: float
    seconds_per_suggestion: float | None
    front: list[Candidate]
    best: Candidate | None
    best_baseline: Candidate | None
    reasons: dict[int, str]
    n_above_limit: int = 0
    n_not_robust: int = 0


def summarise(trials: Sequence[TrialView], objectives: Objectives) -> Progress:
    """Returns the summary of `trials`, all trials of a study."""
    counted = _counted(objectives.max_macs).of(trials)
    candidates = allowed_candidates(trials, objectives)
    n_not_robust = 0
    if objectives.robust_metric is not None:
        measured = candidates_of(trials, max_macs=objectives.max_macs)
        n_not_robust = len({candidate.trial for candidate in measured} - {candidate.trial for candidate in candidates})
    hand_made = [candidate for candidate in candidates if candidate.baseline is not None]
    front = front_of(candidates, objectives)
    return Progress(
        states={name: counted.states[name] for name in STATES},
        done=counted.done,
        epochs_spent=counted.epochs_spent,
        epochs_saved=counted.epochs_asked - counted.epochs_spent,
        inherited=counted.inherited,
        hypervolume=objectives.hypervolume(front),
        seconds_per_suggestion=float(np.median(counted.waits)) if counted.waits else None,
        front=front,
        best=best(front or candidates, objectives) if candidates else None,
        best_baseline=best(hand_made, objectives) if hand_made else None,
        reasons=counted.reasons,
        n_above_limit=counted.above_limit,
        n_not_robust=n_not_robust,
    )


@dataclass(frozen=True)
class _Counted:
    """What is counted of trials, for the fields of `Progress`."""

    states: Counter[str] = field(default_factory=Counter)
    done: int = 0
    epochs_spent: int = 0
    epochs_asked: int = 0
    inherited: int = 0
    waits: list[float] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    above_limit: int = 0

    def extended(self, trials: Sequence[TrialView], *, max_macs: int | None) -> "_Counted":
        """Returns the counts with further trials."""
        epochs = [epochs_of(trial) for trial in trials if _ran(trial)]
        return _Counted(
            self.states + Counter(_state(trial) for trial in trials if not trial.is_operating_point),
            self.done + sum(trial.was_trained for trial in trials),
            self.epochs_spent + sum(spent for spent, _ in epochs),
            self.epochs_asked + sum(asked for _, asked in epochs),
            self.inherited + sum(trial.was_trained and trial.is_inherited for trial in trials),
            [*self.waits, *(trial.suggestion_s for trial in trials if trial.suggestion_s is not None)],
            {**self.reasons, **{trial.number: trial.reason for trial in trials if trial.is_failed}},
            self.above_limit + sum(_is_above(trial, max_macs) for trial in trials),
        )


@lru_cache(maxsize=16)
def _counted(max_macs: int | None) -> Fold[TrialView, _Counted]:
    extend = partial(_Counted.extended, max_macs=max_macs)
    return Fold(_Counted(), extend)


def _state(trial: TrialView) -> str:
    return next(name for name, is_in in _IS_IN.items() if is_in(trial))


def _is_above(trial: TrialView, max_macs: int | None) -> bool:
    """Returns whether the trial is a complete training without an operating point of at most `max_macs`."""
    is_measured = trial.is_complete and not trial.is_operating_point
    return is_measured and not any(point.is_within(max_macs) for point in trial.points)


def _ran(trial: TrialView) -> bool:
    return trial.was_trained and not trial.is_failed


def epochs_of(trial: TrialView) -> tuple[int, int]:
    """Returns the epochs that a training has run, and those that its recipe asks for."""
    if trial.stopped is not None:
        return trial.stopped.epoch, trial.stopped.epochs
    assert trial.record is not None, "a complete training has a record"
    return trial.record["epochs"], trial.record["epochs_asked"]
