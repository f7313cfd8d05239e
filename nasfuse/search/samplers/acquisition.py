"""Acquisition: the choice of the draw with the largest expected hypervolume improvement."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasfuse.pareto import non_dominated
from nasfuse.search.samplers.cost_model import CostModel
from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.coverage import Coverage
from nasfuse.search.samplers.domain import Array, Domain
from nasfuse.search.samplers.draws import climb
from nasfuse.search.samplers.duration_model import DurationModel
from nasfuse.search.samplers.durations import Durations
from nasfuse.search.samplers.ehvi import (
    log_expected_hypervolume_improvement,
    log_expected_improvement_of_logs,
)
from nasfuse.search.samplers.encoding import Encoding
from nasfuse.search.samplers.hyperparameters import OF_TRAININGS, fit
from nasfuse.search.samplers.surrogate import Surrogate
from nasfuse.search.samplers.training_data import Observations
from nasfuse.search.warping import Warp

#: Number of draws, the best by modelled cost, whose exact cost is computed.
_N_SHORTLIST = 32

#: Largest number of observations used to fit hyperparameters.
_MOST_FITTED = 200

#: Weight of coverage in the score of a draw; log hypervolumes are far smaller.
_PREFERENCE = 1e6

#: Distance of the default reference point from the worst observation, as a share of the observed range.
_MARGIN = 0.1


class Acquisition:
    """Scores draws of a domain by the expected hypervolume improvement under models of error and cost.

    Where costs can be computed, the cost is a feature of the model of the error: it often explains more of the error
    than any parameter. Scores are for trainings from scratch. If trainings from inherited weights were observed, the
    model of the error has an additional feature that marks them, so that it can learn how their errors are related to
    the others.

    Where durations are estimated, the expected improvement is divided by a power of the seconds (Lee et al., 2020), and
    so is what a draw adds to the coverage.
    """

    def __init__(
        self,
        domain: Domain,
        costs: Costs,
        observations: Observations,
        *,
        reference: Array | None,
        coverage: Coverage | None = None,
        durations: Durations | None = None,
        offered: Sequence[Array] = (),
    ) -> None:
        """Fits the models.

        Args:
            domain: Domain of the draws.
            costs: Costs of the draws.
            observations: Observations, at least one of a complete training.
            reference: Shape (2,), reference point with both objectives minimised; None takes the worst observed values
                and a margin.
            coverage: Draws that add more coverage for their time are preferred, whatever the models say, unless their
                training takes too long; None: no preference.
            durations: Durations of the trainings of draws; None: improvements count whatever time they take.
            offered: Rows (p,) that are candidates beside the random draws.
        """
        self._domain = domain
        self._costs = costs
        self._observations = observations
        self._coverage = coverage
        self._offered = np.array(offered).reshape(-1, len(domain.columns))
        self._encoding = Encoding(domain)
        self._cost_model = CostModel(costs, observations, encoding=self._encoding)
        self._durations = durations
        if durations is not None:
            self._duration_model = DurationModel(durations, costs.surveyed_rows(), encoding=self._encoding)
        full = np.column_stack([observations.errors, observations.costs])[observations.finished]
        span = np.ptp(full, axis=0)
        beyond = full.max(axis=0) + _MARGIN * np.where(span > 0, span, 1.0)
        self._reference = beyond if reference is None else reference
        self._warp = Warp.from_errors(observations.errors)
        self._error_model = self._fitted()
        self._rows, self._front = self._believed_front()

    def best(self, rng: np.random.Generator) -> Array | None:
        """Returns the best draw (p,) that was not tried before and is not too costly; None if there is none."""
        ranked = climb(
            self._domain,
            self._rank,
            rng=rng,
            parents=self._rows,
            offered=self._offered,
            taken=self._observations.taken,
        )
        shortlist = self._costs.allowed(ranked, count=_N_SHORTLIST)
        shortlist = shortlist[[self._costs.excess(row) == 0 for row in shortlist]]
        if len(shortlist) == 0:
            return None
        scores = self._score(self._encoding.features(shortlist), self._cost_model.best(shortlist))
        log_seconds = None if self._durations is None else self._durations.log_seconds(shortlist)
        return np.asarray(shortlist[int(np.argmax(self._weighed(scores, shortlist, log_seconds)))])

    def _rank(self, rows: Array) -> Array:
        """Returns scores (n,) of draws (n, p) by the means of their modelled costs.

        The model's uncertainty about a cost that can be computed exactly must not count as a chance of a low cost.
        """
        encoded = self._encoding.features(rows)
        cost, _ = self._cost_model.predict(encoded)
        scores = self._score(encoded, (cost, np.zeros(len(cost))))
        log_seconds = None if self._durations is None else self._duration_model.log_seconds(encoded)
        return np.where(cost <= self._costs.limit, self._weighed(scores, rows, log_seconds), -np.inf)

    def _weighed(self, scores: Array, rows: Array, log_seconds: Array | None) -> Array:
        """Returns scores (n,) of draws (n, p) with what their durations and the coverage that they add are worth."""
        gains = np.zeros(len(rows)) if self._coverage is None else self._coverage.gains(rows)
        if self._durations is not None and log_seconds is not None:
            log_worth = self._durations.log_worth(log_seconds)
            scores = scores + log_worth
            gains = np.where(self._durations.can_explore(log_seconds), gains * np.exp(log_worth), 0.0)
        return scores + _PREFERENCE * gains

    def _score(self, encoded: Array, cost: tuple[Array, Array]) -> Array:
        return log_expected_hypervolume_improvement(
            self._front,
            self._reference,
            error=self._error_model.predict(self._features(encoded, cost[0])),
            cost=cost,
            error_improvement=self._error_improvement,
        )

    def _error_improvement(self, level: Array, mean: Array, sd: Array) -> Array:
        """Returns log E[(level - error)+] for errors whose warped values are normally distributed."""
        return math.log(self._warp.scale) + log_expected_improvement_of_logs(self._warp.warped(level), mean, sd)

    def _features(self, encoded: Array, costs: Array, *, inherited: NDArray[np.bool_] | bool = False) -> Array:
        """Returns the features (n, d) of encoded rows, whose costs are `costs` (n,), for the model of the error."""
        features = np.column_stack([encoded, self._cost_model.features(costs)])
        if not self._observations.inherited.any():
            return features
        return np.column_stack([features, np.broadcast_to(inherited, len(encoded)).astype(float)])

    def _features_of(self, rows: Array, costs: Array) -> Array:
        return self._features(self._encoding.features(rows), costs)

    def _fitted(self) -> Surrogate:
        """Returns the model of warped errors; failed trials count as the worst, running ones as their prediction."""
        seen = self._observations
        errors = self._warp.warped(seen.errors)
        features = self._features(self._encoding.features(seen.rows), seen.costs, inherited=seen.inherited)
        n_others = features.shape[1] - len(self._encoding.groups)
        groups = np.append(self._encoding.groups, self._encoding.groups.max(initial=-1) + 1 + np.arange(n_others))
        chosen = _fitted_rows(len(features))
        trend = len(self._encoding.groups) if self._cost_model.is_computed else None
        fitted = fit(features[chosen], errors[chosen], groups=groups, noise=OF_TRAININGS, trend=trend)
        if len(seen.failed):
            features = np.concatenate([features, self._features_of(seen.failed, self._cost_model.best(seen.failed)[0])])
        targets = np.concatenate([errors, np.full(len(seen.failed), errors.max())])
        doubts = np.concatenate([self._warp.warped_variances(seen.doubts, seen.errors), np.zeros(len(seen.failed))])
        model = Surrogate(features, targets, fitted=fitted, doubts=doubts)
        if len(seen.pending):
            model.believe(self._features_of(seen.pending, self._cost_model.best(seen.pending)[0]))
        return model

    def _believed_front(self) -> tuple[Array, Array]:
        """Returns the front of predicted objectives of the observed rows: rows (k, p) and objectives (k, 2)."""
        seen = self._observations
        rows = np.concatenate([seen.rows[seen.finished], seen.pending])
        costs = np.concatenate([seen.costs[seen.finished], self._cost_model.best(seen.pending)[0]])
        errors = self._warp.unwarped(self._error_model.predict(self._features_of(rows, costs))[0])
        points = np.column_stack([errors, costs])
        kept = non_dominated(points)
        return rows[kept], points[kept]


def _fitted_rows(n: int) -> NDArray[np.int64]:
    """Returns which of `n` observations are used to fit hyperparameters.

    The selection changes only at certain values of `n`, so that most suggestions find the fit in the cache, and a
    resumed study uses the same one. From many observations, a subset evenly spaced in time is used.
    """
    step = 1 if n < 40 else 5 if n < 100 else 10 if n < _MOST_FITTED else 50
    n -= n % step
    return np.linspace(0, n - 1, min(n, _MOST_FITTED)).round().astype(np.int64)
