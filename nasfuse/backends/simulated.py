"""Trials on a simulated clock: their learning curves are looked up, so that a search of hours takes seconds."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nasfuse.backends.base import Decision, Driver, Pause
from nasfuse.backends.outcome import Died, Outcome, Stopped
from nasfuse.search.assignment import Assignment


@dataclass(frozen=True)
class SimulatedTraining:
    """What happens when a worker runs a trial.

    Attributes:
        curve: The metric after each epoch.
        outcome: How the trial ends after the last epoch of the curve unless it is stopped before.
        epoch_s: Seconds per epoch; the trial takes one epoch if the curve is empty.
        lost_inheritance: Why the inherited weights cannot be loaded; None if they can.
    """

    curve: Sequence[float]
    outcome: Outcome
    epoch_s: float = 1.0
    lost_inheritance: str | None = None


@dataclass
class _Running:
    """A trial in progress, and the epochs after which it reports or ends; the first of them is the next."""

    training: SimulatedTraining
    started: float
    reports: list[int]
    overdue: float
    killed: float

    @property
    def next_event(self) -> float:
        return min(self._next_epoch, self.killed)

    @property
    def is_killed(self) -> bool:
        return self.killed < self._next_epoch

    @property
    def _next_epoch(self) -> float:
        last = max(len(self.training.curve), 1)
        return self.started + (self.reports[0] if self.reports else last) * self.training.epoch_s


class SimulatedBackend:
    """Runs trials one after another in this process, in the order in which parallel workers would report.

    Events of equal time are handled in the order of the trial numbers, and all of them before a new trial starts. So
    the same driver and the same trainings always give the same order of calls.

    Attributes:
        capacity: Trials that fit on the simulated workers at a time.
        can_grow: False.
        now: Simulated time in seconds.
    """

    def __init__(self, train: Callable[[Assignment], SimulatedTraining], *, capacity: int = 1) -> None:
        """Starts the clock at 0.

        Args:
            train: Called when a worker gets a trial, each time if it gets the trial again.
            capacity: Trials that fit on the simulated workers at a time.
        """
        self.capacity = capacity
        self.can_grow = False
        self.now = 0.0
        self._train = train
        self._running: dict[int, _Running] = {}
        self._events: list[tuple[float, int]] = []

    def clock(self) -> float:
        """Returns the simulated time in seconds, for a scheduler whose budget is limited in time."""
        return self.now

    def run(self, driver: Driver) -> None:
        """Runs trials until the driver is done and no trial runs."""
        while True:
            while isinstance(assignment := driver.next_trial(), Assignment):
                self._start(assignment, driver)
            if not self._events:
                assert assignment is Pause.DONE, "the driver waits for a trial, but none runs"
                return
            self.now = self._events[0][0]
            while self._events and self._events[0][0] == self.now:
                _, number = heapq.heappop(self._events)
                self._advance(number, driver)

    def _start(self, assignment: Assignment, driver: Driver) -> None:
        training = self._train(assignment)
        if training.lost_inheritance is not None:
            driver.on_lost_inheritance(assignment.number, training.lost_inheritance)
        late, killed = (math.inf if time is None else time for time in (assignment.overdue_s, assignment.killed_s))
        epochs = range(1, len(training.curve) + 1)
        reports = [epoch for epoch in epochs if epoch in assignment.rungs or epoch * training.epoch_s >= late]
        self._running[assignment.number] = _Running(training, self.now, reports, self.now + late, self.now + killed)
        self._schedule(assignment.number)

    def _schedule(self, number: int) -> None:
        heapq.heappush(self._events, (self._running[number].next_event, number))

    def _advance(self, number: int, driver: Driver) -> None:
        """Passes the next report of a trial to the driver, or its end."""
        running = self._running[number]
        if running.is_killed:
            self._end(number, Died(), driver)
            return
        if not running.reports:
            self._end(number, running.training.outcome, driver)
            return
        epoch = running.reports.pop(0)
        metric = running.training.curve[epoch - 1]
        if driver.on_report(number, epoch=epoch, metric=metric) is Decision.STOP:
            self._end(number, Stopped(epoch, metric), driver)
            return
        if self.now >= running.overdue:  # the driver lets it go on
            running.killed = math.inf
        self._schedule(number)

    def _end(self, number: int, outcome: Outcome, driver: Driver) -> None:
        del self._running[number]
        driver.on_end(number, outcome)
