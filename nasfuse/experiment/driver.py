"""Driver of a search: hands out trials, restarts trials whose worker died, stops trials early, records results."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from nasfuse.backends.base import Backend, Decision, Pause
from nasfuse.backends.interrupts import Interrupts, interruptible
from nasfuse.backends.outcome import Died, Failed, Measured, Outcome, Stopped
from nasfuse.errors import NasfuseError
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.scheduler import Assignment, Scheduler


class Observer(Protocol):
    """Is notified of starts and ends of trials, in the process of the driver."""

    def started(self, assignment: Assignment) -> None:
        """Called once for every trial, before a worker gets it."""

    def ended(self, number: int, outcome: Outcome, *, progress: Progress, seconds: float) -> None:
        """Called once for every trial that ended; not called for a death after which the trial runs again.

        Args:
            number: Number of the trial.
            outcome: How it ended: `Measured`, `Stopped` or `Failed`.
            progress: State of the search with this trial.
            seconds: Time since the first trial started, over all sessions.
        """


class SearchDriver:
    """Runs the trials of one study on any backend.

    Attributes:
        n_workers: Largest number of trials that run at a time; limited by the visibility lag of the study.
    """

    def __init__(self, scheduler: Scheduler, *, n_workers: int, observers: Sequence[Observer] = ()) -> None:
        """Prepares a session of a study; the visibility lag of a new study is set for `n_workers`.

        Args:
            scheduler: Suggests trials, decides about them and records their results.
            n_workers: Largest number of trials that run at a time.
            observers: Observers, called in this order.
        """
        scheduler.fix_visibility_lag(workers=n_workers)
        self.n_workers = min(n_workers, scheduler.visibility_lag)
        self._scheduler = scheduler
        self._observers = observers
        self._running: dict[int, Assignment] = {}
        self._retries: list[Assignment] = []
        self._error: NasfuseError | None = None
        self._interrupts = Interrupts()

    @property
    def progress(self) -> Progress:
        """State of the search."""
        return summarise(self._scheduler.trials(), self._scheduler.objectives)

    def run(self, backend: Backend) -> None:
        """Runs trials on `backend` until the budget of the study is spent.

        Raises:
            Exhausted: No network of the space may be trained.
            RecurringFailureError: One training after another failed.
            RunFolderError: Another search writes to the same study.
            Interrupted: A signal asked the program to end; the running trials are released.
        """
        try:
            with interruptible() as self._interrupts:
                backend.run(self)
        except KeyboardInterrupt:
            self._scheduler.release()
            raise
        if self._error is not None:
            raise self._error
        self._scheduler.check_failures()  # the last trainings of the budget may have failed in the same way

    def next_trial(self) -> Assignment | Pause:
        """Returns the next trial to run: one whose worker died, else a new one; or the reason why there is none now.

        After an error of the scheduler, the search ends when the running trials have ended.

        Raises:
            Interrupted: A signal has come; like the other calls of a backend, this one is finished before.
        """
        self._interrupts.check()
        with self._interrupts.deferred():
            return self._next()

    def _next(self) -> Assignment | Pause:
        if self._retries:
            return self._hand_out(self._retries.pop(0))
        if self._error is not None or not self._scheduler.wants_more(running=len(self._running)):
            return self._pause
        if len(self._running) >= self.n_workers:
            return Pause.WAIT
        try:
            assignment = self._scheduler.next()
        except NasfuseError as error:
            self._error = error
            return self._pause
        if assignment is None:
            return self._pause
        for observer in self._observers:
            observer.started(assignment)
        return self._hand_out(assignment)

    @property
    def _pause(self) -> Pause:
        return Pause.WAIT if self._running else Pause.DONE

    def _hand_out(self, assignment: Assignment) -> Assignment:
        self._running[assignment.number] = assignment
        return assignment

    def on_report(self, number: int, *, epoch: int, metric: float) -> Decision:
        """Returns whether trial `number` continues after `epoch`, one of its rungs."""
        with self._interrupts.deferred():
            continues = self._scheduler.should_continue(number, epoch=epoch, metric=metric)
        return Decision.CONTINUE if continues else Decision.STOP

    def on_lost_inheritance(self, number: int, reason: str) -> None:
        """Records that trial `number` starts from random weights, also if it runs again after a death."""
        with self._interrupts.deferred():
            self._scheduler.start_from_scratch(number, reason)
            self._running[number] = replace(self._running[number], inherited={})

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Records how trial `number` ended; one that died is handed out again, unless it died too often."""
        with self._interrupts.deferred():
            self._end(number, outcome)

    def _end(self, number: int, outcome: Outcome) -> None:
        assignment = self._running.pop(number)
        if isinstance(outcome, Died):
            if self._scheduler.retry(number):
                self._retries.append(assignment)
                return
        else:
            self._record(number, outcome)
        trial = self._scheduler.trials()[number]
        if trial.is_failed:  # also a trial that died too often, or whose measurements are not finite
            outcome = Failed(str(trial.reason))
        progress, seconds = self.progress, self._scheduler.seconds
        for observer in self._observers:
            observer.ended(number, outcome, progress=progress, seconds=seconds)

    def _record(self, number: int, outcome: Measured | Stopped | Failed) -> None:
        if isinstance(outcome, Measured):
            self._scheduler.finish(number, outcome.measurements)
        elif isinstance(outcome, Stopped):
            self._scheduler.stop(number, epoch=outcome.epoch, metric=outcome.metric)
        else:
            self._scheduler.fail(number, outcome.reason)
