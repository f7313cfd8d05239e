"""Expected hypervolume improvement against Monte Carlo, BoTorch and what can be computed by hand."""

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.models.deterministic import GenericDeterministicModel
from botorch.posteriors import GPyTorchPosterior
from botorch.utils.multi_objective.box_decompositions import NondominatedPartitioning
from gpytorch.distributions import MultitaskMultivariateNormal
from scipy.stats import norm

from nasfuse.pareto import hypervolume
from nasfuse.search.samplers.ehvi import (
    log_expected_hypervolume_improvement,
    log_expected_improvement,
    log_expected_improvement_of_logs,
)

FRONT = np.array([[0.9, 0.1], [0.6, 0.3], [0.5, 0.6], [0.2, 0.8]])
REFERENCE = np.array([1.0, 1.0])


def improvement(mean, sd, *, front=FRONT, reference=REFERENCE):
    """EHVI of one draw."""
    (found,) = log_expected_hypervolume_improvement(
        front,
        reference,
        error=(np.array(mean[:1]), np.array(sd[:1])),
        cost=(np.array(mean[1:]), np.array(sd[1:])),
    )
    return float(np.exp(found))


class Normal(GenericDeterministicModel):
    """A model whose posterior is the same normal distribution everywhere."""

    def __init__(self, mean, sd):
        super().__init__(lambda x: x, num_outputs=2)
        self.mean, self.sd = mean, sd

    def posterior(self, X, **_):
        mean = torch.tensor(self.mean, dtype=torch.float64).expand(*X.shape[:-1], 2)
        covariance = torch.diag(torch.tensor(self.sd, dtype=torch.float64) ** 2).expand(*X.shape[:-2], 2, 2)
        return GPyTorchPosterior(MultitaskMultivariateNormal(mean, covariance))


@pytest.mark.parametrize("mean", [(0.4, 0.2), (0.55, 0.55), (0.1, 0.9), (0.95, 0.05), (0.8, 0.7)])
@pytest.mark.parametrize("sd", [(0.2, 0.1), (0.01, 0.3), (0.3, 0.0)])
def test_it_equals_botorchs(mean, sd):
    reference = torch.tensor(-REFERENCE)
    boxes = NondominatedPartitioning(ref_point=reference, Y=torch.tensor(-FRONT))
    model = Normal([-one for one in mean], [max(one, 1e-6) for one in sd])
    theirs = ExpectedHypervolumeImprovement(model, ref_point=reference, partitioning=boxes)
    assert improvement(mean, sd) == pytest.approx(float(theirs(torch.zeros(1, 1, 2))), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("sd", [(0.2, 0.15), (0.3, 0.0)])
def test_it_is_the_mean_of_what_draws_add(sd):
    mean = np.array([0.5, 0.4])
    draws = mean + np.array(sd) * np.random.default_rng(0).normal(size=(4000, 2))
    before = hypervolume(FRONT, reference=REFERENCE)
    added = [hypervolume(np.vstack([FRONT, draw]), reference=REFERENCE) - before for draw in draws]
    error = 4 * np.std(added) / np.sqrt(len(added))
    assert improvement(mean, sd) == pytest.approx(np.mean(added), abs=error)


def test_a_certain_candidate_adds_its_area():
    assert improvement((0.4, 0.2), (0.0, 0.0)) == pytest.approx(0.1 * 0.5 + 0.3 * 0.2 + 0.2 * 0.1)
    assert improvement((0.4, 0.2), (0.0, 0.0), front=np.empty((0, 2))) == pytest.approx(0.6 * 0.8)


def test_dominated_and_repeated_points_and_those_beyond_the_reference_change_nothing():
    more = np.vstack([FRONT, FRONT, [[0.95, 0.95], [0.1, 1.2], [1.4, 0.01]]])
    assert improvement((0.5, 0.4), (0.2, 0.1), front=more) == improvement((0.5, 0.4), (0.2, 0.1))


def test_a_candidate_beyond_the_reference_adds_nothing():
    assert improvement((0.1, 1.1), (0.1, 0.0)) == 0


def test_the_logarithm_is_right_and_goes_on_where_the_expectation_underflows():
    z = np.array([-30.0, -5.0, -0.5, 0.0, 0.5, 5.0, 50.0])
    found = log_expected_improvement(z * 0.1, np.zeros(7), np.full(7, 0.1))
    direct = 0.1 * (norm.pdf(z) + z * norm.cdf(z))
    np.testing.assert_allclose(np.exp(found[1:]), direct[1:], rtol=1e-9)
    assert found[0] == pytest.approx(np.log(0.1) + norm.logpdf(-30.0) - np.log(30.0**2), rel=1e-4)
    far = log_expected_improvement(np.array([-1e3, -2e3]), np.zeros(2), np.ones(2))
    assert np.isfinite(far).all() and far[0] > far[1]


class TestOfLogs:
    """An error whose logarithm is normal."""

    @pytest.mark.parametrize("sd", [0.02, 0.3, 1.5])
    @pytest.mark.parametrize("mean", [-0.5, 0.7, 2.0])
    @pytest.mark.parametrize("level", [0.1, 0.9, 2.7])
    def test_it_is_the_mean_of_draws(self, level, mean, sd):
        values = mean + sd * np.random.default_rng(0).normal(size=400_000)
        gains = np.maximum(np.exp(level) - np.exp(values), 0.0)
        found = np.exp(log_expected_improvement_of_logs(np.array(level), np.array(mean), np.array(sd)))
        assert found == pytest.approx(gains.mean(), abs=5 * gains.std() / np.sqrt(len(gains)) + 1e-6)

    @pytest.mark.parametrize("sd", [1e-7, 1e-5])
    @pytest.mark.parametrize("z", [-9000.0, -300.0, -40.0, -3.0, 0.0, 3.0])
    def test_of_a_small_deviation_it_is_that_of_the_tangent(self, z, sd):
        level, sd = np.array(0.9), np.array(sd)
        tangent = level + log_expected_improvement(level, level - z * sd, sd)
        assert log_expected_improvement_of_logs(level, level - z * sd, sd) == pytest.approx(tangent, abs=1e-2)

    def test_it_is_finite_and_falls_far_beyond_the_level(self):
        far = log_expected_improvement_of_logs(np.array(0.4), np.array([1.0, 5.0, 9.0, 200.0]), np.array(0.01))
        assert np.isfinite(far).all() and (np.diff(far) < 0).all()

    def test_what_is_certain_to_be_better_gains_the_difference(self):
        found = log_expected_improvement_of_logs(np.log(0.05), np.log(0.02), np.array(0.0))
        assert np.exp(found) == pytest.approx(0.03)
