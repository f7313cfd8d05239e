"""The objective of a study, and how a worker runs one trial of it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nasfuse.backends.faults import is_fault, is_out_of_memory
from nasfuse.backends.outcome import Failed, Faulted, Measured
from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import InheritanceError
from nasfuse.search.assignment import Assignment
from nasfuse.spec.recipe import Recipe

#: Called with (epoch, metric) after an epoch.
Report = Callable[[int, float], None]


class Objective(Protocol):
    """The function that a study optimises. It is pickled and called in worker processes."""

    def __call__(
        self,
        recipe: Recipe,
        *,
        seed: int,
        division: int,
        folder: Path,
        report: Report,
        weight_sources: Mapping[str, Path],
        rungs: Sequence[int] = (),
        ends_s: float | None = None,
    ) -> Measurements:
        """Returns the measurements of `recipe`.

        It builds and trains the network inside of `nasfuse.backends.beginning.begun(folder)`: only there, a death of
        its process counts against the trial.

        Args:
            recipe: The network and how it is trained.
            seed: Seed of all random numbers of the training.
            division: Number of the division into train and val; repetitions of one recipe have different ones.
            folder: Folder of the trial, for its files; a training that was interrupted is resumed from there.
            report: Called with (epoch, metric) after every epoch; it does not return if the training is stopped.
            weight_sources: Stream name to the `model.pt` with its initial weights; all other streams start from
                random weights.
            rungs: Epochs after which the training may be stopped, if `report` is called with them.
            ends_s: Seconds after which the training is to end with the epochs that it has run and to be measured, where
                that is possible; None for no such time.

        Raises:
            InheritanceError: Inherited weights cannot be loaded; the trial is then run again from random weights.
        """


@dataclass(frozen=True)
class Task:
    """What a worker is given: one trial, with the paths that the trial uses.

    Attributes:
        assignment: The trial.
        folder: Folder of the trial, an absolute path.
        weight_sources: Stream name to the `model.pt` whose weights the stream starts from.
    """

    assignment: Assignment
    folder: Path
    weight_sources: Mapping[str, Path]

    @classmethod
    def of(cls, assignment: Assignment, *, folder_of: Callable[[int], Path]) -> "Task":
        """Returns the task of a trial.

        Args:
            assignment: The trial.
            folder_of: Returns the folder of a trial from its number.
        """
        return cls(
            assignment,
            folder_of(assignment.number).absolute(),
            {stream: folder_of(source).absolute() / "model.pt" for stream, source in assignment.inherited.items()},
        )

    def run(
        self, objective: Objective, *, report: Report, report_lost_inheritance: Callable[[str], None]
    ) -> Measured | Failed | Faulted:
        """Returns how the trial ended; an exception of the objective is a failure or a fault, with its text.

        The process ends here where the trial takes longer than its `killed_s`, unless the driver has let it go on
        after it was overdue.

        Args:
            objective: Called with the trial; called again without weight sources if it raises InheritanceError.
            report: Called with (epoch, metric) at the rungs of the trial, and after every epoch when it is overdue.
            report_lost_inheritance: Called with the reason before the trial starts again from random weights.
        """
        with _killed_after(self.assignment.killed_s) as cancel:
            try:
                try:
                    return Measured(self._measure(objective, report, cancel, weight_sources=self.weight_sources))
                except InheritanceError as error:
                    report_lost_inheritance(_one_line(error))
                    return Measured(self._measure(objective, report, cancel, weight_sources={}))
            except Exception as error:
                return failure_of(error)

    def _measure(
        self, objective: Objective, report: Report, cancel: Callable[[], None], *, weight_sources: Mapping[str, Path]
    ) -> Measurements:
        assignment, started = self.assignment, time.monotonic()

        def report_at_rungs(epoch: int, metric: float) -> None:
            is_overdue = assignment.overdue_s is not None and time.monotonic() - started >= assignment.overdue_s
            if epoch in assignment.rungs or is_overdue:  # every report costs a round trip to the driver
                report(epoch, metric)
            if is_overdue:
                cancel()

        return objective(
            assignment.recipe,
            seed=assignment.seed,
            division=assignment.division,
            folder=self.folder,
            report=report_at_rungs,
            weight_sources=weight_sources,
            rungs=assignment.rungs,
            ends_s=assignment.ends_s,
        )


@contextmanager
def _killed_after(seconds: float | None) -> Iterator[Callable[[], None]]:
    """Ends the process if the block takes longer than `seconds`, unless what it yields is called; None for no limit."""
    timer = threading.Timer(seconds or 0.0, os.kill, [os.getpid(), signal.SIGKILL])
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


def failure_of(error: Exception) -> Failed | Faulted:
    """Returns the failure or the fault that an exception stands for: its type and its text in one line."""
    reason = f"{'out of memory: ' if is_out_of_memory(error) else ''}{type(error).__name__}: {_one_line(error)}"
    return Faulted(reason) if is_fault(error) else Failed(reason)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
