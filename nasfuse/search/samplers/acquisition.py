"""The suggestion itself: the candidate with the largest expected hypervolume improvement."""

import math

import numpy as np
from numpy.typing import NDArray

from nasfuse.pareto import non_dominated
from nasfuse.search.samplers.candidates import climb
from nasfuse.search.samplers.cost_model import CostModel
from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.domain import Array, Domain
from nasfuse.search.samplers.ehvi import (
    log_expected_hypervolume_improvement,
    log_expected_improvement_of_logs,
)
from nasfuse.search.samplers.encoding import Encoding
from nasfuse.search.samplers.surrogate import OF_TRAININGS, Surrogate, fit
from nasfuse.search.samplers.training_data import Observations
from nasfuse.search.warping import Warp

#: The best candidates by modelled cost whose exact cost is looked up.
_N_SHORTLIST = 32

#: Observations that choose hyperparameters.
_MOST_FITTED = 200

#: How far beyond the worst observation a reference point is that nobody gave, in ranges of what was observed.
_MARGIN = 0.1


class Improvement:
    """Judges candidates of a domain by what is known about it.

    They are judged as trained from scratch. Where trainings that started from inherited weights were observed, the
    model of the error has a feature that says so, and learns how much these tell about the others.
    """

    def __init__(self, domain: Domain, costs: Costs, observations: Observations, *, reference: Array | None) -> None:
        """Fits the models.

        Args:
            domain: Where candidates come from.
            costs: What they cost.
            observations: Of at least one full training.
            reference: Shape (2,), both objectives minimised; None takes the worst observed and a margin.
        """
        self._domain = domain
        self._costs = costs
        self._observations = observations
        self._encoding = Encoding(domain)
        self._cost_model = CostModel(costs, observations, encode=self._encoding.features)
        full = np.column_stack([observations.errors, observations.costs])[observations.finished]
        span = np.ptp(full, axis=0)
        beyond = full.max(axis=0) + _MARGIN * np.where(span > 0, span, 1.0)
        self._reference = beyond if reference is None else reference
        self._warp = Warp.of(observations.errors)
        self._error_model = self._fitted()
        self._rows, self._front = self._believed_front()

    def best(self, rng: np.random.Generator) -> Array | None:
        """Returns the best candidate (p,) that was not tried and is not too costly, None if there is none."""
        ranked = climb(self._domain, self._rank, rng=rng, parents=self._rows, taken=self._observations.taken)
        shortlist = self._costs.allowed(ranked, count=_N_SHORTLIST)
        shortlist = shortlist[[self._costs.excess(row) == 0 for row in shortlist]]
        if len(shortlist) == 0:
            return None
        scores = self._score(shortlist, self._cost_model.best(shortlist))
        return np.asarray(shortlist[int(np.argmax(scores))])

    def _rank(self, rows: Array) -> Array:
        """Returns scores (n,) of candidates (n, p) by modelled costs.

        By their means: that a cost is not known to the model is no chance that the candidate has to be cheap.
        """
        cost, _ = self._cost_model.predict(rows)
        scores = self._score(rows, (cost, np.zeros(len(cost))))
        return np.where(cost <= self._costs.limit, scores, -np.inf)

    def _score(self, rows: Array, cost: tuple[Array, Array]) -> Array:
        return log_expected_hypervolume_improvement(
            self._front,
            self._reference,
            error=self._error_model.predict(self._features(rows)),
            cost=cost,
            error_improvement=self._error_improvement,
        )

    def _error_improvement(self, level: Array, mean: Array, sd: Array) -> Array:
        """Returns log E[(level - error)+] of errors whose warped values are normal."""
        return math.log(self._warp.scale) + log_expected_improvement_of_logs(self._warp.warped(level), mean, sd)

    def _features(self, rows: Array, *, inherited: NDArray[np.bool_] | bool = False) -> Array:
        """Returns what the model of the error sees of `rows` (n, p)."""
        features = self._encoding.features(rows)
        if not self._observations.inherited.any():
            return features
        return np.column_stack([features, np.broadcast_to(inherited, len(rows)).astype(float)])

    def _fitted(self) -> Surrogate:
        """Returns the model of warped errors; what failed counts as bad as the worst, what runs as if it had ended."""
        seen = self._observations
        errors = self._warp.warped(seen.errors)
        features = self._features(seen.rows, inherited=seen.inherited)
        chosen = _fitted_rows(len(features))
        fitted = fit(features[chosen], errors[chosen], noise=OF_TRAININGS)
        if len(seen.failed):
            features = np.concatenate([features, self._features(seen.failed)])
        targets = np.concatenate([errors, np.full(len(seen.failed), errors.max())])
        doubts = np.concatenate([self._warp.warped_variances(seen.doubts, seen.errors), np.zeros(len(seen.failed))])
        model = Surrogate(features, targets, fitted=fitted, doubts=doubts)
        if len(seen.pending):
            model.believe(self._features(seen.pending))
        return model

    def _believed_front(self) -> tuple[Array, Array]:
        """Returns the candidates (k, p) on the front of what the model expects (medians of errors), and it (k, 2)."""
        seen = self._observations
        rows = np.concatenate([seen.rows[seen.finished], seen.pending])
        costs = np.concatenate([seen.costs[seen.finished], self._cost_model.best(seen.pending)[0]])
        errors = self._warp.unwarped(self._error_model.predict(self._features(rows))[0])
        points = np.column_stack([errors, costs])
        kept = non_dominated(points)
        return rows[kept], points[kept]


def _fitted_rows(n: int) -> NDArray[np.int64]:
    """Returns which of `n` observations choose the hyperparameters: other ones at some counts only.

    So most suggestions find them in memory, and a resumed study finds the same ones. Of many, some evenly over time.
    """
    step = 1 if n < 40 else 5 if n < 100 else 10 if n < _MOST_FITTED else 50
    n -= n % step
    return np.linspace(0, n - 1, min(n, _MOST_FITTED)).round().astype(np.int64)
