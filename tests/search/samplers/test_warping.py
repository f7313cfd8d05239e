"""The scale of errors: there and back, and the expected improvement on it against draws and the limit of a line."""

import numpy as np
import pytest

from nasfuse.search.samplers.expected_improvement import log_expected_improvement
from nasfuse.search.samplers.warping import Warp

ERRORS = np.array([0.01, 0.02, 0.03, 0.05, 0.2])
WARP = Warp.of(ERRORS)


def test_half_of_the_errors_are_within_its_scale():
    assert (WARP.best, WARP.scale) == pytest.approx((0.01, 0.02))
    assert WARP.warped(ERRORS)[[0, 2]] == pytest.approx([0.0, np.log(2)])


def test_there_and_back():
    assert WARP.unwarped(WARP.warped(ERRORS)) == pytest.approx(ERRORS)


def test_where_most_errors_are_the_best_the_others_still_give_a_scale():
    assert Warp.of(np.array([0.1, 0.1, 0.1, 0.5])).scale == pytest.approx(0.1)
    assert Warp.of(np.full(3, 0.1)).scale == 1.0


def test_what_diverged_is_all_equally_bad():
    below, above, diverged = WARP.warped(np.array([1.0, 1e6, 1e90]))
    assert below < above == diverged < 10


def test_a_small_variance_becomes_that_of_the_slope():
    draws = WARP.warped(0.05 + 1e-3 * np.random.default_rng(0).normal(size=100_000))
    assert WARP.variances(np.array([1e-6]), np.array([0.05])) == pytest.approx(np.var(draws), rel=0.02)


@pytest.mark.parametrize("sd", [0.02, 0.3, 1.5])
@pytest.mark.parametrize("mean", [-0.5, 0.7, 2.0])
@pytest.mark.parametrize("level", [0.012, 0.04, 0.3])
def test_the_improvement_is_the_mean_of_draws(level, mean, sd):
    values = mean + sd * np.random.default_rng(0).normal(size=400_000)
    gains = np.maximum(level - WARP.unwarped(values), 0.0)
    found = np.exp(WARP.log_expected_improvement(np.array(level), np.array(mean), np.array(sd)))
    assert found == pytest.approx(gains.mean(), abs=5 * gains.std() / np.sqrt(len(gains)) + 1e-6)


@pytest.mark.parametrize("z", [-2000.0, -300.0, -40.0, -3.0, 0.0, 3.0])
def test_a_small_deviation_is_a_line_through_the_level(z):
    level, sd = np.array(0.04), np.array(1e-7)
    mean = WARP.warped(level) - z * sd
    slope = level - WARP.best + WARP.scale
    line = np.log(slope) + log_expected_improvement(WARP.warped(level), mean, sd)
    assert WARP.log_expected_improvement(level, mean, sd) == pytest.approx(line, abs=1e-2)


def test_it_is_finite_and_falls_far_beyond_the_level():
    far = WARP.log_expected_improvement(np.array(0.02), np.array([1.0, 5.0, 9.0, 200.0]), np.array(0.01))
    assert np.isfinite(far).all() and (np.diff(far) < 0).all()


def test_what_is_certain_to_be_better_gains_the_difference():
    found = WARP.log_expected_improvement(np.array(0.05), WARP.warped(np.array(0.02)), np.array(0.0))
    assert np.exp(found) == pytest.approx(0.03)
