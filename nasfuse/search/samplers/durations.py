"""Durations of trainings, as far as they are estimated before the training, for studies whose budget is a time."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.errors import NasfuseError
from nasfuse.search.samplers.domain import Array, Domain

SecondsOf = Callable[[Mapping[str, Any]], float]

#: Power of the duration by which an improvement is divided. With 1, the improvement per second (Snoek et al., 2012),
#: small networks are trained in the place of large ones until they promise hardly anything. In simulated searches .5
#: gained most of what 1 did (benchmarks/search/README.md).
_POWER = 0.5


class Durations:
    """Estimated durations of the trainings of the draws of one domain."""

    def __init__(self, domain: Domain, *, seconds_of: SecondsOf, longest_to_explore: float) -> None:
        """Sets up the estimates.

        Args:
            domain: Domain of the draws.
            seconds_of: Returns the estimated seconds of the training of parameters; raises NasfuseError where these
                cannot be trained.
            longest_to_explore: Seconds of a training above which a draw is not tried for the sake of its family alone.
        """
        self._domain = domain
        self._seconds_of = seconds_of
        self._log_longest = math.log(longest_to_explore)

    def log_seconds(self, rows: Array) -> Array:
        """Returns the logarithms of the seconds (n,) of draws (n, p); not-a-number for those that cannot be trained."""
        return np.array([self._log_seconds(row) for row in rows], dtype=np.float64)

    def can_explore(self, log_seconds: Array) -> NDArray[np.bool_]:
        """Returns which draws may be tried for their families alone, from the logarithms of their seconds (n,)."""
        return log_seconds <= self._log_longest

    def log_worth(self, log_seconds: Array) -> Array:
        """Returns the logarithms of the factors (n,) by which durations lessen what a training is worth."""
        return -_POWER * log_seconds

    def _log_seconds(self, row: Array) -> float:
        try:
            return math.log(self._seconds_of(self._domain.parameters(row)))
        except NasfuseError:
            return math.nan
