"""The ledger of a study: what is asked of Optuna and told to it. One process writes, the driver."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState

from nasfuse.domain.metric import METRICS
from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import NasfuseError, RecurringFailureError, RunFolderError
from nasfuse.search.budget import Budget
from nasfuse.search.failures import recurring_failures, void_failures
from nasfuse.search.front import Objectives
from nasfuse.search.inheritance import Donors
from nasfuse.search.network_costs import NetworkCosts
from nasfuse.search.optuna_internals import study_id_of, trial_id_of
from nasfuse.search.samplers import make_sampler
from nasfuse.search.space import Space
from nasfuse.search.stopping.rungs import Rungs
from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.suggestions import Draw, Suggestions
from nasfuse.search.swept_points import observations_of, values_of
from nasfuse.search.trial import TrialView, TrialWriter, enqueue_baseline, trials_of
from nasfuse.search.visibility import LAG, by_visibility, lag_of
from nasfuse.search.write_through import Mirror
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig

#: Times that the process of a trial, its worker or the driver, may die without progress before the trial has failed.
MAX_ATTEMPTS = 3

#: Candidates in a row that may be too costly before the search gives up.
MAX_REJECTIONS = 500


@dataclass(frozen=True)
class Assignment:
    """A trial to be trained.

    Attributes:
        number: Of the trial.
        seed: Of its training; depends on the study's seed and the number alone.
        recipe: What to train.
        cut: Division into train and val: 0, and counting up for repetitions of one recipe.
        baseline: Name of the hand-made design, None for a suggestion.
        rungs: Epochs after which its metric is wanted.
        inherited: Stream to the number of the trial from whose weights it starts; all others start at random.
    """

    number: int
    seed: int
    recipe: Recipe
    cut: int = 0
    baseline: str | None = None
    rungs: tuple[int, ...] = ()
    inherited: Mapping[str, int] = field(default_factory=dict)


class Exhausted(NasfuseError):
    """No candidate below the MACs limit was found in `MAX_REJECTIONS` suggestions."""


class Ledger:
    """Asks Optuna for trials, tells it their results, and survives the death of its process.

    Everything is in the storage. A trial that was running when a driver died is handed out again under the
    same number, with the same parameters and seed, so a continued study equals an unbroken one.

    What is decided for a trial, its suggestion, its donors and whether it is stopped, depends on the results of the
    trainings before it but the last few (the study's lag), whether those are there or not. So trials are the same for
    any number of workers up to the lag, however long trainings take; with one worker, suggestions know a little less
    than they could.
    """

    def __init__(
        self,
        storage: BaseStorage,
        study: StudyConfig,
        space: Space,
        *,
        macs_of: Callable[[Recipe], int],
        reference: Callable[[], tuple[float, float]],
        check: Callable[[Recipe], None] | None = None,
        fingerprint: str = "",
        saved_epochs: Callable[[int], int] = lambda _number: 0,
    ) -> None:
        """Opens the study in `storage`, or starts it.

        Args:
            storage: Where the study lives.
            study: What was asked.
            space: What to suggest.
            macs_of: MACs of a recipe, known without training.
            reference: Called once, when the study starts, for its reference point (metric, cost).
            check: Raises NasfuseError for a recipe whose training would fail before its first step; such recipes are
                refused without a training.
            fingerprint: Of the data.
            saved_epochs: Returns after how many epochs the training of a trial can be resumed.

        Raises:
            RunFolderError: The storage holds another study of this name, or one of other data.
        """
        self._config = study
        self._space = space
        self._saved_epochs = saved_epochs
        self._costs = NetworkCosts(space, macs_of, cost=study.cost, check=check)
        maximize = METRICS[study.metric].direction == "maximize"
        self._budget = Budget.from_config(study.budget)
        self._mirror = Mirror(storage, study.name)
        self._study = optuna.create_study(
            storage=self._mirror,
            study_name=study.name,
            directions=["maximize" if maximize else "minimize", "minimize"],
            load_if_exists=True,
            sampler=make_sampler(study.sampler, 0),
        )
        self._attributes = StudyAttributes(self._study)
        self._check_same("study", study.hash, "another study of this name; rename one or use another storage")
        self._check_same(
            "data",
            fingerprint,
            "trials on other data than these; name the file it began with, or start anew with another -o",
        )
        if self._attributes.reference is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                self._study.set_metric_names([study.metric, f"log10_{study.cost}"])
            self._attributes.reference = reference()
        void_failures(self._study)
        begun = {trial.baseline for trial in self.trials() if not trial.is_void}
        for name, parameters in space.baselines.items():
            if name not in begun:
                enqueue_baseline(self._study, parameters, name=name)
        self._orphans = [trial.number for trial in self.trials() if trial.is_running]
        self._suggestions = Suggestions(self._study, self._mirror, study, space, costs=self._costs)
        self._rungs = Rungs(study)
        self._donors = Donors(space, metric=study.metric) if study.inherit else None
        self._observed: set[int] = set()
        self._points = {(trial.point_of, trial.point_index) for trial in self.trials() if trial.is_operating_point}
        self._earlier_s = self._attributes.seconds
        self._started: float | None = None
        #: Whether every network of the space that may be trained was trained, and the front is confirmed.
        self.exhausted = False

    def _check_same(self, key: str, now: str, what: str) -> None:
        before = self._attributes.identity(key)
        if before is None:
            self._attributes.set_identity(key, now)
        elif before != now:
            raise RunFolderError(f"the storage of study {self._config.name} holds {what}")

    @property
    def seconds(self) -> float:
        """Wall-clock time since the first trial was handed out, over all sessions."""
        return self._earlier_s + (time.monotonic() - self._started if self._started is not None else 0.0)

    @property
    def objectives(self) -> Objectives:
        """The study's objectives with their reference point."""
        return objectives_of(self._study)

    @property
    def lag(self) -> int:
        """Trainings that may be under way, the same in all sessions."""
        lag = self._attributes.visibility_lag
        return LAG if lag is None else lag

    def fix_lag(self, *, workers: int) -> None:
        """Makes room for `workers`, see `lag_of`; only where the study has not begun."""
        if self._attributes.visibility_lag is None:
            self._attributes.visibility_lag = lag_of(workers=workers, n_trials=self._budget.trials)

    def wants_more(self, *, running: int) -> bool:
        """Returns whether a further trial should start beside those that run."""
        if self.exhausted:
            return False
        return self._budget.share(trainings=self._trainings() + running, seconds=self.seconds) < 1

    def _trainings(self) -> int:
        return sum(trial.was_trained for trial in self.trials())

    def trials(self) -> list[TrialView]:
        """Returns all trials of the study, by number."""
        return trials_of(self._study)

    def next(self) -> Assignment | None:
        """Returns the next trial to train: an orphan of a dead driver, a baseline, or a suggestion.

        None where a training runs that the next trial depends on, or where nothing is left to train (`exhausted`). A
        candidate that is too costly or cannot be trained is recorded as such and the next one is taken.

        Raises:
            Exhausted: Every one of many suggestions was too costly.
            RecurringFailureError: The last trainings failed, for a reason that lies in none of them.
        """
        self._check_failures()
        if self._started is None:
            self._started = time.monotonic()
        while self._orphans:
            assignment = self._adopt(self._orphans.pop(0))
            if assignment is not None:
                return assignment
        visible, hidden = by_visibility(self.trials(), lag=self.lag)
        if not all(trial.is_finished for trial in visible):
            return None
        for _ in range(MAX_REJECTIONS):
            self._observe(visible)
            with self._mirror.as_running([trial.number for trial in hidden]):
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
        """Returns a repetition where every network was handed out; None where it must wait, or where none is left.

        It depends on the results of all first trainings, and of repetitions as far as they are not hidden; that none is
        left depends on all results. So the repetitions, too, are the same for any number of workers.
        """
        for hides in ([trial.number for trial in hidden if trial.is_repetition], []):
            running = [trial.number for trial in self.trials() if trial.is_running]
            if not set(running) <= set(hides):
                return None
            with self._mirror.as_running(hides):
                draw = self._suggestions.repeat(self.objectives)
            if draw is not None:
                return draw
        self.exhausted = True
        return None

    def _check_failures(self) -> None:
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
        """Records that trial `number` could not have the weights it was to inherit, and why."""
        self._writer(number).from_scratch(reason)

    def goes_on(self, number: int, *, epoch: int, metric: float) -> bool:
        """Returns whether trial `number` goes on after `epoch`, one of its rungs; call `stop` if it does not."""
        trials = self.trials()
        visible, _ = by_visibility(trials, lag=self.lag, number=number)
        return self._rungs.goes_on(trials[number], visible, epoch=epoch, metric=metric)

    def stop(self, number: int, *, epoch: int, metric: float) -> None:
        """Records that trial `number` was stopped after `epoch`, and what it had reached there."""
        self._writer(number).stopped(self._rungs.where_stopped(self.trials()[number], epoch=epoch, metric=metric))
        self._end(number, state=TrialState.PRUNED)

    def release(self) -> None:
        """Records an orderly end: it does not count as a death of the processes of the trials that run."""
        for trial in self.trials():
            if trial.is_running and trial.number not in self._orphans:
                self._writer(trial.number).attempts(trial.attempts - 1)
        self._book_time()

    def finish(self, number: int, measurements: Measurements) -> None:
        """Records what trial `number` measured; without a point, or with a value that is not finite, it failed.

        Operating points above the study's `max_macs` are no answer to it and are left out.
        """
        problem = _problem_of(measurements)
        if problem is not None:
            self.fail(number, problem)
            return
        limit = self._config.max_macs
        kept = [point for point in measurements.points if point.holds and (limit is None or point.macs <= limit)]
        main = kept[0] if kept else measurements.points[0]
        # A point that is left out keeps its place, as points of repeated trainings are matched by it.
        points = [point if point in kept or point is main or not point.holds else None for point in measurements.points]
        self._writer(number).outcome(points, measurements.record)
        self._end(number, values_of(main, self._config.cost))

    def fail(self, number: int, reason: str) -> None:
        """Records that trial `number` has no result, and why; the search goes on."""
        self._writer(number).reason(reason)
        self._end(number, state=TrialState.FAIL)

    def _end(self, number: int, values: list[float] | None = None, *, state: TrialState | None = None) -> None:
        reached = self._rungs.take(number)
        if reached:
            self._writer(number).rungs(reached)
        self._study.tell(number, values, state=state)
        self._book_time()

    def _book_time(self) -> None:
        self._attributes.seconds = self.seconds

    def _observe(self, visible: list[TrialView]) -> None:
        """Adds the operating points of trainings that have become visible, as trials of their own.

        Not while hand-made designs wait: they have their numbers already, and are in the storage only when they start.
        """
        trials = self.trials()
        if any(trial.is_waiting for trial in trials):
            return
        for training in visible:
            if training.is_complete and training.number not in self._observed:
                self._observed.add(training.number)
                self._add_points(training)

    def _add_points(self, training: TrialView) -> None:
        for point in observations_of(training, self._space, metric=self._config.metric, cost=self._config.cost):
            if (training.number, TrialView(point).point_index) not in self._points:
                self._study.add_trial(point)
                self._mirror.publish(self._id(len(self.trials()) - 1))

    def _id(self, number: int) -> int:
        return self._mirror.get_trial_id_from_study_id_trial_number(study_id_of(self._study), number)

    def _view(self, number: int) -> TrialView:
        return self.trials()[number]

    def _writer(self, number: int) -> TrialWriter:
        return TrialWriter(self._mirror, self._id(number))

    def _accept(self, trial: Trial, parameters: dict[str, Any], visible: Sequence[TrialView] = ()) -> Assignment | None:
        try:
            recipe = self._space.recipe(parameters)
            macs = self._costs.least(recipe)
        except NasfuseError as error:
            self.fail(trial.number, f"no valid network: {error}")
            return None
        writer = TrialWriter(self._mirror, trial_id_of(trial))
        writer.recipe(recipe, macs=macs)
        limit = self._config.max_macs
        if limit is not None and macs > limit:
            trial.set_constraint("max_macs", macs - limit)
            writer.reason(f"{macs} MACs are above max_macs {limit}")
            self._study.tell(trial.number, state=TrialState.PRUNED)
            return None
        drawn = self._view(trial.number)
        if self._donors is not None and not (drawn.is_baseline or drawn.is_repetition or drawn.has_weight_sources):
            writer.weight_sources(self._donors.of(recipe, visible))
            drawn = self._view(trial.number)
        self._mirror.publish(trial_id_of(trial))
        return Assignment(
            trial.number,
            derive_seed(self._config.seed, "trial", trial.number),
            recipe,
            cut=drawn.split,
            baseline=drawn.baseline,
            rungs=() if drawn.is_repetition else self._rungs.of(recipe),
            inherited={} if drawn.lost_inheritance else drawn.weight_sources,
        )

    def _adopt(self, number: int) -> Assignment | None:
        """Takes over a trial that was running when its driver ended, None where that happened too often."""
        if not self.retry(number):
            return None
        trial = Trial(self._study, self._id(number))
        return self._accept(trial, self._space.suggest(trial))

    def retry(self, number: int) -> bool:
        """Counts a death of the process of trial `number`; returns whether to run it again, else it has failed.

        Deaths count in a row: progress that was saved since the last one starts the count anew, so that a training
        longer than its machines live ends nevertheless.
        """
        trial, writer = self._view(number), self._writer(number)
        saved = self._saved_epochs(number)
        attempts = trial.attempts + 1
        if saved > trial.saved_epochs:
            writer.saved_epochs(saved)
            attempts = 1
        if attempts > MAX_ATTEMPTS:
            self.fail(number, f"its process died {MAX_ATTEMPTS} times without progress")
            return False
        writer.attempts(attempts)
        return True


def _problem_of(measurements: Measurements) -> str | None:
    if not measurements.points:
        return "it measured no operating point"
    for point in [point for point in measurements.points if point.holds]:
        for name, value in point.to_plain().items():
            if isinstance(value, int | float) and not math.isfinite(value):
                return f"the measurements are not finite: {name} is {value}"
    return None


def objectives_of(study: optuna.Study) -> Objectives:
    """Returns the objectives that were written when the study started.

    Raises:
        RunFolderError: The study has not got that far.
    """
    names, reference = study.metric_names, StudyAttributes(study).reference
    if names is None or reference is None:
        raise RunFolderError("the study has not started yet; run the search first")
    return Objectives(names[0], names[1].removeprefix("log10_"), reference)
