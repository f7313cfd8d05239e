"""The model of costs, for ranking many candidates and for costs that nobody knows before training."""

from collections.abc import Callable

import numpy as np

from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.domain import Array
from nasfuse.search.samplers.surrogate import OF_COUNTS, Surrogate, fit
from nasfuse.search.samplers.training_data import Observations

#: The survey alone chooses the hyperparameters if it knows so many costs; they are then fitted once per process.
_ENOUGH = 20


class CostModel:
    """A Gaussian process of the second objective."""

    def __init__(
        self,
        costs: Costs,
        observations: Observations,
        *,
        encode: Callable[[Array], Array],
    ) -> None:
        """Learns from a survey of the known costs and from what was observed; `encode` turns rows into features."""
        self._costs = costs
        self._encode = encode
        rows, values = costs.survey()
        all_features = encode(np.concatenate([rows, observations.rows]))
        all_values = np.concatenate([values, observations.costs])
        n_fitted = len(values) if len(values) >= _ENOUGH else len(all_values)
        fitted = fit(all_features[:n_fitted], all_values[:n_fitted], noise=OF_COUNTS)
        self._surrogate = Surrogate(all_features, all_values, fitted=fitted)

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Returns mean and standard deviation, both (n,), of the cost of candidates (n, p)."""
        return self._surrogate.predict(self._encode(rows))

    def best(self, rows: Array) -> tuple[Array, Array]:
        """Returns what `predict` does, with the exact cost and deviation 0 where the cost is known."""
        mean, sd = self.predict(rows)
        known = np.array(
            [np.nan if (cost := self._costs.known(row)) is None else cost for row in rows], dtype=np.float64
        )
        return np.where(np.isnan(known), mean, known), np.where(np.isnan(known), sd, 0.0)
