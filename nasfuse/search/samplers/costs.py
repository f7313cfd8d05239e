"""Costs: what candidates cost, as far as it is known before training."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from nasfuse.errors import NasfuseError
from nasfuse.search.samplers.domain import Array, Domain

CostOf = Callable[[Mapping[str, Any]], float | None]
IsVisited = Callable[[Mapping[str, Any]], bool]

#: Draws whose exact cost shows the model what candidates cost; the same ones in every trial.
_N_SURVEYED = 128
_SURVEY_SEED = 0

#: Exact costs looked up, at most, to find a candidate that is not too costly.
_MAX_LOOKUPS = 300


class Costs:
    """The second objective of candidates of one domain."""

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
        """What the second objective of a candidate may be; infinite where the limit is on something else."""
        return np.inf if self._max_cost is None or self._cost_of is None else self._max_cost

    def known(self, row: Array) -> float | None:
        """Returns the exact cost of a candidate (p,); None where it is random or the candidate is no valid network."""
        if self._cost_of is None:
            return None
        try:
            return self._cost_of(self._domain.parameters(row))
        except NasfuseError:
            return None

    def excess(self, row: Array) -> float:
        """Returns by how much a candidate (p,) costs more than it may; infinite where it must not be suggested.

        That is what is no valid network, and what was suggested before.
        """
        if self._is_visited is not None and self._is_visited(self._domain.parameters(row)):
            return np.inf
        if self._least_cost_of is None:
            return 0.0
        try:
            least = self._least_cost_of(self._domain.parameters(row))
        except NasfuseError:
            return np.inf
        return 0.0 if least is None or self._max_cost is None else max(least - self._max_cost, 0.0)

    def allowed(self, rows: Iterable[Array], *, count: int) -> Array:
        """Returns the first `count` of `rows` that may be suggested; if there is none, the one that exceeds least."""
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

    def survey(self) -> tuple[Array, Array]:
        """Returns candidates (n, p) and their costs (n,), where they are known."""
        if self._cost_of is None:
            return np.empty((0, len(self._domain.columns))), np.empty(0)
        rng = np.random.default_rng(_SURVEY_SEED)
        rows = self._domain.rows(rng.random((_N_SURVEYED, len(self._domain.columns))))
        costs = np.array([np.nan if (cost := self.known(row)) is None else cost for row in rows], dtype=np.float64)
        finite = np.isfinite(costs)
        return rows[finite], costs[finite]
