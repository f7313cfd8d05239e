"""Surrogate: a Gaussian process that predicts one objective from features in the unit interval."""

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from botorch.optim.fit import fit_gpytorch_mll_scipy
from gpytorch.constraints import GreaterThan
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist

from nasfuse.search.samplers.domain import Array

#: Largest number of optimiser steps for hyperparameters; more hardly change the posterior.
_MAX_STEPS = 40

#: Mean and standard deviation of the log-normal prior of the noise variance, whose mode is exp(mean - sd**2). For
#: results of trainings the mode is .02: with a much smaller one, a few dozen trainings are fitted exactly, including
#: their noise. The prior is wide, as the noise is a tenth of the spread between networks in some studies and zero for
#: tables of results. For quantities that are counted, such as MACs, the mode is 5e-5.
OF_TRAININGS = (0.0, 2.0)
OF_COUNTS = (-6.0, 2.0)
_LEAST_NOISE = 1e-5


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a Gaussian process of standardised targets.

    Attributes:
        lengths: Length scale of each feature, shape (d,).
        noise: Variance of the observation noise.
    """

    lengths: Array
    noise: float


class Surrogate:
    """Gaussian process with a Matern-5/2 kernel, one length scale per feature and a learned noise variance.

    Hyperparameters are fitted by GPyTorch. The posterior is computed here, because GPyTorch also computes the
    covariances between the predicted rows, which takes most of the time and is not needed.
    """

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
        self._shift, self._scale = _standardisation(targets)
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
        covariance = self._covariance(self._conditioned_on, features)
        mean = self._weights @ covariance[: self._n]
        explained = _solve(self._factor, covariance, lower=True)
        variance = np.maximum(1 - np.square(explained).sum(axis=0), 1e-12)
        return mean * self._scale + self._shift, np.sqrt(variance) * self._scale

    def _covariance(self, one: Array, other: Array) -> Array:
        """Returns the Matern-5/2 covariances (n, m) of rows of features."""
        scaled = cdist(one / self._fitted.lengths, other / self._fitted.lengths) * math.sqrt(5)
        return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))

    def _cholesky(self, features: Array) -> Array:
        covariance = self._covariance(features, features)
        covariance[np.diag_indices(len(features))] += self._fitted.noise
        covariance[np.diag_indices(self._n)] += self._doubts
        return np.asarray(np.linalg.cholesky(covariance))


def _solve(factor: Array, right: Array, *, lower: bool) -> Array:
    return np.asarray(solve_triangular(factor, right, lower=lower, check_finite=False))


def _standardisation(targets: Array) -> tuple[float, float]:
    deviation = float(np.std(targets))
    return float(np.mean(targets)), deviation if deviation > 0 else 1.0


def fit(features: Array, targets: Array, *, noise: tuple[float, float]) -> Hyperparameters:
    """Returns the most probable hyperparameters for `features` (n, d) and `targets` (n,).

    The prior of the length scales is BoTorch's (Hvarfner et al. 2024, Vanilla Bayesian Optimization Performs Great in
    High Dimensions, equation 6). The optimiser starts at fixed values, so that the result depends on the observations
    alone. Results are cached. `noise` is the mean and standard deviation of the log-normal prior of the noise variance.
    """
    return _fit(features.tobytes(), targets.tobytes(), features.shape[1], noise)


@lru_cache(maxsize=16)
def _fit(features_bytes: bytes, targets_bytes: bytes, n_features: int, noise: tuple[float, float]) -> Hyperparameters:
    features = np.frombuffer(features_bytes).reshape(-1, n_features)
    targets = np.frombuffer(targets_bytes)
    shift, scale = _standardisation(targets)
    standard = torch.tensor((targets - shift) / scale)[:, None]
    kernel = get_covar_module_with_dim_scaled_prior(ard_num_dims=n_features, use_rbf_kernel=False)
    likelihood = GaussianLikelihood(
        noise_prior=LogNormalPrior(*noise),
        noise_constraint=GreaterThan(_LEAST_NOISE, transform=None, initial_value=1e-3),
    )
    model = SingleTaskGP(
        torch.tensor(features), standard, likelihood=likelihood, covar_module=kernel, outcome_transform=None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about added jitter and the limit on steps
        fit_gpytorch_mll_scipy(ExactMarginalLogLikelihood(model.likelihood, model), options={"maxiter": _MAX_STEPS})
    return Hyperparameters(kernel.lengthscale.detach().numpy()[0].copy(), float(model.likelihood.noise.detach()))
