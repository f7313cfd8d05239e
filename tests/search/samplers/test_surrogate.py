"""The surrogate: its posterior is BoTorch's, it interpolates, and belief changes no mean."""

import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP
from gpytorch.kernels import MaternKernel

from nasfuse.search.samplers.hyperparameters import OF_TRAININGS, Hyperparameters, fit
from nasfuse.search.samplers.surrogate import Surrogate

RNG = np.random.default_rng(0)
FEATURES = RNG.random((30, 3))
TARGETS = 5 + 2 * np.sin(4 * FEATURES[:, 0]) + FEATURES[:, 1]
OTHERS = RNG.random((6, 3))


def test_the_posterior_is_botorchs():
    fitted = Hyperparameters(np.array([0.3, 0.7, 2.0]), 0.01, np.zeros(3))
    kernel = MaternKernel(nu=2.5, ard_num_dims=3)
    kernel.lengthscale = torch.tensor(fitted.lengths)
    standard = (TARGETS - TARGETS.mean()) / TARGETS.std()
    theirs = SingleTaskGP(
        torch.tensor(FEATURES), torch.tensor(standard)[:, None], covar_module=kernel.double(), outcome_transform=None
    )
    theirs.likelihood.noise = fitted.noise
    theirs.mean_module.initialize(constant=0.0)
    posterior = theirs.posterior(torch.tensor(OTHERS))
    mean, sd = Surrogate(FEATURES, TARGETS, fitted=fitted).predict(OTHERS)
    np.testing.assert_allclose(mean, posterior.mean[:, 0].detach() * TARGETS.std() + TARGETS.mean(), rtol=1e-6)
    np.testing.assert_allclose(sd, posterior.variance[:, 0].detach().sqrt() * TARGETS.std(), rtol=1e-4)


def test_it_learns_a_smooth_function_and_irrelevant_features():
    fitted = fit(FEATURES, TARGETS, groups=np.arange(3), noise=OF_TRAININGS)
    mean, sd = Surrogate(FEATURES, TARGETS, fitted=fitted).predict(OTHERS)
    np.testing.assert_allclose(mean, 5 + 2 * np.sin(4 * OTHERS[:, 0]) + OTHERS[:, 1], atol=0.2)
    assert (sd < 0.5).all()
    assert fitted.lengths.argmax() == 2
    assert fitted.noise < 0.01


def test_noise_is_learnt():
    noisy = np.random.default_rng(1).normal(size=30)
    assert fit(np.repeat(FEATURES[:6], 5, axis=0), noisy, groups=np.arange(3), noise=OF_TRAININGS).noise > 0.2


def test_doubts_are_noise_of_single_observations():
    """Noise .01 and a doubt of .03 in standardised targets are noise .04."""
    doubts = np.full(len(TARGETS), 0.03 * TARGETS.var())
    found = Surrogate(
        FEATURES, TARGETS, fitted=Hyperparameters(np.full(3, 0.3), 0.01, np.zeros(3)), doubts=doubts
    ).predict(OTHERS)
    expected = Surrogate(FEATURES, TARGETS, fitted=Hyperparameters(np.full(3, 0.3), 0.04, np.zeros(3))).predict(OTHERS)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_belief_changes_no_mean_and_shrinks_the_deviation():
    surrogate = Surrogate(FEATURES, TARGETS, fitted=Hyperparameters(np.full(3, 0.3), 1e-3, np.zeros(3)))
    mean, sd = surrogate.predict(OTHERS)
    surrogate.believe(OTHERS[:1])
    believed_mean, believed_sd = surrogate.predict(OTHERS)
    np.testing.assert_array_equal(believed_mean, mean)
    assert (believed_sd <= sd + 1e-12).all()
    assert believed_sd[0] < 0.1 * sd[0]
    all_targets = np.concatenate([TARGETS, mean[:1]])
    told = Surrogate(
        np.concatenate([FEATURES, OTHERS[:1]]), all_targets, fitted=Hyperparameters(np.full(3, 0.3), 1e-3, np.zeros(3))
    )
    np.testing.assert_allclose(told.predict(OTHERS)[1] / all_targets.std(), believed_sd / TARGETS.std(), rtol=1e-9)


@pytest.mark.parametrize("targets", [np.zeros(30), np.full(30, 1e50), np.linspace(0, 1e-300, 30)])
def test_constant_targets_are_predicted(targets):
    mean, sd = Surrogate(
        FEATURES, targets, fitted=fit(FEATURES, targets, groups=np.arange(3), noise=OF_TRAININGS)
    ).predict(OTHERS)
    np.testing.assert_allclose(mean, targets[:6], rtol=1e-6, atol=1e-6)
    assert np.isfinite(sd).all()


def test_the_posterior_with_a_trend_is_that_of_bayesian_regression():
    """With long length scales only the trend is left: a ridge regression on the second feature."""
    fitted = Hyperparameters(np.full(3, 1e6), 0.1, np.array([0.0, 2.0, 0.0]))
    mean, sd = Surrogate(FEATURES, TARGETS, fitted=fitted).predict(OTHERS)
    design, others = (np.column_stack([np.ones(len(one)), one[:, 1] - 0.5]) for one in (FEATURES, OTHERS))
    inner = np.linalg.inv(design.T @ design / 0.1 + np.diag([1, 1 / 2]))
    standard = (TARGETS - TARGETS.mean()) / TARGETS.std()
    expected = others @ inner @ design.T @ standard / 0.1
    np.testing.assert_allclose(mean, expected * TARGETS.std() + TARGETS.mean(), rtol=1e-6)
    np.testing.assert_allclose(sd, np.sqrt(np.sum(others @ inner * others, axis=1)) * TARGETS.std(), rtol=1e-4)
