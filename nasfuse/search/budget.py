"""Budget of a study: when the search ends, and when it starts to confirm the front."""

from dataclasses import dataclass
from enum import Enum

from nasfuse.errors import counted
from nasfuse.spec.study import BudgetConfig

#: Share of the budget after which members of the front are trained again before new networks are tried. Earlier
#: repetitions would be spent on members that are soon dominated.
_CONFIRM_FROM = 0.8

#: Share of a budget in minutes after which families that were tried too seldom are no longer preferred. Where trainings
#: take long, trying every family would leave no time to improve on what was found.
_COVER_UNTIL = 0.5

#: Time beyond a budget in minutes after which running trainings are stopped, as a share of it, and at least in seconds.
_GRACE, _LEAST_GRACE_S = 0.2, 15.0

#: Time in which the front is measured after the last training, as a share of that of the search, and at least in
#: seconds.
_MEASURING, _LEAST_MEASURING_S = 0.1, 60.0


class End(float, Enum):
    """How a training ends that runs when the time of a study is over, by the multiple of its grace when it does."""

    #: By itself, with the epochs that it has run, so that it can be measured in what is left.
    SHORTENED = 0.5
    #: By the driver, after its next epoch.
    STOPPED = 1.0
    #: With its process, wherever it is.
    KILLED = 2.0


def measuring_s(seconds: float) -> float:
    """Returns the time in which the front is measured after a search that takes `seconds`."""
    return max(_MEASURING * seconds, _LEAST_MEASURING_S)


def end_by_time(config: BudgetConfig, *, trainings: int) -> str | None:
    """Returns which of two limits ended a search, if it was the time, and how to continue; None otherwise.

    Args:
        config: Budget of the search, which is spent.
        trainings: Number of trainings that have ended.
    """
    if config.trials is None or config.minutes is None or trainings >= config.trials:
        return None
    return (
        f"the time of {config.minutes:g} min ended the search after {trainings} of {counted(config.trials, 'trial')}; "
        "a larger --minutes continues it"
    )


@dataclass(frozen=True)
class Budget:
    """Limits on the total over all sessions of a study; the first limit that is reached ends the search.

    Attributes:
        trials: Maximum number of trainings; None for no limit.
        seconds: Maximum wall-clock time; None for no limit.
        repeats: Trainings required to confirm a member of the front.
    """

    trials: int | None
    seconds: float | None
    repeats: int = 1

    @classmethod
    def from_config(cls, config: BudgetConfig) -> "Budget":
        """Returns the budget that a study file describes."""
        return cls(config.trials, config.minutes and config.minutes * 60, config.repeats)

    def left_s(self, end: End, *, seconds: float) -> float | None:
        """Returns the time after which a training that starts after `seconds` ends as `end` says; None for no limit.

        One that is continued when the time of the study is spent gets the grace of the others.
        """
        if self.seconds is None:
            return None
        grace = max(_GRACE * self.seconds, _LEAST_GRACE_S)
        return max(self.seconds - seconds, 0.0) + end * grace

    def share(self, *, trainings: int, seconds: float) -> float:
        """Returns the share of the budget that is used; the search ends at 1."""
        by_trials = trainings / self.trials if self.trials else 0.0
        by_time = seconds / self.seconds if self.seconds else 0.0
        return max(by_trials, by_time)

    def allows(self, share: float, *, trainings: int, seconds: float) -> bool:
        """Returns whether `trainings` of one kind, running after `seconds`, are within a share of the budget."""
        by_trials = self.trials is None or trainings <= share * self.trials
        return by_trials and (self.seconds is None or seconds < share * self.seconds)

    def is_for_covering(self, *, seconds: float) -> bool:
        """Returns whether families of networks that were tried too seldom are preferred to what the model suggests."""
        return self.seconds is None or seconds < _COVER_UNTIL * self.seconds

    def is_for_confirming(self, *, trainings: int, seconds: float) -> bool:
        """Returns whether unconfirmed members of the front are trained again before new networks are tried."""
        return self.repeats > 1 and self.share(trainings=trainings, seconds=seconds) >= _CONFIRM_FROM

    def is_for_the_best(self, *, trainings: int, seconds: float) -> bool:
        """Returns whether what is left of the budget is needed to confirm one point.

        How many trainings fit in a time is not known, so that all of the last part of a time is.
        """
        if self.trials is not None and self.trials - trainings < self.repeats:
            return True
        return self.seconds is not None and seconds >= _CONFIRM_FROM * self.seconds
