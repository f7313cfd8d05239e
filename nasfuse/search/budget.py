"""Budget of a study: when the search ends, and when it starts to confirm the front."""

from dataclasses import dataclass

from nasfuse.spec.study import BudgetConfig

#: Share of the budget after which members of the front are trained again before new networks are tried. Earlier
#: repetitions would be spent on members that are soon dominated.
_CONFIRM_FROM = 0.8


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

    def share(self, *, trainings: int, seconds: float) -> float:
        """Returns the share of the budget that is used; the search ends at 1."""
        by_trials = trainings / self.trials if self.trials else 0.0
        by_time = seconds / self.seconds if self.seconds else 0.0
        return max(by_trials, by_time)

    def is_for_confirming(self, *, trainings: int, seconds: float) -> bool:
        """Returns whether unconfirmed members of the front are trained again before new networks are tried."""
        return self.repeats > 1 and self.share(trainings=trainings, seconds=seconds) >= _CONFIRM_FROM
