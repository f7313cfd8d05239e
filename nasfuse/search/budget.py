"""The budget of a study: when it ends, and how much of it is left for confirming the front."""

from dataclasses import dataclass

from nasfuse.spec.study import BudgetConfig

#: Share of the budget after which members of the front are confirmed before anything new is tried. Not earlier: most
#: of an early front is soon beaten, and the sampler's front is what it predicts anyway.
_CONFIRM_FROM = 0.8


@dataclass(frozen=True)
class Budget:
    """Totals over all sessions of a study; the first that is reached ends it.

    Attributes:
        trials: Trainings, or None.
        seconds: Wall-clock time, or None.
        repeats: Trainings behind a confirmed member of the front.
    """

    trials: int | None
    seconds: float | None
    repeats: int = 1

    @classmethod
    def from_config(cls, config: BudgetConfig) -> "Budget":
        """Returns the budget that a study asks for."""
        return cls(config.trials, config.minutes and config.minutes * 60, config.repeats)

    def share(self, *, trainings: int, seconds: float) -> float:
        """Returns how much is spent: 1 and more is all of it."""
        by_trials = trainings / self.trials if self.trials else 0.0
        by_time = seconds / self.seconds if self.seconds else 0.0
        return max(by_trials, by_time)

    def is_for_confirming(self, *, trainings: int, seconds: float) -> bool:
        """Returns whether unconfirmed members of the front are to be trained again now."""
        return self.repeats > 1 and self.share(trainings=trainings, seconds=seconds) >= _CONFIRM_FROM
