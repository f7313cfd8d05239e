"""Hyperparameters of Gaussian processes: the most probable ones, found by gradients in closed form."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist, pdist, squareform

from nasfuse.search.samplers.domain import Array

#: Mean and standard deviation of the log-normal prior of the noise variance, whose mode is exp(mean - sd**2). For
#: results of trainings the mode is .02: with a much smaller one, a few dozen trainings are fitted exactly, including
#: their noise. The prior is wide, as the noise is a tenth of the spread between networks in some studies and zero for
#: tables of results. For quantities that are counted, such as MACs, the mode is 5e-5.
OF_TRAININGS = (0.0, 2.0)
OF_COUNTS = (-6.0, 2.0)

#: Prior variance of the slope of a trend, so large that the observations alone determine the slope, as in universal
#: kriging. With variance 1, the ends of the range differ by about as much as the targets of the observations: such a
#: prior pulls predictions for the cheapest and the costliest networks towards the mean.
_SLOPE_VARIANCE = 20.0

#: Noise variance at the start, and limits of all hyperparameters.
_FIRST_NOISE = 1e-3
_LENGTH_LIMITS = (0.025, 1e4)
_NOISE_LIMITS = (1e-5, 1e3)

#: Where a trend is zero: the middle of the range of features.
_MIDDLE = 0.5

#: Largest number of optimiser steps; more hardly change the posterior.
_MAX_STEPS = 40


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a Gaussian process of standardised targets.

    Attributes:
        lengths: Length scale of each feature, shape (d,); equal within a group.
        noise: Variance of the observation noise.
        slopes: Shape (d,), prior variance of the slope of a linear trend in each feature; 0 where there is no trend.
    """

    lengths: Array
    noise: float
    slopes: Array

    def covariance(self, one: Array, other: Array) -> Array:
        """Returns the prior covariances (n, m) of rows of features, without noise."""
        curved = matern(cdist(one / self.lengths, other / self.lengths))
        return np.asarray(curved + ((one - _MIDDLE) * self.slopes) @ (other - _MIDDLE).T)

    def variances(self, rows: Array) -> Array:
        """Returns the prior variances (n,) of rows of features, without noise."""
        return np.asarray(1 + (rows - _MIDDLE) ** 2 @ self.slopes)


def standardisation(targets: Array) -> tuple[float, float]:
    """Returns mean and standard deviation of `targets` (n,); 1 instead of a deviation of 0."""
    deviation = float(np.std(targets))
    return float(np.mean(targets)), deviation if deviation > 0 else 1.0


def matern(distances: Array) -> Array:
    """Returns the Matern-5/2 covariances at `distances` in units of the length scale."""
    scaled = math.sqrt(5) * distances
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


def fit(
    features: Array,
    targets: Array,
    *,
    groups: NDArray[np.int64],
    noise: tuple[float, float],
    trend: int | None = None,
) -> Hyperparameters:
    """Returns the most probable hyperparameters for `features` (n, d) and `targets` (n,).

    All features of a group have the same length scale, so that a choice between five operations has one and not five:
    few observations cannot tell more. The prior of the length scales is that of BoTorch for as many dimensions as there
    are groups (Hvarfner et al. 2024, Vanilla Bayesian Optimization Performs Great in High Dimensions, equation 6). The
    optimiser starts at fixed values, so that the result depends on the observations alone. Results are cached.

    Args:
        features: Shape (n, d).
        targets: Shape (n,).
        groups: Shape (d,), number of the group of each feature, from 0.
        noise: Mean and standard deviation of the log-normal prior of the noise variance.
        trend: Feature in which there is a linear trend beside the Matern-5/2 kernel; None for no trend.
    """
    return _fit(features.tobytes(), targets.tobytes(), groups.tobytes(), noise, trend)


@lru_cache(maxsize=16)
def _fit(
    features_bytes: bytes, targets_bytes: bytes, groups_bytes: bytes, noise: tuple[float, float], trend: int | None
) -> Hyperparameters:
    groups = np.frombuffer(groups_bytes, dtype=np.int64)
    features = np.frombuffer(features_bytes).reshape(-1, len(groups))
    targets = np.frombuffer(targets_bytes)
    shift, scale = standardisation(targets)
    posterior = _Posterior(features, (targets - shift) / scale, groups=groups, noise=noise, trend=trend)
    found = minimize(
        posterior,
        posterior.first,
        jac=True,
        method="L-BFGS-B",
        bounds=np.log(posterior.limits),
        options={"maxiter": _MAX_STEPS},
    )
    lengths, noise_variance = posterior.split(np.exp(found.x))
    slopes = np.zeros(len(groups))
    if trend is not None:
        slopes[trend] = _SLOPE_VARIANCE
    return Hyperparameters(lengths[groups], noise_variance, slopes)


class _Posterior:
    """Negative log density of the logarithms of length scales and noise variance, up to a constant.

    The density is that of the hyperparameters, not of their logarithms, so that its maximum is the usual one.

    Attributes:
        first: Shape (groups + 1,), logarithms at which the optimiser starts.
        limits: Limits of each hyperparameter.
    """

    def __init__(
        self,
        features: Array,
        targets: Array,
        *,
        groups: NDArray[np.int64],
        noise: tuple[float, float],
        trend: int | None,
    ) -> None:
        n_groups = int(groups.max(initial=-1)) + 1
        of_length = math.sqrt(2) + math.log(max(n_groups, 1)) / 2, math.sqrt(3)
        self._means, self._sds = np.array([of_length] * n_groups + [noise]).T
        mode = of_length[0] - of_length[1] ** 2
        self.first = np.array([mode] * n_groups + [math.log(_FIRST_NOISE)])
        self.limits = [*[_LENGTH_LIMITS] * n_groups, _NOISE_LIMITS]
        self._targets = targets
        self._squares = np.array([pdist(features[:, groups == group], "sqeuclidean") for group in range(n_groups)])
        along = features[:, trend] - _MIDDLE if trend is not None else np.zeros(len(features))
        self._of_trend = _SLOPE_VARIANCE * np.outer(along, along)

    def split(self, values: Array) -> tuple[Array, float]:
        """Returns length scales (groups,) and noise variance."""
        return values[:-1], float(values[-1])

    def __call__(self, logs: Array) -> tuple[float, Array]:
        """Returns the value and its gradient, of the shape of `logs`."""
        lengths, noise = self.split(np.exp(logs))
        weights = lengths**-2
        scaled = math.sqrt(5) * np.sqrt(weights @ self._squares)
        decay = np.exp(-scaled)
        covariance = squareform((1 + scaled + scaled**2 / 3) * decay)
        covariance[np.diag_indices(len(covariance))] = 1 + noise
        covariance += self._of_trend
        factor = np.linalg.cholesky(covariance)
        solved = cho_solve((factor, True), self._targets, check_finite=False)
        inner = cho_solve((factor, True), np.eye(len(factor)), check_finite=False) - np.outer(solved, solved)
        falls = 5 / 3 * (1 + scaled) * decay * squareform(inner, checks=False)
        deviations = (logs - self._means) / self._sds
        value = self._targets @ solved / 2 + np.log(np.diag(factor)).sum() + (deviations**2 / 2 + logs).sum()
        likelihood = np.append(weights * (self._squares @ falls), noise * np.trace(inner) / 2)
        return float(value), likelihood + deviations / self._sds + 1
