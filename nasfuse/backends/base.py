"""What every backend is given: the objective it runs, the workers it runs on, and who is told what happens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nasfuse.domain.operating_point import Measurements
from nasfuse.search.scheduler import Assignment
from nasfuse.spec.recipe import Recipe

Report = Callable[[int, float], None]


class Objective(Protocol):
    """What a study optimises. Must be picklable; it is called in worker processes."""

    def __call__(
        self, recipe: Recipe, *, seed: int, cut: int, folder: Path, report: Report, donors: Mapping[str, Path]
    ) -> Measurements:
        """Returns the measurements of `recipe`; files go to `folder`, progress is resumed from there.

        Args:
            recipe: What to measure.
            seed: Of everything random.
            cut: Which division into train and val; repetitions of one recipe have different ones.
            folder: Of the trial.
            report: Called with (epoch, metric) after every epoch; it does not return where the training is stopped.
            donors: Stream name to the `model.pt` whose weights the stream starts from; the others start at random.

        Raises:
            DonorError: These weights are lost; the trial is then run again without donors.
        """


class Watcher(Protocol):
    """Is told what happens to the trials, in the driver."""

    def started(self, assignment: Assignment) -> None:
        """A trial was handed to a worker."""

    def finished(self, number: int, measurements: Measurements) -> None:
        """A trial has its result."""

    def stopped(self, number: int, epoch: int) -> None:
        """A trial was not worth going on with after `epoch`."""

    def failed(self, number: int, reason: str) -> None:
        """A trial ended without one."""


@dataclass(frozen=True)
class Workers:
    """What the trials run on.

    Attributes:
        count: Trials at a time.
        cpus_per_trial: Cores of each.
        gpus_per_trial: GPUs of each; may be a fraction.
    """

    count: int
    cpus_per_trial: int
    gpus_per_trial: float
