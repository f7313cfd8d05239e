"""Hyperparameters: the optimum is the one of BoTorch, gradients are right, groups share a length, trends continue."""

import warnings

import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch.constraints import GreaterThan
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ZeroMean
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from scipy.optimize import approx_fprime

from nasfuse.search.samplers.hyperparameters import OF_COUNTS, OF_TRAININGS, _Posterior, fit
from nasfuse.search.samplers.surrogate import Surrogate

RNG = np.random.default_rng(0)
FEATURES = RNG.random((30, 4))
TARGETS = np.sin(4 * FEATURES[:, 0]) + FEATURES[:, 1] + 0.1 * RNG.normal(size=30)
STANDARD = (TARGETS - TARGETS.mean()) / TARGETS.std()
ALONE = np.arange(4)


@pytest.mark.parametrize("noise", [OF_TRAININGS, OF_COUNTS])
def test_the_density_is_botorchs(noise):
    """Up to a constant, at two points; BoTorch's is divided by the number of observations."""
    kernel = get_covar_module_with_dim_scaled_prior(ard_num_dims=4, use_rbf_kernel=False)
    likelihood = GaussianLikelihood(
        noise_prior=LogNormalPrior(*noise), noise_constraint=GreaterThan(1e-5, transform=None, initial_value=1e-3)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SingleTaskGP(
            torch.tensor(FEATURES),
            torch.tensor(STANDARD)[:, None],
            likelihood=likelihood,
            covar_module=kernel.double(),
            mean_module=ZeroMean(),
            outcome_transform=None,
        )
    density = ExactMarginalLogLikelihood(model.likelihood, model)
    own = _Posterior(FEATURES, STANDARD, groups=ALONE, noise=noise, trend=None)
    found = []
    for lengths, variance in (([0.4, 0.9, 3.0, 5.0], 0.01), ([1.0, 2.0, 2.0, 1.0], 0.2)):
        kernel.lengthscale = torch.tensor(lengths)
        model.likelihood.noise = variance
        theirs = -len(TARGETS) * float(density(model(model.train_inputs[0]), model.train_targets))
        found.append(theirs - own(np.log([*lengths, variance]))[0])
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.parametrize("trend", [None, 3])
@pytest.mark.parametrize("groups", [ALONE, np.array([0, 1, 1, 2])])
def test_the_gradient_is_that_of_the_value(groups, trend):
    posterior = _Posterior(FEATURES, STANDARD, groups=groups, noise=OF_TRAININGS, trend=trend)
    at = posterior.first + np.linspace(-0.5, 0.5, len(posterior.first))
    gradient = approx_fprime(at, lambda logs: posterior(logs)[0], 1e-6)
    np.testing.assert_allclose(posterior(at)[1], gradient, rtol=1e-3, atol=1e-3)


def test_features_of_a_group_have_one_length():
    lengths = fit(FEATURES, TARGETS, groups=np.array([0, 1, 2, 2]), noise=OF_TRAININGS).lengths
    assert lengths[2] == lengths[3] > lengths[1] > lengths[0]


def test_the_slope_of_a_trend_is_that_of_the_observations():
    """A line that was observed in the middle of a range is continued to its ends; without a trend it is not."""
    middle = FEATURES.copy()
    middle[:, 1] = 0.35 + 0.3 * FEATURES[:, 1]
    line = 3 * middle[:, 1] + 0.02 * RNG.normal(size=30)
    ends = np.full((2, 4), 0.5)
    ends[:, 1] = 0, 1
    found = {}
    for trend in (None, 1):
        fitted = fit(middle, line, groups=ALONE, noise=OF_TRAININGS, trend=trend)
        assert not fitted.slopes[[0, 2, 3]].any()
        found[trend], _ = Surrogate(middle, line, fitted=fitted).predict(ends)
    np.testing.assert_allclose(found[1], [0, 3], atol=0.2)
    assert np.ptp(found[None]) < 2.6
