"""The surrogate: its posterior is BoTorch's, it interpolates, and belief changes no mean."""

import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP
from gpytorch.kernels import MaternKernel

from nasfuse.search.samplers.surrogate import OF_TRAININGS, Hyperparameters, Surrogate, fit

RNG = np.random.default_rng(0)
FEATURES = RNG.random((30, 3))
TARGETS = 5 + 2 * np.sin(4 * FEATURES[:, 0]) + FEATURES[:, 1]
OTHERS = RNG.random((6, 3))


def test_the_posterior_is_botorchs():
    fitted = Hyperparameters(np.array([0.3, 0.7, 2.0]), 0.01)
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
    fitted = fit(FEATURES, TARGETS, noise=OF_TRAININGS)
    mean, sd = Surrogate(FEATURES, TARGETS, fitted=fitted).predict(OTHERS)
    np.testing.assert_allclose(mean, 5 + 2 * np.sin(4 * OTHERS[:, 0]) + OTHERS[:, 1], atol=0.2)
    assert (sd < 0.5).all()
    assert fitted.lengths.argmax() == 2
    assert fitted.noise < 0.01


def test_noise_is_learnt():
    noisy = np.random.default_rng(1).normal(size=30)
    assert fit(np.repeat(FEATURES[:6], 5, axis=0), noisy, noise=OF_TRAININGS).noise > 0.2


def test_doubts_are_noise_of_single_observations():
    """Noise .01 and a doubt of .03 in standardised targets are noise .04."""
    doubts = np.full(len(TARGETS), 0.03 * TARGETS.var())
    found = Surrogate(FEATURES, TARGETS, fitted=Hyperparameters(np.full(3, 0.3), 0.01), doubts=doubts).predict(OTHERS)
    expected = Surrogate(FEATURES, TARGETS, fitted=Hyperparameters(np.full(3, 0.3), 0.04)).predict(OTHERS)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_belief_changes_no_mean_and_shrinks_the_deviation():
    surrogate = Surrogate(FEATURES, TARGETS, fitted=Hyperparameters(np.full(3, 0.3), 1e-3))
    mean, sd = surrogate.predict(OTHERS)
    surrogate.believe(OTHERS[:1])
    believed_mean, believed_sd = surrogate.predict(OTHERS)
    np.testing.assert_array_equal(believed_mean, mean)
    assert (believed_sd <= sd + 1e-12).all()
    assert believed_sd[0] < 0.1 * sd[0]
    all_targets = np.concatenate([TARGETS, mean[:1]])
    told = Surrogate(np.concatenate([FEATURES, OTHERS[:1]]), all_targets, fitted=Hyperparameters(np.full(3, 0.3), 1e-3))
    np.testing.assert_allclose(told.predict(OTHERS)[1] / all_targets.std(), believed_sd / TARGETS.std(), rtol=1e-9)


@pytest.mark.parametrize("targets", [np.zeros(30), np.full(30, 1e50), np.linspace(0, 1e-300, 30)])
def test_constant_targets_are_predicted(targets):
    mean, sd = Surrogate(FEATURES, targets, fitted=fit(FEATURES, targets, noise=OF_TRAININGS)).predict(OTHERS)
    np.testing.assert_allclose(mean, targets[:6], rtol=1e-6, atol=1e-6)
    assert np.isfinite(sd).all()
