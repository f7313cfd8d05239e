"""ZDT1 to ZDT3 and DTLZ2: closed forms whose best fronts and hypervolumes are known.

The first objective is taken as the cost that is known before training, the second as the error. There is nothing
to train: an evaluation is one epoch.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution

from benchmarks.search.problem import Problem, Unavailable
from nasfuse.search.parameters import Parameter

#: Fewer variables than the 30 of the papers, in which a hundred evaluations say little.
N_VARIABLES = 6

#: (error, cost) by problem. ZDT's usual 1.1 is lower than the errors of a hundred evaluations, so it is 4 here.
REFERENCES = {"zdt1": (4.0, 1.1), "zdt2": (4.0, 1.1), "zdt3": (4.0, 1.1), "dtlz2": (1.1, 1.1)}

#: Areas between the best front and the reference point: integrals over the cost of the reference error minus the
#: lowest error at that cost. ZDT3's front is cut into pieces, its integral is taken numerically to six digits.
BEST_HYPERVOLUMES = {
    "zdt1": 3 + 2 / 3 + 0.4,
    "zdt2": 3 + 1 / 3 + 0.4,
    "zdt3": 4.521763,
    "dtlz2": 1.21 - math.pi / 4,
}


class Synthetic(Problem):
    """One of the closed forms, with `N_VARIABLES` variables in [0, 1]."""

    max_epochs = 1

    def __init__(self, name: str) -> None:
        """Looks up the problem called `name`.

        Raises:
            Unavailable: pymoo is not installed.
        """
        try:
            from pymoo.problems import get_problem
        except ImportError as error:
            raise Unavailable(f"pymoo is not installed: {error}") from error
        self.name = name
        self.reference = REFERENCES[name]
        more = {"n_obj": 2} if name == "dtlz2" else {}
        self._problem = get_problem(name, n_var=N_VARIABLES, **more)
        unit = FloatDistribution(0.0, 1.0)
        self.parameters = tuple(Parameter(f"x{index}", unit, default=0.5) for index in range(N_VARIABLES))

    @property
    def best_hypervolume(self) -> float:
        """Hypervolume of the whole best front."""
        return BEST_HYPERVOLUMES[self.name]

    def cost_of(self, params: Mapping[str, Any]) -> float:
        """Returns the first objective."""
        return self._objectives(params)[0]

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        """Returns the second objective as the error of the only epoch."""
        return np.array([self._objectives(params)[1]])

    def _objectives(self, params: Mapping[str, Any]) -> tuple[float, float]:
        first, second = self._problem.evaluate(np.array([params[name] for name in sorted(params)]))
        return float(first), float(second)
