"""Rungs: the epochs at which the trainings of a study are compared, and which of them continue."""

import math
from collections.abc import Sequence
from pkgutil import resolve_name

from nasfuse.domain.metric import METRICS
from nasfuse.search.stopped_training import StoppedTraining
from nasfuse.search.stopping.extrapolation import Extrapolation
from nasfuse.search.stopping.rule import StoppingRule
from nasfuse.search.trial import TrialView
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StoppingConfig, StudyConfig


class Rungs:
    """Applies the stopping rule of a study to its trials."""

    def __init__(self, study: StudyConfig) -> None:
        """Sets up the stopping rule of `study`, if it has one."""
        self._rule = None if study.stopping is None else _rule_of(study.stopping)
        self._sign = METRICS[study.objective].sign
        self._cost = study.cost
        self._reached: dict[int, dict[int, float]] = {}

    def epochs_of(self, recipe: Recipe) -> tuple[int, ...]:
        """Returns the epochs at which a training of `recipe` is compared with others.

        There are none if the study's cost is only measured at the end, or if the network has a learned router, which is
        trained only after its routes. A network with a sequential router is compared by its costliest route, in metric
        and MACs. A cross-validation is compared after whole folds, which count as the epochs of a training do, by the
        metric of the predictions for these folds; first trainings have the same folds.
        """
        router = recipe.network.router
        is_learned = router is not None and router.kind != "sequential"
        if self._rule is None or self._cost != "macs" or is_learned:
            return ()
        validation, epochs = recipe.data.validation, recipe.training.epochs
        if validation is None:
            return self._rule.rungs(epochs)
        return tuple(n_folds * epochs for n_folds in self._rule.rungs(validation.n_trainings))

    def passes(self, trial: TrialView, visible: Sequence[TrialView], *, epoch: int, metric: float) -> bool:
        """Returns whether `trial` passes its rung at `epoch`, that is, continues after it; hand-made designs always do.

        Args:
            trial: A running training.
            visible: Trainings that it may depend on. It is compared with those of the same number of epochs that
                started in the same way, from inherited weights or from scratch.
            epoch: One of its rungs.
            metric: Value of the metric after `epoch`.
        """
        if self._rule is None or not math.isfinite(metric):
            return True
        self._reached.setdefault(trial.number, {})[epoch] = metric
        if trial.is_baseline:
            return True
        epochs = trial.epochs
        alike = [other for other in visible if other.is_inherited == trial.is_inherited]
        others = [
            self._costs(other, other.rungs[epoch]) for other in alike if epoch in other.rungs and other.epochs == epochs
        ]
        extrapolation = Extrapolation(alike, sign=self._sign)
        end, _ = extrapolation.end(epoch=epoch, epochs=epochs, metric=metric, inherited=trial.is_inherited)
        finished = [(self._sign * other.metric, other.log_cost) for other in alike if other.is_complete]
        return self._rule.promotes(self._costs(trial, metric), others, end=self._sign * end, finished=finished)

    def take(self, number: int) -> dict[int, float]:
        """Returns and removes the metrics of trial `number` at its rungs, by epoch."""
        return self._reached.pop(number, {})

    def where_stopped(
        self, trial: TrialView, *, epoch: int, metric: float | None, out_of_time: bool = False
    ) -> StoppedTraining:
        """Returns what is recorded of a trial that does not continue."""
        return StoppedTraining(epoch, trial.epochs, metric, _log_cost(trial), out_of_time)

    def _costs(self, trial: TrialView, metric: float) -> tuple[float, float]:
        return self._sign * metric, _log_cost(trial)


def _log_cost(trial: TrialView) -> float:
    return math.log10(max(trial.full_macs, 1))


def _rule_of(config: StoppingConfig) -> StoppingRule:
    rule: type[StoppingRule] = resolve_name(config.implementation)
    return rule.from_config(config)
