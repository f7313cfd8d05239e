"""The ledger of a study: what is asked of Optuna and told to it. One process writes, the driver."""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from nasfuse.config.measurement import Measurements
from nasfuse.config.metric import METRICS
from nasfuse.config.recipe import Recipe
from nasfuse.config.study import StudyConfig
from nasfuse.errors import NasfuseError, RunFolderError
from nasfuse.search.front import Objectives
from nasfuse.search.samplers import make_sampler
from nasfuse.search.space import Space
from nasfuse.seeds import derive_seed

#: How often a trial whose worker or driver died is run again before it counts as failed.
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
        baseline: Name of the hand-made design, None for a suggestion.
    """

    number: int
    seed: int
    recipe: Recipe
    baseline: str | None = None


class Exhausted(NasfuseError):
    """No candidate below the MACs limit was found in `MAX_REJECTIONS` suggestions."""


class Ledger:
    """Asks Optuna for trials, tells it their results, and survives the death of its process.

    Everything is in the storage. A trial that was running when a driver died is handed out again under the
    same number, with the same parameters and seed, so a continued study equals an unbroken one.
    """

    def __init__(
        self,
        storage: BaseStorage,
        study: StudyConfig,
        space: Space,
        *,
        macs_of: Callable[[Recipe], int],
        reference: Callable[[], tuple[float, float]],
    ) -> None:
        """Opens the study in `storage`, or starts it.

        Args:
            storage: Where the study lives.
            study: What was asked.
            space: What to suggest.
            macs_of: MACs of a recipe, known without training.
            reference: Called once, when the study starts, for its reference point (metric, cost).
        """
        self._config = study
        self._space = space
        self._macs_of = macs_of
        maximize = METRICS[study.metric].direction == "maximize"
        self._study = optuna.create_study(
            storage=storage,
            study_name=study.name,
            directions=["maximize" if maximize else "minimize", "minimize"],
            load_if_exists=True,
            sampler=make_sampler(study.sampler, 0),
        )
        if "reference" not in self._study.user_attrs:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                self._study.set_metric_names([study.metric, f"log10_{study.cost}"])
            for name, parameters in space.baselines.items():
                self._study.enqueue_trial(parameters, user_attrs={"baseline": name}, skip_if_exists=True)
            self._study.set_user_attr("reference", list(reference()))
        self._orphans = [t.number for t in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
        self._earlier_s = float(self._study.user_attrs.get("seconds", 0.0))
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Wall-clock time since the first trial was handed out, over all sessions."""
        return self._earlier_s + (time.monotonic() - self._started if self._started is not None else 0.0)

    @property
    def objectives(self) -> Objectives:
        """The study's objectives with their reference point."""
        return objectives_of(self._study)

    def trials(self) -> list[FrozenTrial]:
        """Returns all trials of the study."""
        return self._study.get_trials(deepcopy=False)

    def next(self) -> Assignment:
        """Returns the next trial to train: an orphan of a dead driver, a baseline, or a suggestion.

        A candidate that is too costly or no valid network is recorded as such and the next one is taken.

        Raises:
            Exhausted: Every one of many suggestions was too costly.
        """
        if self._started is None:
            self._started = time.monotonic()
        while self._orphans:
            assignment = self._adopt(self._orphans.pop(0))
            if assignment is not None:
                return assignment
        for _ in range(MAX_REJECTIONS):
            self._study.sampler = make_sampler(
                self._config.sampler, derive_seed(self._config.seed, "sampler", len(self.trials()))
            )
            start = time.perf_counter()
            trial = self._study.ask()
            parameters = self._space.suggest(trial)
            trial.set_user_attr("suggestion_s", round(time.perf_counter() - start, 5))
            assignment = self._accept(trial, parameters)
            if assignment is not None:
                return assignment
        raise Exhausted(
            f"{MAX_REJECTIONS} suggestions in a row were above max_macs {self._config.max_macs} or no valid networks; "
            "raise --max-macs or add cheaper choices to the space"
        )

    def finish(self, number: int, measurements: Measurements) -> None:
        """Records what trial `number` measured; a value that is not finite makes it failed."""
        main = measurements.points[0]
        values = [main.metric, math.log10(max(getattr(main, self._config.cost), 1e-9))]
        if not all(math.isfinite(value) for value in values):
            self.fail(number, f"the measurements are not finite: {self._config.metric} {main.metric}")
            return
        plain = measurements.to_plain()
        self._set(number, "points", plain["points"])
        self._set(number, "record", plain["record"])
        self._study.tell(number, values)
        self._study.set_user_attr("seconds", round(self.seconds, 2))

    def fail(self, number: int, reason: str) -> None:
        """Records that trial `number` has no result, and why; the search goes on."""
        self._set(number, "reason", reason)
        self._study.tell(number, state=TrialState.FAIL)

    def _set(self, number: int, key: str, value: Any) -> None:
        storage = self._study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        storage.set_trial_user_attr(trial_id, key, value)

    def _accept(self, trial: Trial, parameters: dict[str, Any]) -> Assignment | None:
        try:
            recipe = self._space.recipe(parameters)
            macs = self._macs_of(recipe)
        except NasfuseError as error:
            self.fail(trial.number, f"no valid network: {' '.join(str(error).split())}")
            return None
        trial.set_user_attr("summary", recipe.summary)
        trial.set_user_attr("recipe_hash", recipe.hash)
        trial.set_user_attr("macs", macs)
        limit = self._config.max_macs
        if limit is not None and macs > limit:
            trial.set_constraint("max_macs", macs - limit)
            trial.set_user_attr("reason", f"{macs} MACs are above max_macs {limit}")
            self._study.tell(trial.number, state=TrialState.PRUNED)
            return None
        seed = derive_seed(self._config.seed, "trial", trial.number)
        return Assignment(trial.number, seed, recipe, trial.user_attrs.get("baseline"))

    def _adopt(self, number: int) -> Assignment | None:
        """Takes over a trial that was running when its driver died."""
        trial_id = self._study._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        trial = Trial(self._study, trial_id)
        attempts = int(trial.user_attrs.get("attempts", 1)) + 1
        if attempts > MAX_ATTEMPTS:
            self.fail(number, f"its process died {MAX_ATTEMPTS} times")
            return None
        trial.set_user_attr("attempts", attempts)
        return self._accept(trial, self._space.suggest(trial))


def objectives_of(study: optuna.Study) -> Objectives:
    """Returns the objectives that were written when the study started.

    Raises:
        RunFolderError: The study has not got that far.
    """
    names, reference = study.metric_names, study.user_attrs.get("reference")
    if names is None or reference is None:
        raise RunFolderError("the study has not started yet; run the search first")
    return Objectives(names[0], names[1].removeprefix("log10_"), (reference[0], reference[1]))
