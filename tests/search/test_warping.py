"""The scale of errors, there and back."""

import numpy as np
import pytest

from nasfuse.search.warping import Warp

ERRORS = np.array([0.01, 0.02, 0.03, 0.05, 0.2])
WARP = Warp.from_errors(ERRORS)


def test_half_of_the_errors_are_within_its_scale():
    assert (WARP.best, WARP.scale) == pytest.approx((0.01, 0.02))
    assert WARP.warped(ERRORS)[[0, 2]] == pytest.approx([0.0, np.log(2)])


def test_the_warping_is_inverted():
    assert WARP.unwarped(WARP.warped(ERRORS)) == pytest.approx(ERRORS)


def test_where_most_errors_are_the_best_the_others_still_give_a_scale():
    assert Warp.from_errors(np.array([0.1, 0.1, 0.1, 0.5])).scale == pytest.approx(0.4)
    assert Warp.from_errors(np.array([0.1] * 6 + [0.3, 0.5, 1e30])).scale == pytest.approx(0.4)
    assert Warp.from_errors(np.full(3, 0.1)).scale == 1.0


@pytest.mark.parametrize("best", [0.1, 0.3, -0.7, 0.0])
def test_the_scale_is_positive_where_errors_differ_by_the_last_digit_only(best):
    warp = Warp.from_errors(np.append(np.full(6, best), np.nextafter(best, 1)))
    assert warp.scale > 0 and warp.warped(best) == 0 and np.isfinite(warp.warped([best, 0.9])).all()


def test_diverged_trainings_are_equally_bad():
    below, above, diverged = WARP.warped(np.array([1.0, 1e6, 1e90]))
    assert below < above == diverged < 10


def test_a_small_variance_becomes_that_of_the_slope():
    draws = WARP.warped(0.05 + 1e-3 * np.random.default_rng(0).normal(size=100_000))
    variance = WARP.warped_variances(1e-6, 0.05)
    assert variance == pytest.approx(np.var(draws), rel=0.02)
    assert WARP.unwarped_variances(variance, 0.05) == pytest.approx(1e-6)
