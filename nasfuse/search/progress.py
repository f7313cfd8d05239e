"""Progress of a study, from its storage alone: what `status` shows and a running search displays."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from nasfuse.search.front import Candidate, Objectives, best, candidates_of, front_of
from nasfuse.search.visibility import is_inherited, was_trained

#: States that `status` tells apart.
STATES = ("complete", "running", "waiting", "stopped", "failed", "over_max_macs")

_NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Progress:
    """Where a study stands.

    Attributes:
        states: Trials by state: complete, running, waiting, stopped, failed, over_max_macs. Operating points that are
            trials of their own are not among them.
        done: Trainings that have ended, well or not, early or not; draws that were no valid network are not among them.
        epochs_spent: Of all trainings that completed or were stopped.
        epochs_saved: That these did not run: patience was out, or they were stopped.
        inherited: Trainings that have ended and had started from weights of earlier ones.
        hypervolume: Of the front, in metric x decades of cost.
        seconds_per_suggestion: Median.
        front: Cheapest first.
        best: The candidate with the best metric, None before the first.
        best_baseline: The best hand-made design, None where there is none.
        reasons: Why trials failed, by number.
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


def summarise(trials: Sequence[FrozenTrial], objectives: Objectives) -> Progress:
    """Returns the progress of a study with these trials."""
    counts = Counter(_state(trial) for trial in trials if "point_of" not in trial.user_attrs)
    candidates = candidates_of(trials)
    hand_made = [candidate for candidate in candidates if candidate.baseline is not None]
    epochs = [_epochs(trial) for trial in trials if _ran(trial)]
    waits = [trial.user_attrs["suggestion_s"] for trial in trials if "suggestion_s" in trial.user_attrs]
    return Progress(
        states={name: counts.get(name, 0) for name in STATES},
        done=sum(was_trained(trial) for trial in trials),
        epochs_spent=sum(spent for spent, _ in epochs),
        epochs_saved=sum(asked - spent for spent, asked in epochs),
        inherited=sum(was_trained(trial) and is_inherited(trial) for trial in trials),
        hypervolume=objectives.hypervolume(candidates),
        seconds_per_suggestion=float(np.median(waits)) if waits else None,
        front=front_of(candidates, objectives),
        best=best(candidates, objectives) if candidates else None,
        best_baseline=best(hand_made, objectives) if hand_made else None,
        reasons={t.number: t.user_attrs.get("reason", "") for t in trials if t.state is TrialState.FAIL},
    )


def _state(trial: FrozenTrial) -> str:
    if trial.state is TrialState.PRUNED:
        return "stopped" if "stopped" in trial.user_attrs else "over_max_macs"
    return _NAMES[trial.state]


def _ran(trial: FrozenTrial) -> bool:
    return was_trained(trial) and trial.state is not TrialState.FAIL


def _epochs(trial: FrozenTrial) -> tuple[int, int]:
    """Returns the epochs that a training ran, and that it was to run."""
    if "stopped" in trial.user_attrs:
        return trial.user_attrs["stopped"]["epoch"], trial.user_attrs["stopped"]["epochs"]
    record = trial.user_attrs["record"]
    return record["epochs"], record["epochs_asked"]
