"""What a search has spent on which kind of training."""

from collections.abc import Sequence
from dataclasses import dataclass

from nasfuse.search.progress import epochs_of
from nasfuse.search.trial import TrialView

#: Kinds of trainings, in the order in which a search starts them.
KINDS = ("hand-made", "suggested", "confirmation")


@dataclass(frozen=True)
class Spending:
    """The ended trainings of one kind.

    Attributes:
        kind: One of `KINDS`; a confirmation is a further training of a member of the front.
        trainings: Number of all.
        complete: Number of those that were trained to their end.
        stopped: Number of those that early stopping ended.
        out_of_time: Number of those that were stopped because the time of the study was over.
        failed: Number of those without a result.
        epochs: Epochs run by all but failed ones.
        saved: Epochs of these that were not run, because of early stopping, patience or the end of the time.
        seconds: Sum of the times from start to end, which overlap if there are several workers.
    """

    kind: str
    trainings: int
    complete: int
    stopped: int
    out_of_time: int
    failed: int
    epochs: int
    saved: int
    seconds: float


def kind_of(trial: TrialView) -> str:
    """Returns the kind of a training, one of `KINDS`."""
    if trial.is_repetition:
        return "confirmation"
    return "hand-made" if trial.is_baseline else "suggested"


def spending(trials: Sequence[TrialView]) -> list[Spending]:
    """Returns what was spent on each kind of training, for kinds of which a training has ended."""
    ended = [trial for trial in trials if trial.was_trained and not trial.is_operating_point]
    return [_sum(kind, own) for kind in KINDS if (own := [trial for trial in ended if kind_of(trial) == kind])]


def _sum(kind: str, trials: Sequence[TrialView]) -> Spending:
    epochs = [epochs_of(trial) for trial in trials if not trial.is_failed]
    durations = [trial.frozen.duration for trial in trials]
    return Spending(
        kind=kind,
        trainings=len(trials),
        complete=sum(trial.is_complete for trial in trials),
        stopped=sum(trial.is_stopped and not trial.is_out_of_time for trial in trials),
        out_of_time=sum(trial.is_out_of_time for trial in trials),
        failed=sum(trial.is_failed for trial in trials),
        epochs=sum(run for run, _ in epochs),
        saved=sum(asked - run for run, asked in epochs),
        seconds=sum(duration.total_seconds() for duration in durations if duration is not None),
    )
