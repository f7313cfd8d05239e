"""Cost model: used to rank many draws quickly, and for costs that can only be measured."""

import numpy as np

from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.domain import Array
from nasfuse.search.samplers.encoding import Encoding
from nasfuse.search.samplers.hyperparameters import OF_COUNTS, fit
from nasfuse.search.samplers.surrogate import Surrogate
from nasfuse.search.samplers.training_data import Observations

#: Exact costs in the survey from which hyperparameters are fitted to it alone, and thus only once per process.
_ENOUGH = 20


class CostModel:
    """Gaussian process of the second objective, log10 of the cost.

    Attributes:
        is_computed: Whether costs can be computed before training, at least those of some draws.
    """

    def __init__(self, costs: Costs, observations: Observations, *, encoding: Encoding) -> None:
        """Fits the model to a survey of exact costs and to the observed costs."""
        self._costs = costs
        self._encode = encoding.features
        rows, values = costs.survey()
        self.is_computed = len(values) > 0
        self._least = float(values.min(initial=np.inf))
        self._span = float(np.ptp(values)) or 1.0 if self.is_computed else 1.0
        all_features = self._encode(np.concatenate([rows, observations.rows]))
        all_values = np.concatenate([values, observations.costs])
        n_fitted = len(values) if len(values) >= _ENOUGH else len(all_values)
        fitted = fit(all_features[:n_fitted], all_values[:n_fitted], groups=encoding.groups, noise=OF_COUNTS)
        self._surrogate = Surrogate(all_features, all_values, fitted=fitted)

    def predict(self, encoded: Array) -> tuple[Array, Array]:
        """Returns mean and standard deviation, both (n,), of the cost of encoded draws (n, d)."""
        return self._surrogate.predict(encoded)

    def best(self, rows: Array) -> tuple[Array, Array]:
        """Returns the same for draws (n, p), but the exact cost and deviation 0 where the cost can be computed."""
        mean, sd = self.predict(self._encode(rows))
        exact = np.array(
            [np.nan if (cost := self._costs.exact(row)) is None else cost for row in rows], dtype=np.float64
        )
        return np.where(np.isnan(exact), mean, exact), np.where(np.isnan(exact), sd, 0.0)

    def features(self, values: Array) -> Array:
        """Returns costs (n,) as a feature (n, 1) of other models, 0 and 1 at the ends of the surveyed range.

        If costs can only be measured, there is none, shape (n, 0).
        """
        return ((values - self._least) / self._span)[:, None] if self.is_computed else np.empty((len(values), 0))
