"""What a scheduler hands out to be trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nasfuse.spec.recipe import Recipe


@dataclass(frozen=True)
class Assignment:
    """A trial to be trained, as the scheduler hands it out.

    Attributes:
        number: Number of the trial.
        seed: Seed of its training, derived from the study's seed and the trial number.
        recipe: Recipe to train.
        division: Index of the division into train and val: 0 for a first training, counting up for its repetitions.
        baseline: Name of the hand-made design; None for a suggestion.
        rungs: Epochs after which the training reports its metric, and may be stopped.
        inherited: Stream to the number of the trial whose weights it starts from; other streams start at random.
        overdue_s: Seconds after its start from which it reports its metric after every epoch, as the time of the study
            is then spent; None for no such time.
        ends_s: Seconds after its start at which a first training ends with the epochs that it has run, before it is
            overdue; None for no such time.
        killed_s: Seconds after its start at which its process is ended, wherever it is; None for no such time.
    """

    number: int
    seed: int
    recipe: Recipe
    division: int = 0
    baseline: str | None = None
    rungs: tuple[int, ...] = ()
    inherited: Mapping[str, int] = field(default_factory=dict)
    overdue_s: float | None = None
    ends_s: float | None = None
    killed_s: float | None = None

    def after(self, seconds: float) -> "Assignment":
        """Returns the assignment of a trial that runs again, `seconds` after it was handed out first."""
        if seconds <= 0:
            return self

        def left(time: float | None) -> float | None:
            return None if time is None else max(time - seconds, 0.0)

        return replace(self, overdue_s=left(self.overdue_s), ends_s=left(self.ends_s), killed_s=left(self.killed_s))
