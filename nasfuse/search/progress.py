"""Progress of a study, from its storage alone: what `status` shows and a running search displays."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from nasfuse.search.front import Candidate, Objectives, best, candidates_of, front_of, was_trained

_NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "over_max_macs",
}


@dataclass(frozen=True)
class Progress:
    """Where a study stands.

    Attributes:
        states: Trials by state: complete, running, waiting, failed, over_max_macs.
        done: Trainings that have ended, well or not; draws that were no valid network are not among them.
        epochs_spent: Of all completed trainings.
        epochs_saved: That early stopping did not run.
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
    hypervolume: float
    seconds_per_suggestion: float | None
    front: list[Candidate]
    best: Candidate | None
    best_baseline: Candidate | None
    reasons: dict[int, str]


def summarise(trials: Sequence[FrozenTrial], objectives: Objectives) -> Progress:
    """Returns the progress of a study with these trials."""
    counts = Counter(_NAMES[trial.state] for trial in trials)
    candidates = candidates_of(trials)
    hand_made = [candidate for candidate in candidates if candidate.baseline is not None]
    records = [trial.user_attrs["record"] for trial in trials if trial.state is TrialState.COMPLETE]
    waits = [trial.user_attrs["suggestion_s"] for trial in trials if "suggestion_s" in trial.user_attrs]
    return Progress(
        states={name: counts.get(name, 0) for name in _NAMES.values()},
        done=sum(was_trained(trial) for trial in trials),
        epochs_spent=sum(record["epochs"] for record in records),
        epochs_saved=sum(record["epochs_asked"] - record["epochs"] for record in records),
        hypervolume=objectives.hypervolume(candidates),
        seconds_per_suggestion=float(np.median(waits)) if waits else None,
        front=front_of(candidates, objectives),
        best=best(candidates, objectives) if candidates else None,
        best_baseline=best(hand_made, objectives) if hand_made else None,
        reasons={t.number: t.user_attrs.get("reason", "") for t in trials if t.state is TrialState.FAIL},
    )
