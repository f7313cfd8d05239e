"""Trials of a study: what Optuna stores about one, and the user attributes that nasfuse adds to it.

This is the only module that knows the keys of these attributes and the form of their values in the storage.
"""

import copy
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.search.deaths import Deaths
from nasfuse.search.stopped_training import StoppedTraining
from nasfuse.spec.recipe import Recipe

# Written when a trial is enqueued or drawn.
_BASELINE = "baseline"
_REPEAT_OF = "repeat_of"
_DIVISION = "division"
_SUGGESTION_S = "suggestion_s"
_FALLBACK = "fallback"
_SUMMARY = "summary"
_RECIPE_HASH = "recipe_hash"
_MACS = "macs"
_FULL_MACS = "full_macs"
_EPOCHS = "epochs"
_EXPECTED_S = "expected_s"
_INHERITED = "inherited"
# Of a trial that is an operating point of an earlier training.
_POINT_OF = "point_of"
_POINT = "point"
#: Token of the driver that runs the trial, where several drivers share a study.
DRIVER = "driver"

# Written while a training runs, or when it ends.
_DEATHS = "deaths"
_RELEASED = "released"
_SAVED_EPOCHS = "saved_epochs"
_FROM_SCRATCH = "from_scratch"
_RUNGS = "rungs"
_STOPPED = "stopped"
_REASON = "reason"
_POINTS = "points"
_RECORD = "record"

#: Attributes that are the outcome of a training; a trial whose result is hidden is shown without them.
_OUTCOME = frozenset({_POINTS, _RECORD, _RUNGS, _STOPPED, _REASON, _FROM_SCRATCH})

#: Attributes that say why a training takes place.
_ORIGIN = (_BASELINE, _REPEAT_OF, _DIVISION)

#: Characters after which a reason is cut off.
_LONGEST_REASON = 1000


@dataclass(frozen=True, eq=False)
class TrialView:
    """Read-only, typed view of one trial; two views are equal if they are the same object.

    A trial is a training (suggested, hand-made, or a repetition of an earlier one), an operating point of an earlier
    training, or a draw that was never trained: its parameters are no valid network, or the network is too costly.

    Attributes:
        frozen: The trial as Optuna stores it.
        is_void: Whether the trial counts as if it had never been handed out: it is one of the recurring failures that
            ended an earlier session.
    """

    frozen: FrozenTrial
    is_void: bool = False

    @cached_property
    def number(self) -> int:
        """Position in the study, counting from 0."""
        return self.frozen.number

    @property
    def params(self) -> dict[str, Any]:
        """Parameters by name."""
        return self.frozen.params

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Distributions of the parameters by name."""
        return self.frozen.distributions

    @property
    def metric(self) -> float:
        """Value of the study's metric; for complete trials only."""
        return float(self.frozen.values[0])

    @property
    def log_cost(self) -> float:
        """log10 of the study's cost; for complete trials only."""
        return float(self.frozen.values[1])

    @cached_property
    def is_waiting(self) -> bool:
        """Whether the trial is enqueued and has not been handed out."""
        return self.frozen.state is TrialState.WAITING

    @cached_property
    def is_running(self) -> bool:
        """Whether the trial was handed out and has not ended, as far as that is visible."""
        return self.frozen.state is TrialState.RUNNING

    @cached_property
    def is_complete(self) -> bool:
        """Whether the trial has ended with a result."""
        return self.frozen.state is TrialState.COMPLETE

    @cached_property
    def is_failed(self) -> bool:
        """Whether the trial has ended without a result."""
        return self.frozen.state is TrialState.FAIL

    @cached_property
    def is_stopped(self) -> bool:
        """Whether the training was stopped before its end, by early stopping or because the time was over."""
        return self.frozen.state is TrialState.PRUNED and _STOPPED in self._attributes

    @cached_property
    def is_out_of_time(self) -> bool:
        """Whether the training was stopped because the time of the study was over, not by a comparison at a rung."""
        return (stopped := self.stopped) is not None and stopped.out_of_time

    @cached_property
    def is_over_max_macs(self) -> bool:
        """Whether the trial was rejected, untrained, because its network has more MACs than the study allows."""
        return self.frozen.state is TrialState.PRUNED and _STOPPED not in self._attributes

    @cached_property
    def is_finished(self) -> bool:
        """Whether the trial has ended, with or without a result."""
        return self.frozen.state.is_finished()

    @cached_property
    def is_operating_point(self) -> bool:
        """Whether the trial is an operating point of an earlier training, not a training of its own."""
        return _POINT_OF in self._attributes

    @cached_property
    def is_baseline(self) -> bool:
        """Whether the trial is a hand-made design, or a repetition of one."""
        return _BASELINE in self._attributes

    @cached_property
    def is_repetition(self) -> bool:
        """Whether the trial repeats an earlier training to confirm its result."""
        return _REPEAT_OF in self._attributes

    @cached_property
    def is_inherited(self) -> bool:
        """Whether streams of the training, or of that of an operating point, started from weights of earlier ones."""
        return bool(self._attributes.get(_INHERITED)) and not self.lost_inheritance

    @cached_property
    def was_handed_out(self) -> bool:
        """Whether the trial was given to a worker; rejected draws and void trials were not."""
        return self.has_recipe and not self.is_over_max_macs and not self.is_void

    @cached_property
    def was_trained(self) -> bool:
        """Whether the trial has used budget: it was handed out and has ended, complete, failed or stopped."""
        return self.is_finished and self.was_handed_out

    @cached_property
    def baseline(self) -> str | None:
        """Name of the hand-made design; None for a suggestion."""
        return self._attributes.get(_BASELINE)

    @property
    def repeat_of(self) -> int | None:
        """Number of the training that this one repeats; None for a first training."""
        return self._attributes.get(_REPEAT_OF)

    @property
    def division(self) -> int:
        """Index of the division of the data into train and val: 0 for a first training, counting up for repetitions."""
        return int(self._attributes.get(_DIVISION, 0))

    @cached_property
    def has_recipe(self) -> bool:
        """Whether the trial's parameters are a valid network; the properties below need that."""
        return _RECIPE_HASH in self._attributes

    @cached_property
    def recipe_hash(self) -> str:
        """Hash of the recipe."""
        return str(self._attributes[_RECIPE_HASH])

    @property
    def summary(self) -> str:
        """The network in one line."""
        return str(self._attributes[_SUMMARY])

    @property
    def macs(self) -> int:
        """Least MACs that the network can have, known before training."""
        return int(self._attributes[_MACS])

    @property
    def full_macs(self) -> int:
        """MACs of the costliest route, known before training; those of the network if it has a single route."""
        return int(self._attributes.get(_FULL_MACS, self._attributes[_MACS]))

    @property
    def full_metric(self) -> float:
        """Metric of a complete training with the costliest of its routes; of a network with one route its metric."""
        is_routed = _FULL_MACS in self._attributes
        return max(self.points, key=lambda point: point.macs).metric if is_routed else self.metric

    @property
    def epochs(self) -> int:
        """Epochs that the recipe asks for, of all folds."""
        return int(self._attributes[_EPOCHS])

    @cached_property
    def expected_s(self) -> float | None:
        """Seconds that the training was expected to take; None where that does not matter."""
        return self._attributes.get(_EXPECTED_S)

    @property
    def has_weight_sources(self) -> bool:
        """Whether it was decided from which trainings the trial inherits weights; the answer may be none."""
        return _INHERITED in self._attributes

    @property
    def weight_sources(self) -> dict[str, int]:
        """Stream to the number of the trial whose weights it was assigned."""
        return dict(self._attributes.get(_INHERITED, {}))

    @property
    def lost_inheritance(self) -> bool:
        """Whether the assigned weights could not be read, so that all streams started at random."""
        return _FROM_SCRATCH in self._attributes

    @property
    def point_of(self) -> int | None:
        """Number of the training that the operating point belongs to; None for a training."""
        return self._attributes.get(_POINT_OF)

    @property
    def point_index(self) -> int | None:
        """Index of the operating point among those of its training; None for a training."""
        return self._attributes.get(_POINT)

    @property
    def driver(self) -> str | None:
        """Token of the driver that runs the trial; None where a study has one driver at a time."""
        return self._attributes.get(DRIVER)

    @property
    def deaths(self) -> Deaths:
        """Deaths of its processes since it last made progress."""
        return Deaths(**self._attributes.get(_DEATHS, {}))

    @property
    def is_released(self) -> bool:
        """Whether the last driver of the trial ended in order."""
        return bool(self._attributes.get(_RELEASED, False))

    @property
    def saved_epochs(self) -> int:
        """Epochs in the newest checkpoint that an interrupted training was resumed from."""
        return int(self._attributes.get(_SAVED_EPOCHS, 0))

    @cached_property
    def rungs(self) -> dict[int, float]:
        """Epoch to the metric after it, for each rung at which the training was compared with others."""
        return {int(epoch): metric for epoch, metric in self._attributes.get(_RUNGS, {}).items()}

    @property
    def stopped(self) -> StoppedTraining | None:
        """State of the training when it was stopped; None for one that was not."""
        plain = self._attributes.get(_STOPPED)
        return None if plain is None else StoppedTraining(**plain)

    @property
    def reason(self) -> str:
        """Why the trial failed or was rejected; empty otherwise."""
        return str(self._attributes.get(_REASON, ""))

    @cached_property
    def points(self) -> tuple[OperatingPoint, ...]:
        """Operating points of a complete training, the network's own setting first."""
        return tuple(OperatingPoint(**plain) for plain in self._attributes[_POINTS])

    @property
    def record(self) -> Mapping[str, Any] | None:
        """Seed, versions, device, times and epochs of a complete training; None for all other trials."""
        return self._attributes.get(_RECORD)

    @property
    def fallback(self) -> str | None:
        """Why another sampler than the study's drew the trial; None where the study's own did."""
        return self._attributes.get(_FALLBACK)

    @cached_property
    def suggestion_s(self) -> float | None:
        """Seconds that the sampler took; None where no sampler was asked."""
        return self._attributes.get(_SUGGESTION_S)

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        return self.frozen.user_attrs


class TrialWriter:
    """Writes the user attributes of one trial."""

    def __init__(self, storage: BaseStorage, trial_id: int) -> None:
        """Writes to the trial with the identifier `trial_id` in `storage`."""
        self._storage = storage
        self._trial_id = trial_id

    def baseline(self, name: str) -> None:
        """Writes the name of the hand-made design whose parameters the trial has."""
        self._write(_BASELINE, name)

    def recipe(self, recipe: Recipe, *, macs: int, full_macs: int | None = None) -> None:
        """Writes what the trial's parameters describe, the least MACs of the network and those of its costliest route.

        Args:
            recipe: The recipe.
            macs: Least MACs of the network.
            full_macs: MACs of the costliest route; None for a network with one route.
        """
        self._write(_SUMMARY, recipe.summary)
        self._write(_RECIPE_HASH, recipe.hash)
        self._write(_MACS, macs)
        if full_macs is not None:
            self._write(_FULL_MACS, full_macs)
        self._write(_EPOCHS, recipe.n_epochs)

    def expected_s(self, seconds: float) -> None:
        """Writes the seconds that the training is expected to take."""
        self._write(_EXPECTED_S, seconds)

    def weight_sources(self, sources: Mapping[str, int]) -> None:
        """Writes stream to the number of the trial whose weights it starts from."""
        self._write(_INHERITED, dict(sources))

    def from_scratch(self, reason: str) -> None:
        """Writes why the weights of other trials could not be read."""
        self._write(_FROM_SCRATCH, _shortened(reason))

    def suggestion_s(self, seconds: float) -> None:
        """Writes how long the sampler took."""
        self._write(_SUGGESTION_S, round(seconds, 5))

    def fallback(self, reason: str) -> None:
        """Writes why another sampler than the study's drew the trial."""
        self._write(_FALLBACK, reason)

    def deaths(self, deaths: Deaths) -> None:
        """Writes how often its processes died since it last made progress."""
        self._write(_DEATHS, asdict(deaths))

    def released(self, is_released: bool) -> None:
        """Writes whether its driver ended in order."""
        self._write(_RELEASED, is_released)

    def saved_epochs(self, count: int) -> None:
        """Writes how many epochs the newest checkpoint holds."""
        self._write(_SAVED_EPOCHS, count)

    def rungs(self, reached: Mapping[int, float]) -> None:
        """Writes epoch to the metric at each rung at which the training was compared with others."""
        self._write(_RUNGS, {str(epoch): metric for epoch, metric in reached.items()})

    def stopped(self, where: StoppedTraining) -> None:
        """Writes the state of the training when it was stopped."""
        self._write(_STOPPED, asdict(where))

    def reason(self, reason: str) -> None:
        """Writes why the trial failed or was rejected."""
        self._write(_REASON, _shortened(reason))

    def outcome(self, measurements: Measurements) -> None:
        """Writes the operating points and the record of a complete training."""
        plain = measurements.to_plain()
        self._write(_POINTS, plain["points"])
        self._write(_RECORD, plain["record"])

    def _write(self, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._trial_id, key, value)


def enqueue_baseline(study: optuna.Study, parameters: dict[str, Any], *, name: str) -> None:
    """Enqueues the hand-made design called `name`."""
    study.enqueue_trial(parameters, user_attrs={_BASELINE: name})


def enqueue_repetition(study: optuna.Study, first: TrialView, *, division: int) -> None:
    """Enqueues a further training of the recipe of `first`, on another division of the data."""
    name = {_BASELINE: first.baseline} if first.is_baseline else {}
    study.enqueue_trial(first.params, user_attrs={**name, _REPEAT_OF: first.number, _DIVISION: division})


def enqueue_again(study: optuna.Study, failed: TrialView) -> None:
    """Enqueues another attempt at a training that failed, as the same design or repetition."""
    kept = {key: failed.frozen.user_attrs[key] for key in _ORIGIN if key in failed.frozen.user_attrs}
    study.enqueue_trial(failed.params, user_attrs=kept)


def operating_point_trial(
    training: TrialView, index: int, *, parameters: dict[str, Any], values: Sequence[float]
) -> FrozenTrial:
    """Returns a complete trial for an operating point of `training`, to be added to the study.

    Args:
        training: A complete training.
        index: Position of the point among those of the training.
        parameters: Those of the training with the knobs of the point set.
        values: Metric and log10 of the cost.
    """
    inherited = {_INHERITED: training.weight_sources} if training.is_inherited else {}
    return optuna.create_trial(
        state=TrialState.COMPLETE,
        values=values,
        params=parameters,
        distributions=training.distributions,
        user_attrs={_POINT_OF: training.number, _POINT: index, **inherited},
    )


def without_outcome(trial: FrozenTrial) -> FrozenTrial:
    """Returns a copy of `trial` in the state that it had when it was handed out."""
    earlier = copy.copy(trial)
    earlier.state, earlier.values, earlier.datetime_complete = TrialState.RUNNING, None, None
    earlier.user_attrs = {key: value for key, value in trial.user_attrs.items() if key not in _OUTCOME}
    return earlier


def _shortened(reason: str) -> str:
    return textwrap.shorten(reason, _LONGEST_REASON, placeholder=" ...")
