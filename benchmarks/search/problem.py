"""What a search engine is set against: a space, a cost known in advance and a learning curve per network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import BaseTrial

from nasfuse.pareto import hypervolume
from nasfuse.search.parameters import Parameter


class Unavailable(Exception):
    """The problem needs a file or a package that is not here; says which."""


class Problem(ABC):
    """Two objectives, both minimised: an error that only training tells, and a cost that is known before.

    Attributes:
        name: As on the command line and in the records.
        parameters: What to suggest, in an order in which each stands after those it depends on.
        max_epochs: Length of a full training.
        reference: (error, cost) that every useful network beats.
        best_hypervolume: Of the best front known; each problem says how it was found.
    """

    name: str
    parameters: tuple[Parameter, ...]
    max_epochs: int
    reference: tuple[float, float]

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

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Returns the parameters that `trial` draws, only those that exist beside one another."""
        drawn: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.exists(drawn):
                drawn[parameter.name] = parameter.draw(trial)
        return drawn

    def hypervolume(self, points: NDArray[np.float64]) -> float:
        """Returns the hypervolume of `points` (n, 2), rows of (error, cost)."""
        return hypervolume(points, reference=self.reference)
