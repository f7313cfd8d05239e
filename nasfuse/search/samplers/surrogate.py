"""The surrogate: a Gaussian process that predicts one objective from features in the unit interval."""

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

#: Steps of the search for hyperparameters; more change the posterior little.
_MAX_STEPS = 40

#: Mean and standard deviation of the logarithm of the noise variance before anything is seen. The most probable
#: variance is exp(mean - sd**2). Of trainings it is .02, since with a much smaller one a few dozen are fitted exactly,
#: luck and all; wide, as some differ by a tenth of the spread between networks and tables of results by nothing. Of
#: what is counted, such as MACs, it is 5e-5.
OF_TRAININGS = (0.0, 2.0)
OF_COUNTS = (-6.0, 2.0)
_LEAST_NOISE = 1e-5


@dataclass(frozen=True)
class Hyperparameters:
    """What a Gaussian process of standardised targets is like.

    Attributes:
        lengths: Length scale of each feature, (d,).
        noise: Variance of an observation around the function.
    """

    lengths: Array
    noise: float


class Surrogate:
    """A Gaussian process with a Matern-5/2 kernel, one length scale per feature and a learned noise.

    GPyTorch learns the hyperparameters; the posterior is computed here, because GPyTorch's also says what the
    candidates have to do with one another, which takes most of the time and is not asked.
    """

    def __init__(
        self, features: Array, targets: Array, *, fitted: Hyperparameters, doubts: Array | None = None
    ) -> None:
        """Conditions on all observations.

        Args:
            features: Shape (n, d).
            targets: Shape (n,), finite, on any scale.
            fitted: Hyperparameters, as `fit` returns them.
            doubts: Shape (n,), variance of each target beyond the noise; none where left out.
        """
        self._fitted = fitted
        self._shift, self._scale = _standardisation(targets)
        self._observed = features
        self._n = len(features)
        self._doubts = np.zeros(self._n) if doubts is None else doubts / self._scale**2
        self._factor = self._cholesky(features)
        residual = (targets - self._shift) / self._scale
        self._weights = _solve(self._factor.T, _solve(self._factor, residual, lower=True), lower=False)
        self._known = features

    def believe(self, features: Array) -> None:
        """Takes the candidates `features` (m, d) as if they had been observed to be what is expected of them.

        That is the kriging believer (Ginsbourger et al. 2010, section 4.2): the deviation shrinks around them,
        and the mean stays what it is.
        """
        self._known = np.concatenate([self._observed, features])
        self._factor = self._cholesky(self._known)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Returns mean and standard deviation, both (m,), of the objective without its noise at `features` (m, d)."""
        covariance = self._covariance(self._known, features)
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

    The prior of the length scales is BoTorch's: Hvarfner et al. 2024, Vanilla Bayesian Optimization Performs
    Great in High Dimensions, equation 6. The search starts at fixed values, so that the answer depends on the
    observations alone; it is kept for the next call. `noise` is the prior of the noise variance, a log-normal one.
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
        warnings.simplefilter("ignore")  # of jitter on the way, of steps that ran out
        fit_gpytorch_mll_scipy(ExactMarginalLogLikelihood(model.likelihood, model), options={"maxiter": _MAX_STEPS})
    return Hyperparameters(kernel.lengthscale.detach().numpy()[0].copy(), float(model.likelihood.noise.detach()))
