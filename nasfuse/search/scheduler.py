"""Scheduler of a study: which trial is trained next, which training is stopped, and what is recorded of each."""

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState

from nasfuse.domain.metric import METRICS
from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import NasfuseError, RecurringFailureError, RunFolderError
from nasfuse.search.assignment import Assignment
from nasfuse.search.budget import Budget, End
from nasfuse.search.computed_costs import ComputedCosts
from nasfuse.search.counts import n_trained, n_unfinished
from nasfuse.search.deaths import Deaths
from nasfuse.search.failures import problem_of, recurring_failures, retry_failures, void_failures
from nasfuse.search.front import Objectives
from nasfuse.search.inheritance import WeightSources
from nasfuse.search.interrupted_trials import InterruptedTrials
from nasfuse.search.live_drivers import LiveDrivers
from nasfuse.search.observed_points import ObservedPoints
from nasfuse.search.optuna_internals import study_id_of, trial_id_of
from nasfuse.search.patience import Patience
from nasfuse.search.samplers import make_sampler
from nasfuse.search.space import Space
from nasfuse.search.stopping.rungs import Rungs
from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.suggestions import Draw, Suggestions
from nasfuse.search.swept_points import values_of
from nasfuse.search.trial import TrialView, TrialWriter
from nasfuse.search.trial_rows import OutdatedError
from nasfuse.search.views import trials_of
from nasfuse.search.visibility import DEFAULT_VISIBILITY_LAG, split_by_visibility, visibility_lag
from nasfuse.search.write_through import WriteThroughStorage
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig

#: Seconds after which the time that a search has taken is written again.
_BOOKED_EVERY_S = 1.0

#: Number of rejected draws in a row after which the search ends.
MAX_REJECTIONS = 500


class Exhausted(NasfuseError):
    """Raised when `MAX_REJECTIONS` suggestions in a row were rejected."""


class Scheduler:
    """Hands out the trials of a study, decides on early stopping, and records results in the study's storage.

    A process that schedules a study is a driver. The state of the study is in the storage: a trial that was running
    when its driver died is handed out again under the same number, with the same parameters and seed, so a continued
    study gives the same trials as one that was never interrupted. Several drivers may share a study (`drivers`): each
    draws the next trial from what all have done, and the storage takes it only if no other driver was faster.

    The parameters of a trial, its weight sources, and whether it is stopped depend on the results of earlier trainings,
    ended or not, except the last few: `visibility_lag` - 1 of them, and earlier ones that are expected to take much
    longer than those. Trials are therefore the same for any number of workers up to `visibility_lag`, however long
    trainings take.

    Attributes:
        saved_epochs: Returns the number of epochs from which the training of a trial can be resumed.
        take_begun: Returns whether the training of a trial had begun when its process died, and forgets it.
        designs: The hand-made designs of the study.
        exhausted: Whether every network of the space that may be trained was trained, and the front is confirmed.
    """

    def __init__(
        self,
        storage: BaseStorage,
        study: StudyConfig,
        space: Space,
        *,
        macs_of: Callable[[Recipe], int],
        reference: Callable[[], tuple[float, float]],
        full_macs_of: Callable[[Recipe], int] | None = None,
        check: Callable[[Recipe], None] | None = None,
        check_macs: Callable[[Recipe, int], None] | None = None,
        seconds_of: Callable[[Recipe, int], float] | None = None,
        fingerprint: str = "",
        saved_epochs: Callable[[int], int] = lambda _number: 0,
        take_begun: Callable[[int], bool] = lambda _number: True,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
        retry_failed: bool = False,
        drivers: LiveDrivers | None = None,
    ) -> None:
        """Opens the study in `storage`, or creates it.

        Args:
            storage: Storage of the study.
            study: Configuration of the study.
            space: Search space.
            macs_of: Returns the least MACs of a recipe's network.
            reference: Returns the reference point (metric, cost); called once, when the study is created.
            full_macs_of: Returns the MACs of the costliest route of a recipe's network; None: those of `macs_of`.
            check: Raises NasfuseError for a recipe whose training would fail before its first step; such recipes are
                recorded as failed without a training.
            check_macs: The same for a recipe that must not be trained because of the least MACs of its network.
            seconds_of: Returns the estimated seconds of the training of a recipe with these least MACs; None: the
                durations of trainings do not matter.
            fingerprint: Fingerprint of the data.
            saved_epochs: Returns the number of epochs from which the training of a trial can be resumed.
            take_begun: Returns whether the training of a trial had begun when its process died, and forgets it.
            clock: Returns the time in seconds since an arbitrary moment, for budgets in minutes.
            patience: Calls the storage, and again while it does not answer.
            retry_failed: Whether trainings that failed in earlier sessions are run again, before anything else.
            drivers: Drivers that share the study; None if this process is the only one.

        Raises:
            RunFolderError: The storage holds another study of this name, or one on other data or of another version of
                nasfuse.
        """
        self._config = study
        self._space = space
        self.saved_epochs, self.take_begun = saved_epochs, take_begun
        self._clock = clock
        self._full_macs_of = full_macs_of or macs_of
        self._full_macs: dict[str, int] = {}
        self._costs = ComputedCosts(
            space, macs_of, cost=study.cost, check=check, check_macs=check_macs, seconds_of=seconds_of
        )
        maximize = METRICS[study.objective].direction == "maximize"
        self._budget = Budget.from_config(study.budget)
        token = None if drivers is None else drivers.token
        self._storage = WriteThroughStorage(storage, study.name, patience=patience, driver=token)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=study.name,
            directions=["maximize" if maximize else "minimize", "minimize"],
            load_if_exists=True,
            sampler=make_sampler(study.sampler, 0),
        )
        self._attributes = StudyAttributes(self._study)
        self._attributes.claim_format()
        self._check_same("study", study.hash, "another study of this name; rename one or use another storage")
        self._check_same(
            "data",
            fingerprint,
            "trials on other data than these; name the file it began with, or start anew with another -o",
        )
        if self._attributes.reference is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                self._study.set_metric_names([study.objective, f"log10_{study.cost}"])
            self._attributes.reference = reference()
        self._attributes.max_macs = study.max_macs
        if study.select_by is not None:
            self._attributes.reported = study.metric
        if study.robust_metric is not None:
            self._attributes.robust_metric = study.robust_metric
        void_failures(self._study)
        if retry_failed:
            self._retry_failed()
        self._interrupted = InterruptedTrials(self._study, self._storage, drivers)
        self._suggestions = Suggestions(self._study, self._storage, study, space, costs=self._costs)
        self.designs = self._suggestions.designs
        self._rungs = Rungs(study)
        self._weight_sources = WeightSources(space, metric=study.objective) if study.inherit else None
        self._points = ObservedPoints(self._study, self._storage, study, space)
        self._earlier_s = self._attributes.seconds
        self._started: float | None = None
        self.exhausted = False

    def _retry_failed(self) -> None:
        try:
            retry_failures(self._study)
            self._storage.publish_all()
        except OutdatedError as error:
            raise RunFolderError(
                f"another search writes to study {self._config.name} while its failed trainings are enqueued; run the "
                "same command again"
            ) from error

    def _check_same(self, key: str, now: str, what: str) -> None:
        before = self._attributes.identity(key)
        if before is None:
            self._attributes.set_identity(key, now)
        elif before != now:
            raise RunFolderError(f"the storage of study {self._config.name} holds {what}")

    @property
    def seconds(self) -> float:
        """Wall-clock time since the first trial was handed out, over all sessions."""
        return self._earlier_s + (self._clock() - self._started if self._started is not None else 0.0)

    @property
    def objectives(self) -> Objectives:
        """Objectives of the study, with their reference point."""
        return Objectives.from_study(self._study)

    @property
    def visibility_lag(self) -> int:
        """Number of trainings that may be under way at once without changing the trials; constant over all sessions."""
        lag = self._attributes.visibility_lag
        return DEFAULT_VISIBILITY_LAG if lag is None else lag

    def fix_visibility_lag(self, *, workers: int) -> None:
        """Sets the visibility lag of a new study for this number of workers; an existing study keeps its own."""
        self._interrupted.refresh()
        if self._attributes.visibility_lag is None:
            self._attributes.visibility_lag = visibility_lag(workers=workers, n_trials=self._budget.trials)

    def wants_more(self, *, running: int) -> bool:
        """Returns whether the budget allows another trial beside the `running` ones of this driver and those of others.

        Trials that were interrupted began within the time of the study and are continued after it, for as long as those
        that run when it ends.
        """
        if self.exhausted:
            return False
        self._interrupted.refresh()
        trainings = self._trainings() + running + self._interrupted.n_elsewhere()
        seconds = 0.0 if self._interrupted.numbers() else self.seconds
        return self._budget.share(trainings=trainings, seconds=seconds) < 1

    @property
    def others_run(self) -> bool:
        """Whether trials run that other drivers have handed out."""
        return self._interrupted.others_run

    def _trainings(self) -> int:
        return n_trained(self.trials())

    def trials(self) -> list[TrialView]:
        """Returns all trials of the study, by number."""
        return trials_of(self._study)

    def next(self) -> Assignment | None:
        """Returns the next trial to train: one interrupted by the death of a driver, a baseline, or a suggestion.

        None if the next trial depends on a training that is still running, or if nothing is left to train (see
        `exhausted`) or no time. A draw that is too costly or cannot be trained is recorded as such, and another one is
        drawn.

        Raises:
            Exhausted: `MAX_REJECTIONS` draws in a row were rejected.
            RecurringFailureError: The last trainings failed for a reason that is not specific to their recipes.
            OutdatedError: Another driver was faster; `wants_more` reads what it has written.
        """
        self.check_failures()
        if self._started is None:
            self._started = self._clock()
        interrupted = self._interrupted.numbers()
        for number in interrupted:
            assignment = self._adopt(number)
            if assignment is not None:
                return assignment
        if interrupted and self._budget.share(trainings=0, seconds=self.seconds) >= 1:
            return None  # none of the interrupted trials could be continued, and there is no time for another
        visible, hidden = split_by_visibility(self.trials(), visibility_lag=self.visibility_lag)
        if n_unfinished(visible):
            return None
        for _ in range(MAX_REJECTIONS):
            self._points.add(visible)
            with self._storage.as_running([trial.number for trial in hidden]):
                draw = self._suggestions.draw(self.objectives, seconds=self.seconds)
            draw = draw or self._draw_after_the_last(hidden)
            if draw is None:
                return None
            assignment = self._accept(*draw, visible)
            if assignment is not None:
                return assignment
        raise Exhausted(
            f"{MAX_REJECTIONS} suggestions in a row were above max_macs {self._config.max_macs} or no valid networks; "
            "raise --max-macs or add cheaper choices to the space"
        )

    def _draw_after_the_last(self, hidden: Sequence[TrialView]) -> Draw | None:
        """Returns a repetition once every network was handed out; None if it must wait, or if none is left.

        The choice depends on the results of all first trainings and of the repetitions that are not hidden. Only when
        that gives none do all results count, after all trainings have ended. Repetitions are therefore the same for any
        number of workers.
        """
        for hides in ([trial.number for trial in hidden if trial.is_repetition], []):
            running = [trial.number for trial in self.trials() if trial.is_running]
            if not set(running) <= set(hides):
                return None
            with self._storage.as_running(hides):
                draw = self._suggestions.repeat(self.objectives)
            if draw is not None:
                return draw
        self.exhausted = True
        return None

    def check_failures(self) -> None:
        """Checks that the study does not end with recurring failures; call it also when the budget is spent.

        Raises:
            RecurringFailureError: The last trainings failed for a reason that is not specific to their recipes.
        """
        failures = recurring_failures(self.trials())
        if failures:
            number = failures[-1].number
            raise RecurringFailureError(
                f"{len(failures)} trainings in a row failed, the last (trial {number}) with: "
                f"{failures[-1].reason}; correct the cause and run the same command again, which "
                "does not count these trainings in the budget",
                trial=number,
            )

    def start_from_scratch(self, number: int, reason: str) -> None:
        """Records that trial `number` starts from scratch because its inherited weights could not be read."""
        self._writer(number).from_scratch(reason)

    def should_continue(self, number: int, *, epoch: int, metric: float) -> bool:
        """Returns whether trial `number` continues after `epoch`, one of its rungs; call `stop` if it does not."""
        trials = self.trials()
        visible, _ = split_by_visibility(trials, visibility_lag=self.visibility_lag, number=number)
        return self._rungs.passes(trials[number], visible, epoch=epoch, metric=metric)

    def stop(self, number: int, *, epoch: int, metric: float | None, out_of_time: bool = False) -> None:
        """Records that trial `number` was stopped after `epoch`, with its metric, if any; see `StoppedTraining`."""
        where = self._rungs.where_stopped(self._view(number), epoch=epoch, metric=metric, out_of_time=out_of_time)
        with self._storage.in_one_transaction():
            self._writer(number).stopped(where)
            self._end(number, state=TrialState.PRUNED)

    def release(self) -> None:
        """Records an orderly end of the driver, which does not count as a death of the running trials."""
        for number in self._interrupted.own():
            self.release_one(number)
        self._attributes.seconds = self.seconds

    def release_one(self, number: int) -> None:
        """Records that trial `number` is left to the next session, for which its driver has not died."""
        self._writer(number).released(True)

    def finish(self, number: int, measurements: Measurements) -> None:
        """Records the measurements of trial `number`; it fails if they have no point or a value that is not finite.

        The values of the trial are those of the first point, which its parameters describe. Operating points above the
        study's `max_macs` are recorded, but are not on the front.
        """
        problem = problem_of(measurements)
        if problem is not None:
            self.fail(number, problem)
            return
        with self._storage.in_one_transaction():
            self._writer(number).outcome(measurements)
            self._end(number, values_of(measurements.points[0], self._config.cost))

    def fail(self, number: int, reason: str) -> None:
        """Records that trial `number` failed for `reason`."""
        with self._storage.in_one_transaction():
            self._writer(number).reason(reason)
            self._end(number, state=TrialState.FAIL)

    def _end(self, number: int, values: list[float] | None = None, *, state: TrialState | None = None) -> None:
        reached = self._rungs.take(number)
        if reached:
            self._writer(number).rungs(reached)
        self._study.tell(number, values, state=state)
        if self.seconds - self._attributes.seconds >= _BOOKED_EVERY_S:
            self._attributes.seconds = self.seconds

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(study_id_of(self._study), number)

    def _view(self, number: int) -> TrialView:
        return self.trials()[number]

    def _writer(self, number: int) -> TrialWriter:
        return TrialWriter(self._storage, self._id(number))

    def _accept(self, trial: Trial, parameters: dict[str, Any], visible: Sequence[TrialView] = ()) -> Assignment | None:
        drawn = self._view(trial.number)
        try:
            recipe = self._space.recipe(parameters)
            macs = drawn.macs if drawn.has_recipe else self._costs.least(recipe)  # limits may be others by now
        except NasfuseError as error:
            self.fail(trial.number, f"no valid network: {error}")
            return None
        writer = TrialWriter(self._storage, trial_id_of(trial))
        if recipe.network.router is not None and recipe.hash not in self._full_macs:  # that of a repetition is there
            self._full_macs[recipe.hash] = self._full_macs_of(recipe)
        writer.recipe(recipe, macs=macs, full_macs=self._full_macs.get(recipe.hash))
        if (limit := self._config.max_macs) is not None and macs > limit:
            trial.set_constraint("max_macs", macs - limit)
            writer.reason(f"{macs} MACs are above max_macs {limit}")
            self._study.tell(trial.number, state=TrialState.PRUNED)
            return None
        if self._costs.estimates_seconds and not drawn.has_recipe:
            writer.expected_s(self._costs.seconds(parameters))
        if self._weight_sources is not None and not (
            drawn.is_baseline or drawn.is_repetition or drawn.has_weight_sources
        ):
            writer.weight_sources(self._weight_sources.choose(recipe, visible))
            drawn = self._view(trial.number)
        self._storage.publish(trial_id_of(trial))
        left_s = partial(self._budget.left_s, seconds=self.seconds)
        return Assignment(
            trial.number,
            derive_seed(self._config.seed, "trial", trial.number),
            recipe,
            division=drawn.division,
            baseline=drawn.baseline,
            rungs=() if drawn.is_repetition else self._rungs.epochs_of(recipe),
            inherited={} if drawn.lost_inheritance else drawn.weight_sources,
            overdue_s=left_s(End.STOPPED),
            ends_s=None if drawn.is_repetition else left_s(End.SHORTENED),
            killed_s=left_s(End.KILLED),
        )

    def _adopt(self, number: int) -> Assignment | None:
        """Returns the assignment of a trial that was running when its driver ended; None if it has failed.

        The death of the driver counts for the trials whose training had begun.
        """
        self._interrupted.claim(number)
        has_begun = self.take_begun(number)
        if self._view(number).is_released:
            self._writer(number).released(False)
        elif has_begun and not self._survives(number, Deaths(of_driver=1)):
            return None
        trial = Trial(self._study, self._id(number))
        return self._accept(trial, self._space.suggest(trial))

    def retry(self, number: int) -> bool:
        """Records that the worker of trial `number` died in its training; returns whether the trial runs again."""
        return self._survives(number, Deaths(of_worker=1))

    def _survives(self, number: int, new: Deaths) -> bool:
        """Records a death in the training of a trial, and its failure if there were too many without progress.

        A checkpoint saved since the last death sets the counts to zero, so that a training can finish on machines that
        are often lost.
        """
        trial, writer = self._view(number), self._writer(number)
        saved, deaths = self.saved_epochs(number), trial.deaths + new
        if saved > trial.saved_epochs:
            writer.saved_epochs(saved)
            deaths = Deaths()
        if deaths.too_many is not None:
            self.fail(number, deaths.too_many)
            return False
        writer.deaths(deaths)
        return True
