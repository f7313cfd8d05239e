"""The interface between a driver, which decides which trials run, and a backend, which runs them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Protocol

from nasfuse.backends.objective import Objective
from nasfuse.backends.outcome import Outcome
from nasfuse.errors import InvalidInputError
from nasfuse.search.assignment import Assignment
from nasfuse.spec.study import ResourcesConfig


class Pause(Enum):
    """Why a driver hands out no trial."""

    WAIT = "ask again when a trial has ended"
    DONE = "the search is over"


class Decision(Enum):
    """Whether a trial continues after a report."""

    CONTINUE = "continue"
    STOP = "stop"


class Driver(Protocol):
    """Decides which trials run and which of them are stopped. A backend calls it from one thread.

    Attributes:
        n_workers: Trials that run at a time, at most.
    """

    n_workers: int

    def next_trial(self) -> Assignment | Pause:
        """Returns the next trial to run, or why there is none now."""

    def on_report(self, number: int, *, epoch: int, metric: float) -> Decision:
        """Returns whether trial `number` continues after `epoch`, one of its rungs or any epoch when it is overdue.

        A trial that is to stop ends with the outcome `Stopped`.
        """

    def on_lost_inheritance(self, number: int, reason: str) -> None:
        """Records that trial `number` starts from random weights, because the weights it inherits cannot be loaded."""

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Records how trial `number` ended. A trial that died may be handed out again."""

    def note(self, text: str) -> None:
        """Shows the user a sentence about the machines."""


class Backend(Protocol):
    """Runs the trials of a driver."""

    @property
    def capacity(self) -> int:
        """Trials that fit on the workers at a time; 0 if there is no room for one."""

    @property
    def can_grow(self) -> bool:
        """Whether machines may join or be lost, so that `capacity` changes during a run."""

    def run(self, driver: Driver) -> None:
        """Runs trials until the driver is done and no trial runs.

        A trial that takes longer than its `killed_s` ends with the outcome `Died`, unless the driver has let it go on
        after it was overdue.
        """


class OpenBackend(Protocol):
    """Starts a backend; the workers are up inside the returned context and released at its end."""

    def __call__(
        self, objective: Objective, *, resources: ResourcesConfig, folder_of: Callable[[int], Path], scratch: Path
    ) -> AbstractContextManager[Backend]:
        """Returns the context.

        Args:
            objective: Called in the workers.
            resources: Cores and GPUs of every trial.
            folder_of: Returns the folder of a trial from its number, on a file system that all workers share.
            scratch: Folder for files of the backend, which may be removed after the search.
        """


def too_small(resources: ResourcesConfig) -> InvalidInputError:
    """Returns the error of a machine on which not even one trial fits."""
    return InvalidInputError(
        f"resources: this machine has not the {resources.cpus_per_trial} cores and {resources.gpus_per_trial:g} GPUs "
        "that one trial needs; ask for less per trial"
    )
