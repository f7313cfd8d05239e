"""The front of candidates that are mostly the same from one call to the next, as those of a search are."""

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nasfuse.pareto import non_dominated

Point = TypeVar("Point")

#: Number of the last points that are compared one by one; most often those before are the same as in the last call.
_N_LAST = 64


class GrowingFront(Generic[Point]):
    """Function from points to the non-dominated ones; it computes anew what has changed since its last call.

    A search asks for its front several times per trial. A repetition of a member changes one point among thousands, and
    adds none.
    """

    def __init__(
        self,
        costs: Callable[[Sequence[Point]], NDArray[np.float64]],
        *,
        are_useful: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    ) -> None:
        """Builds the function.

        Args:
            costs: Returns the objectives of points, all minimised, shape (n, 2).
            are_useful: Returns for each row of costs whether its point may be on the front.
        """
        self._costs, self._are_useful = costs, are_useful
        self._seen: list[Point] = []
        self._rows = np.empty((0, 2))
        self._places: list[int] = []  # of the front, ascending

    def of(self, points: Sequence[Point]) -> list[Point]:
        """Returns the non-dominated points that may be on the front, in their order."""
        n_before, n_both = len(self._seen), min(len(self._seen), len(points))
        n_first = max(n_both - _N_LAST, 0)
        if self._seen[:n_first] != points[:n_first]:  # much faster than one by one
            n_first = 0
        differ = map(operator.is_not, self._seen[n_first:], points[n_first:])
        changed = [*itertools.compress(itertools.count(n_first), differ), *range(n_both, len(points))]
        if changed or n_before > len(points):
            rows = np.empty((len(points), 2))
            rows[:n_both] = self._rows[:n_both]
            rows[changed] = self._costs([points[place] for place in changed])
            self._rows, self._seen = rows, list(points)
            self._places = self._front_of(self._pool(changed, n_points=len(points)))
        return [points[place] for place in self._places]

    def _pool(self, changed: list[int], *, n_points: int) -> list[int]:
        """Returns the places of the points that may be on the front.

        While all its members stay as they are, what they dominate is not on it.
        """
        is_whole = set(self._places).isdisjoint(changed) and all(place < n_points for place in self._places)
        return sorted({*self._places, *changed}) if is_whole else list(range(n_points))

    def _front_of(self, pool: list[int]) -> list[int]:
        places = np.array(pool, np.intp)
        useful = places[self._are_useful(self._rows[places])]
        return [int(place) for place in useful[non_dominated(self._rows[useful])]] if len(useful) else []
