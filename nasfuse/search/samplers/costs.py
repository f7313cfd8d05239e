"""Costs of draws that can be computed before training."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from nasfuse.errors import NasfuseError
from nasfuse.search.samplers.domain import Array, Domain

CostOf = Callable[[Mapping[str, Any]], float | None]
IsVisited = Callable[[Mapping[str, Any]], bool]

#: Number of draws whose exact costs are given to the cost model, and their seed.
_N_SURVEYED = 128
_SURVEY_SEED = 0

#: Largest number of exact costs computed to find a draw that is not too costly.
_MAX_LOOKUPS = 300


class Costs:
    """Second objective, log10 of the cost, of the draws of one domain."""

    def __init__(
        self,
        domain: Domain,
        *,
        cost_of: CostOf | None,
        least_cost_of: CostOf | None,
        max_cost: float | None,
        is_visited: IsVisited | None = None,
    ) -> None:
        self._domain = domain
        self._cost_of = cost_of
        self._least_cost_of = least_cost_of or cost_of
        self._max_cost = max_cost
        self._is_visited = is_visited

    @property
    def limit(self) -> float:
        """Largest allowed value of the second objective; infinite if the limit applies to another cost."""
        return np.inf if self._max_cost is None or self._cost_of is None else self._max_cost

    def exact(self, row: Array) -> float | None:
        """Returns the exact cost of a draw (p,); None if it can only be measured or the draw is no valid network."""
        if self._cost_of is None:
            return None
        try:
            return self._cost_of(self._domain.parameters(row))
        except NasfuseError:
            return None

    def excess(self, row: Array) -> float:
        """Returns by how much a draw (p,) exceeds the cost limit; 0 if it may be suggested.

        It is infinite for a draw that is no valid network or was suggested before.
        """
        if self._is_visited is not None and self._is_visited(self._domain.parameters(row)):
            return np.inf
        return self._excess_of_cost(row)

    def can_be_trained(self, row: Array) -> bool:
        """Returns whether a draw (p,) is a valid network within the cost limit, suggested before or not."""
        return self._excess_of_cost(row) == 0

    def _excess_of_cost(self, row: Array) -> float:
        if self._least_cost_of is None:
            return 0.0
        try:
            least = self._least_cost_of(self._domain.parameters(row))
        except NasfuseError:
            return np.inf
        return 0.0 if least is None or self._max_cost is None else max(least - self._max_cost, 0.0)

    def allowed(self, rows: Iterable[Array], *, count: int) -> Array:
        """Returns the first `count` of `rows` that may be suggested; if there are none, the one of least excess."""
        found: list[Array] = []
        cheapest: tuple[float, Array] | None = None
        for row, _ in zip(rows, range(_MAX_LOOKUPS), strict=False):
            excess = self.excess(row)
            if excess == 0:
                found.append(row)
                if len(found) == count:
                    break
            elif cheapest is None or excess < cheapest[0]:
                cheapest = (excess, row)
        if not found and cheapest is not None:
            found = [cheapest[1]]
        return np.array(found).reshape(-1, len(self._domain.columns))

    def nearest_first(self, rows: Array, *, share: float) -> Array:
        """Returns `rows` (n, p) by the distance of their costs from a `share` of the range that they span.

        Rows above the limit are not counted in the range. If no cost can be computed, the order is kept.
        """
        costs = np.array([np.nan if (cost := self.exact(row)) is None else cost for row in rows], dtype=np.float64)
        known = costs[np.isfinite(costs) & (costs <= self.limit)]
        if len(known) == 0:
            return rows
        wanted = known.min() + share * np.ptp(known)
        return rows[np.argsort(np.where(np.isfinite(costs), np.abs(costs - wanted), np.inf), kind="stable")]

    def surveyed_rows(self) -> Array:
        """Returns draws (n, p) from which models of what can be computed are fitted, the same in every trial."""
        rng = np.random.default_rng(_SURVEY_SEED)
        return self._domain.rows(rng.random((_N_SURVEYED, len(self._domain.columns))))

    def survey(self) -> tuple[Array, Array]:
        """Returns the surveyed draws (n, p) whose cost can be computed, and their costs (n,)."""
        if self._cost_of is None:
            return np.empty((0, len(self._domain.columns))), np.empty(0)
        rows = self.surveyed_rows()
        costs = np.array([np.nan if (cost := self.exact(row)) is None else cost for row in rows], dtype=np.float64)
        finite = np.isfinite(costs)
        return rows[finite], costs[finite]
