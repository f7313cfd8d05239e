"""Progress of a study, from its storage alone: what `status` shows and a running search displays."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nasfuse.search.front import Candidate, Objectives, best, candidates_of, front_of
from nasfuse.search.trial import TrialView

#: States that `status` tells apart.
STATES = ("complete", "running", "waiting", "stopped", "failed", "over_max_macs")


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


def summarise(trials: Sequence[TrialView], objectives: Objectives) -> Progress:
    """Returns the progress of a study with these trials."""
    counts = Counter(_state(trial) for trial in trials if not trial.is_operating_point)
    candidates = candidates_of(trials)
    hand_made = [candidate for candidate in candidates if candidate.baseline is not None]
    epochs = [_epochs(trial) for trial in trials if _ran(trial)]
    waits = [trial.suggestion_s for trial in trials if trial.suggestion_s is not None]
    return Progress(
        states={name: counts.get(name, 0) for name in STATES},
        done=sum(trial.was_trained for trial in trials),
        epochs_spent=sum(spent for spent, _ in epochs),
        epochs_saved=sum(asked - spent for spent, asked in epochs),
        inherited=sum(trial.was_trained and trial.is_inherited for trial in trials),
        hypervolume=objectives.hypervolume(candidates),
        seconds_per_suggestion=float(np.median(waits)) if waits else None,
        front=front_of(candidates, objectives),
        best=best(candidates, objectives) if candidates else None,
        best_baseline=best(hand_made, objectives) if hand_made else None,
        reasons={trial.number: trial.reason for trial in trials if trial.is_failed},
    )


def _state(trial: TrialView) -> str:
    is_state = (
        trial.is_complete,
        trial.is_running,
        trial.is_waiting,
        trial.is_stopped,
        trial.is_failed,
        trial.is_over_max_macs,
    )
    return STATES[is_state.index(True)]


def _ran(trial: TrialView) -> bool:
    return trial.was_trained and not trial.is_failed


def _epochs(trial: TrialView) -> tuple[int, int]:
    """Returns the epochs that a training has run, and those that its recipe asks for."""
    if trial.stopped is not None:
        return trial.stopped.epoch, trial.stopped.epochs
    assert trial.record is not None, "a complete training has a record"
    return trial.record["epochs"], trial.record["epochs_asked"]
