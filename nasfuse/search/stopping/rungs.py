"""The rungs of a study: what trainings had reached at them, and which of them go on."""

import math
from collections.abc import Sequence

from nasfuse.domain.metric import METRICS
from nasfuse.search.stopping.extrapolation import Extrapolation
from nasfuse.search.stopping.mo_asha import MultiObjectiveAsha
from nasfuse.search.trial import StoppedTraining, TrialView
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig


class Rungs:
    """Applies MO-ASHA to the trials of a study; all it knows of earlier ones is in their `rungs` attribute."""

    def __init__(self, study: StudyConfig) -> None:
        """Takes the rule that `study` asks for."""
        rule = study.stopping
        self._asha = MultiObjectiveAsha(eta=rule.eta, n_rungs=rule.rungs) if rule else None
        self._sign = METRICS[study.metric].sign
        self._cost = study.cost
        self._reached: dict[int, dict[int, float]] = {}

    def of(self, recipe: Recipe) -> tuple[int, ...]:
        """Returns the epochs after which a training of `recipe` is looked at.

        None where its cost is only known at the end, and with a router: its first epochs are judged as the costliest
        route, and what it will be worth is a whole curve of operating points.
        """
        if self._asha is None or self._cost != "macs" or recipe.network.router is not None:
            return ()
        return self._asha.rungs(recipe.training.epochs)

    def goes_on(self, trial: TrialView, visible: Sequence[TrialView], *, epoch: int, metric: float) -> bool:
        """Returns whether `trial` goes on after `epoch`; a hand-made design always does.

        Args:
            trial: One that runs.
            visible: The trainings that it may depend on; those as long as it is are compared with it, and of these
                only those that began as it did, from inherited weights or from scratch.
            epoch: One of its rungs.
            metric: What it has reached.
        """
        if self._asha is None or not math.isfinite(metric):
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
        finished = [self._costs(other, other.metric) for other in alike if other.is_complete]
        return self._asha.goes_on(self._costs(trial, metric), others, end=self._sign * end, finished=finished)

    def take(self, number: int) -> dict[int, float]:
        """Returns epoch to the metric of trial `number` at its rungs, and forgets them."""
        return self._reached.pop(number, {})

    def where_stopped(self, trial: TrialView, *, epoch: int, metric: float) -> StoppedTraining:
        """Returns what is kept of a trial that does not go on."""
        _, log_cost = self._costs(trial, metric)
        return StoppedTraining(epoch, trial.epochs, metric, log_cost)

    def _costs(self, trial: TrialView, metric: float) -> tuple[float, float]:
        return self._sign * metric, math.log10(max(trial.macs, 1))
