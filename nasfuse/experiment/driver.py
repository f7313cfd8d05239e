"""Driver of a search: hands out trials, tries again what was interrupted, stops trials early, records results."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from nasfuse.backends.base import Backend, Decision, Pause
from nasfuse.backends.interrupts import Interrupts, interruptible
from nasfuse.backends.outcome import Died, Failed, Faulted, Measured, Outcome, Stopped
from nasfuse.errors import NasfuseError, RecurringFailureError, RunFolderError
from nasfuse.search.assignment import Assignment
from nasfuse.search.faults import Faults, Judgement, Verdict
from nasfuse.search.lease import TakenOverError
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.scheduler import Scheduler
from nasfuse.search.trial_rows import OutdatedError

#: Share of the time that the driver spends on the state of the search, where that takes longer than `_SHORT_S`.
_SHARE_OF_PROGRESS, _SHORT_S = 0.05, 0.005

#: Seconds after which a driver that has nothing to do looks at what other drivers have done.
_POLL_S = 0.5


class Observer(Protocol):
    """Is notified of starts and ends of trials, in the process of the driver."""

    def started(self, assignment: Assignment) -> None:
        """Called once for every trial, before a worker gets it."""

    def ended(self, number: int, outcome: Outcome, *, progress: Progress, seconds: float) -> None:
        """Called once for every trial that ended; not called for a death or fault after which the trial runs again.

        Args:
            number: Number of the trial.
            outcome: How it ended: `Measured`, `Stopped` or `Failed`.
            progress: State of the search with this trial; in a large search it may be that of a moment ago, except
                when no other trial runs.
            seconds: Time since the first trial started, over all sessions.
        """


class SearchDriver:
    """Runs the trials of one study on any backend.

    Attributes:
        n_workers: Largest number of trials that run at a time; limited by the visibility lag of the study.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        n_workers: int,
        observers: Sequence[Observer] = (),
        note: Callable[[str], None] = lambda _text: None,
        check: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepares a session of a study; the visibility lag of a new study is set for `n_workers`.

        Args:
            scheduler: Suggests trials, decides about them and records their results.
            n_workers: Largest number of trials that run at a time.
            observers: Observers, called in this order.
            note: Called with a message when a trial is tried again after a fault.
            check: Raises TakenOverError if another driver has taken the study over; None where there can be no other.
            clock: Returns the time in seconds since an arbitrary moment.
            sleep: Waits for a number of seconds.
        """
        scheduler.fix_visibility_lag(workers=n_workers)
        self.n_workers = min(n_workers, scheduler.visibility_lag)
        self._scheduler = scheduler
        self._observers = observers
        self._running: dict[int, Assignment] = {}
        self._starts: dict[int, float] = {}  # time of the study at which a trial was handed out first
        self._ends: dict[int, float] = {}  # time of the study from which a trial is overdue
        self._reported: dict[int, Stopped] = {}  # the last report of each running trial
        self._out_of_time: set[int] = set()  # trials that were ended because the time of the study was over
        self._retries: list[Assignment] = []
        self._faults = Faults(scheduler.saved_epochs)
        self._waiting: list[tuple[float, Assignment]] = []  # trials that met a fault, with the time of the next attempt
        self._note, self._check, self._clock, self._sleep = note, check, clock, sleep
        self._error: NasfuseError | None = None
        self._recent: Progress | None = None
        self._refresh_at = 0.0
        self._interrupts = Interrupts()
        self._room: Callable[[], int] = lambda: self.n_workers

    @property
    def progress(self) -> Progress:
        """State of the search."""
        return summarise(self._scheduler.trials(), self._scheduler.objectives)

    def run(self, backend: Backend) -> None:
        """Runs trials on `backend` until the budget of the study is spent.

        Raises:
            Exhausted: No network of the space may be trained.
            RecurringFailureError: One training after another failed, or met a fault.
            RunFolderError: Another search has taken the study over.
            Interrupted: A signal asked the program to end; the running trials are released.
        """
        if backend.can_grow:
            self._room = lambda: backend.capacity
        try:
            with interruptible() as self._interrupts:
                backend.run(self)
        except RunFolderError:
            self._interrupts.check()  # a storage that does not answer is not waited for after a signal
            raise
        except KeyboardInterrupt:
            with suppress(RunFolderError):
                self._scheduler.release()
            raise
        if self._error is not None:
            raise self._error
        self._scheduler.check_failures()  # the last trainings of the budget may have failed in the same way

    def next_trial(self) -> Assignment | Pause:
        """Returns the next trial to run: one that was interrupted, else a new one; or the reason why there is none now.

        After a fault, a trial waits for a while; a driver that has nothing else to do waits with it. So does one whose
        study has no further trial while another driver's trials run: it continues them if that driver dies.

        After an error of the scheduler, the search ends when the running trials have ended.

        Raises:
            Interrupted: A signal has come; like the other calls of a backend, this one is finished before.
        """
        while True:
            self._interrupts.check()
            with self._interrupts.deferred():
                found = self._next()
            if found is not Pause.WAIT or self._running or self._room() <= 0:  # the backend waits for nodes
                return found
            self._sleep(_POLL_S)

    def _next(self) -> Assignment | Pause:
        if self._is_taken_over():
            return self._pause
        if len(self._running) >= self._room():
            return Pause.WAIT if self._running or self._has_work() else Pause.DONE
        if self._retries:
            return self._hand_out(self._retries.pop(0))
        if self._waiting and (not self._running or self._waiting[0][0] <= self._clock()):
            due, interrupted = self._waiting.pop(0)
            self._sleep(max(due - self._clock(), 0.0))
            return self._hand_out(interrupted)
        if self._error is not None or not self._scheduler.wants_more(running=len(self._running) + len(self._waiting)):
            return self._pause
        if len(self._running) + len(self._waiting) >= self.n_workers:
            return Pause.WAIT
        try:
            assignment = self._scheduler.next()
        except OutdatedError:  # another driver was faster, and may have spent the budget
            return self._next()
        except NasfuseError as error:
            self._error = error
            return self._pause
        if assignment is None:
            return self._pause
        for observer in self._observers:
            observer.started(assignment)
        return self._hand_out(assignment)

    def _has_work(self) -> bool:
        """Returns whether there is a trial to hand out while none runs."""
        return bool(self._retries or self._waiting) or (self._error is None and self._scheduler.wants_more(running=0))

    @property
    def _pause(self) -> Pause:
        waits_for_others = self._error is None and self._scheduler.others_run
        return Pause.WAIT if self._running or self._waiting or waits_for_others else Pause.DONE

    def _hand_out(self, assignment: Assignment) -> Assignment:
        number, now = assignment.number, self._scheduler.seconds
        self._running[number] = assignment
        passed = now - self._starts.setdefault(number, now)  # of a trial that runs again
        if assignment.overdue_s is not None:
            self._ends.setdefault(number, now + assignment.overdue_s)
        return assignment.after(passed)

    def _is_overdue(self, number: int) -> bool:
        """Returns whether a trial is to stop, as the time of the study and its grace are spent.

        A study without a result goes on.
        """
        return self._is_late(number) and self._has_result

    def _is_late(self, number: int) -> bool:
        return self._scheduler.seconds >= self._ends.get(number, float("inf"))

    @property
    def _has_result(self) -> bool:
        return any(trial.is_complete for trial in self._scheduler.trials())

    def on_report(self, number: int, *, epoch: int, metric: float) -> Decision:
        """Returns whether trial `number` continues after `epoch`, one of its rungs or any epoch when it is overdue."""
        with self._interrupts.deferred():
            self._reported[number] = Stopped(epoch, metric)
            is_at_rung = epoch in self._running[number].rungs
            if self._is_overdue(number):
                self._out_of_time.add(number)
                return Decision.STOP
            continues = not is_at_rung or self._scheduler.should_continue(number, epoch=epoch, metric=metric)
        return Decision.CONTINUE if continues else Decision.STOP

    def on_lost_inheritance(self, number: int, reason: str) -> None:
        """Records that trial `number` starts from random weights, also if it runs again after a death."""
        with self._interrupts.deferred():
            self._scheduler.start_from_scratch(number, reason)
            self._running[number] = replace(self._running[number], inherited={})

    def note(self, text: str) -> None:
        """Shows the user a sentence about the machines."""
        self._note(text)

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Records how trial `number` ended; one that died or met a fault is handed out again, if not too often."""
        with self._interrupts.deferred():
            self._end(number, outcome)

    def _end(self, number: int, outcome: Outcome) -> None:
        assignment = self._running.pop(number)
        if self._is_taken_over():
            return
        try:
            self._note_end(assignment, outcome)
        except TakenOverError as error:
            self._give_up(error)

    def _note_end(self, assignment: Assignment, outcome: Outcome) -> None:
        number = assignment.number
        last = self._reported.pop(number, Stopped(0, None))
        if isinstance(outcome, Died) and self._is_late(number):  # it was ended at the end of the time
            if self._has_result:
                self._out_of_time.add(number)
                outcome = last
            elif assignment.killed_s is not None:  # a study without a result goes on: one epoch, without a limit
                ends_s = None if assignment.ends_s is None else 0.0
                self._retries.append(replace(assignment, ends_s=ends_s, overdue_s=0.0, killed_s=None))
                return
        if isinstance(outcome, Died | Faulted):
            if self._runs_again(assignment, outcome):
                return
        else:
            self._faults.note_end()
            self._record(number, outcome)
        trial = self._scheduler.trials()[number]
        if trial.is_failed:  # also a trial that died too often, or whose measurements are not finite
            outcome = Failed(str(trial.reason))
        progress, seconds = self._recent_progress(), self._scheduler.seconds
        for observer in self._observers:
            observer.ended(number, outcome, progress=progress, seconds=seconds)

    def _recent_progress(self) -> Progress:
        """Returns the state of the search, or of a moment ago where it takes long to compute and trials run."""
        if self._recent is None or not self._running or time.perf_counter() >= self._refresh_at:
            started = time.perf_counter()
            self._recent = self.progress
            took = time.perf_counter() - started
            self._refresh_at = started + (took / _SHARE_OF_PROGRESS if took > _SHORT_S else 0.0)
        return self._recent

    def _is_taken_over(self) -> bool:
        """Returns whether another driver has taken the study over."""
        try:
            if self._check is not None:
                self._check()
        except TakenOverError as error:
            self._give_up(error)
            return True
        return False

    def _give_up(self, error: TakenOverError) -> None:
        """Ends the search when the running trials have ended; nothing more is written of them."""
        self._error = error
        self._waiting.clear()
        self._retries.clear()

    def _runs_again(self, assignment: Assignment, outcome: Died | Faulted) -> bool:
        """Returns whether a trial that died or met a fault runs again, or else records its failure.

        A death before its training has begun says nothing about the network.
        """
        number = assignment.number
        if isinstance(outcome, Died) and self._scheduler.take_begun(number):
            self._faults.note_beginning()
            if not self._scheduler.retry(number):
                return False
            self._retries.append(assignment)
            return True
        if isinstance(outcome, Died):
            judgement, reason = self._faults.judge_early_death(number), "its worker died before its training began"
            of_all = (
                f"the worker of trial {number} died {judgement.in_a_row} times in a row before its training began, as "
                "with too little memory or a package that cannot be loaded (`nasfuse doctor` loads them)"
            )
        else:
            judgement, reason = self._faults.judge(number), outcome.reason
            of_all = (
                f"{judgement.in_a_row} trainings in a row were ended by what surrounds them, the last (trial {number}) "
                f"with: {reason}"
            )
        if judgement.verdict is Verdict.FAIL:
            self._scheduler.fail(number, reason)
            return False
        self._put_off(assignment, judgement, reason=reason, of_all=of_all)
        return True

    def _put_off(self, assignment: Assignment, judgement: Judgement, *, reason: str, of_all: str) -> None:
        """Tries a trial again after a while, or leaves it to the next session and ends the search because `of_all`."""
        number = assignment.number
        if self._error is None and judgement.verdict is Verdict.AGAIN:
            self._waiting.append((self._clock() + judgement.wait_s, assignment))
            self._waiting.sort(key=lambda one: one[0])
            self._note(f"trial {number} is tried again in {judgement.wait_s:.0f} s: {reason}")
            return
        for one in [assignment, *(waiting for _, waiting in self._waiting)]:
            self._scheduler.release_one(one.number)
        self._waiting.clear()
        self._error = self._error or RecurringFailureError(
            f"{of_all}; remove the cause and run the same command again, which continues these trainings", trial=number
        )

    def _record(self, number: int, outcome: Measured | Stopped | Failed) -> None:
        if isinstance(outcome, Measured):
            self._scheduler.finish(number, outcome.measurements)
        elif isinstance(outcome, Stopped):
            is_late = number in self._out_of_time
            self._scheduler.stop(number, epoch=outcome.epoch, metric=outcome.metric, out_of_time=is_late)
        else:
            self._scheduler.fail(number, outcome.reason)
