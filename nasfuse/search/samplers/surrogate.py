"""Surrogate: a Gaussian process that predicts one objective from features in the unit interval."""

import numpy as np
from scipy.linalg import solve_triangular

from nasfuse.search.samplers.domain import Array
from nasfuse.search.samplers.hyperparameters import Hyperparameters, standardisation


class Surrogate:
    """Gaussian process with a Matern-5/2 kernel, one length scale per feature, linear trends and noise."""

    def __init__(
        self, features: Array, targets: Array, *, fitted: Hyperparameters, doubts: Array | None = None
    ) -> None:
        """Conditions on all observations.

        Args:
            features: Shape (n, d), features of the observations.
            targets: Shape (n,), finite, on any scale.
            fitted: Hyperparameters, as returned by `fit`.
            doubts: Shape (n,), variance of each target in addition to the noise; default 0.
        """
        self._fitted = fitted
        self._shift, self._scale = standardisation(targets)
        self._observed = features
        self._n = len(features)
        self._doubts = np.zeros(self._n) if doubts is None else doubts / self._scale**2
        self._factor = self._cholesky(features)
        residual = (targets - self._shift) / self._scale
        self._weights = _solve(self._factor.T, _solve(self._factor, residual, lower=True), lower=False)
        self._conditioned_on = features

    def believe(self, features: Array) -> None:
        """Conditions on the rows `features` (m, d) as if their predicted means had been observed.

        This is the kriging believer (Ginsbourger et al. 2010, section 4.2): the standard deviation decreases around
        these rows, and the mean does not change.
        """
        self._conditioned_on = np.concatenate([self._observed, features])
        self._factor = self._cholesky(self._conditioned_on)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Returns mean and standard deviation, both (m,), of the noise-free objective at `features` (m, d)."""
        covariance = self._fitted.covariance(self._conditioned_on, features)
        mean = self._weights @ covariance[: self._n]
        explained = _solve(self._factor, covariance, lower=True)
        variance = np.maximum(self._fitted.variances(features) - np.square(explained).sum(axis=0), 1e-12)
        return mean * self._scale + self._shift, np.sqrt(variance) * self._scale

    def _cholesky(self, features: Array) -> Array:
        covariance = self._fitted.covariance(features, features)
        covariance[np.diag_indices(len(features))] += self._fitted.noise
        covariance[np.diag_indices(self._n)] += self._doubts
        return np.asarray(np.linalg.cholesky(covariance))


def _solve(factor: Array, right: Array, *, lower: bool) -> Array:
    return np.asarray(solve_triangular(factor, right, lower=lower, check_finite=False))
