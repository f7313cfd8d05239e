"""What search engines are compared on: a space, a cost known before training and a learning curve per network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.search.point_space import PointSpace
from nasfuse.pareto import hypervolume
from nasfuse.search.parameters import Parameter
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe

#: Random networks whose MACs are averaged, and what every epoch takes beside its MACs, as a share of this average.
_N_DRAWN = 300
_SAME_SHARE = 0.25


class Unavailable(Exception):
    """The problem needs a file or a package that is not here; the message says which."""


class Problem(ABC):
    """Two objectives, both minimised: an error that only training tells, and a cost that is known before.

    Attributes:
        name: As on the command line and in the records.
        parameters: What to suggest, in an order in which each stands after those it depends on.
        max_epochs: Length of a full training.
        reference: (error, cost) that every useful network beats.
        log10_unit: log10 of the MACs of a network of cost 0. Studies count whole MACs, so it is large where costs
            would be rounded otherwise.
        asked: The keys `data`, `metric` and `space` of a study of this problem.
    """

    name: str
    parameters: tuple[Parameter, ...]
    max_epochs: int
    reference: tuple[float, float]
    log10_unit: float = 9.0
    #: The metric is an error of any size; the space of the study is not used, see `space`.
    asked: Mapping[str, Any] = {
        "data": {"source": "points", "task": "regression"},
        "metric": "mae",
        "space": {"fields": {"training.lr": {"choices": [1e-3]}}},
    }

    @property
    @abstractmethod
    def best_hypervolume(self) -> float:
        """Hypervolume of the best front known."""

    @abstractmethod
    def cost_of(self, params: Mapping[str, Any]) -> float:
        """Returns the cost of a network, exactly, without training it."""

    @abstractmethod
    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        """Returns the error after each epoch, shape (max_epochs,)."""

    def counted_error(self, params: Mapping[str, Any], *, observed: float) -> float:
        """Returns the error of a full training in the hypervolume: the `observed` one; with noise, its mean."""
        return observed

    @cached_property
    def space(self) -> Space | PointSpace:
        """What a scheduler searches; without hand-made designs."""
        base = {key: self.asked[key] for key in ("data", "metric")}
        return PointSpace(self.parameters, epochs=self.max_epochs, base=base)

    def parameters_of(self, recipe: Recipe) -> Mapping[str, Any]:
        """Returns the parameters of a recipe that `space` made."""
        assert isinstance(self.space, PointSpace), "a problem with another space overrides this"
        return self.space.parameters_of(recipe)

    def metric_of(self, error: float) -> float:
        """Returns the metric of the study for an error."""
        return error

    def error_of(self, metric: float) -> float:
        """Returns the error for a metric of the study."""
        return metric

    def macs_of(self, cost: float) -> int:
        """Returns the MACs that stand for a cost in a study; costs are their logarithms."""
        return round(10 ** (cost + self.log10_unit))

    @cached_property
    def mean_macs(self) -> float:
        """Mean of the MACs of random networks."""
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        recipes = [self.space.recipe(self.space.suggest(study.ask())) for _ in range(_N_DRAWN)]
        return float(np.mean([self.macs_of(self.cost_of(self.parameters_of(recipe))) for recipe in recipes]))

    def epoch_s(self, macs: float) -> float:
        """Returns the seconds of an epoch of a network with `macs` MACs where they depend on these; their mean is 1."""
        return (_SAME_SHARE * self.mean_macs + macs) / ((_SAME_SHARE + 1) * self.mean_macs)

    def hypervolume(self, points: NDArray[np.float64]) -> float:
        """Returns the hypervolume of `points` (n, 2), rows of (error, cost)."""
        return hypervolume(points, reference=self.reference)
