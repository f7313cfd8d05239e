"""Expected hypervolume improvement for two objectives, of which the second may be known exactly, in closed form."""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erfcx, log_ndtr, logsumexp

from nasfuse.search.samplers.domain import Array

_LOG_SQRT_2_PI = 0.5 * math.log(2 * math.pi)

#: Lower bound of standard deviations, so that an exact value needs no separate formula.
_LEAST_SD = 1e-12

#: Relative difference of two logarithms below which it is dominated by rounding errors.
_LEAST_GAP = 1e-9


def log_expected_improvement(level: Array, mean: Array, sd: Array) -> Array:
    """Returns log E[(level - y)+] for normal y; accurate even if the expectation itself underflows.

    Ament et al. 2023, Unexpected Improvements to Expected Improvement, equation 9, with one formula for every
    negative argument: h(z) = phi(z) (1 + z Phi(z) / phi(z)), whose ratio is a scaled error function. All three
    arguments are broadcast.
    """
    sd = np.maximum(sd, _LEAST_SD)
    z = np.clip((level - mean) / sd, -1e5, 1e12)
    density = -0.5 * z**2 - _LOG_SQRT_2_PI
    below = np.minimum(z, 0.0)
    ratio = math.sqrt(math.pi / 2) * erfcx(-below / math.sqrt(2))  # Phi(z) / phi(z)
    # 1 + z * ratio cancels to 1 / z^2 for large arguments.
    small = np.where(below > -1e3, 1 + below * ratio, 1 / np.maximum(below**2, 1.0))
    above = np.maximum(z, 0.0)
    tail = np.exp(-0.5 * above**2 - _LOG_SQRT_2_PI)
    upper = 0.5 * erfcx(above / math.sqrt(2)) * np.exp(-0.5 * above**2)  # 1 - Phi(z)
    large = np.log(tail + above * (1 - upper))
    return np.asarray(np.log(sd) + np.where(z <= 0, density + np.log(np.maximum(small, 1e-300)), large))


def log_expected_improvement_of_logs(level: Array, mean: Array, sd: Array) -> Array:
    """Returns log E[(exp(level) - exp(y))+] for y normal. All three arguments are broadcast.

    With z = (level - mean) / sd the expectation is exp(level) Phi(z) - exp(mean + sd^2 / 2) Phi(z - sd).
    """
    sd = np.maximum(sd, _LEAST_SD)
    z = (level - mean) / sd
    log_level = level + log_ndtr(z)
    gap = log_level - (mean + sd**2 / 2 + log_ndtr(z - sd))
    least = _LEAST_GAP * np.maximum(1.0, np.abs(log_level))
    exact = log_level + np.log(-np.expm1(-np.maximum(gap, least)))
    # If the two are equal up to rounding, exp(y) is replaced by its tangent at the level.
    return np.asarray(np.where(gap > least, exact, level + log_expected_improvement(level, mean, sd)))


def log_expected_hypervolume_improvement(
    front: Array,
    reference: Array,
    *,
    error: tuple[Array, Array],
    cost: tuple[Array, Array],
    error_improvement: Callable[[Array, Array, Array], Array] = log_expected_improvement,
) -> Array:
    """Returns log E[increase of hypervolume] of n draws with independent objectives, both minimised.

    The region that a draw (e, c) adds is divided into strips of cost between neighbours of the front. In the
    strip from lower to upper the best error so far is `level`, so the strip adds (level - e)+ times the width of
    what lies above c, and the expectation of the product is EI(level) (Psi(upper) - Psi(lower)) with
    Psi(t) = E[(t - c)+], which is (t - c)+ itself where the cost is exact. This is the two-objective case of
    Emmerich et al. 2011, Hypervolume-based expected improvement, section 4, with strips instead of cells.

    Args:
        front: Shape (k, 2), errors and costs; dominated points and those beyond the reference have no effect.
        reference: Shape (2,), reference point.
        error: Mean and standard deviation, both (n,), that are passed to `error_improvement`.
        cost: Mean and standard deviation, both (n,); a deviation of 0 marks an exact cost.
        error_improvement: Maps level (on the scale of the front), mean and deviation to log E[(level - e)+]; needed if
            e is not normally distributed.
    """
    levels, edges = _strips(front, reference)
    c_mean, c_sd = (one[:, None] for one in cost)
    psi = np.exp(log_expected_improvement(edges[None, :], c_mean, c_sd))
    psi = np.where(c_sd > 0, psi, np.maximum(edges[None, :] - c_mean, 0.0))
    widths = np.maximum(np.diff(psi, axis=1, prepend=0.0), 0.0)
    e_mean, e_sd = (one[:, None] for one in error)
    with np.errstate(divide="ignore"):
        return np.asarray(logsumexp(error_improvement(levels[None, :], e_mean, e_sd) + np.log(widths), axis=1))


def _strips(front: Array, reference: Array) -> tuple[Array, Array]:
    """Returns the error to beat in each strip and the strip's upper cost, both (k + 1,), cheapest strip first."""
    inside = front[(front < reference).all(axis=1)]
    ordered = inside[np.lexsort((inside[:, 0], inside[:, 1]))]
    best_before = np.minimum.accumulate(np.concatenate([[reference[0]], ordered[:, 0]]))
    kept = ordered[ordered[:, 0] < best_before[:-1]]
    return np.concatenate([[reference[0]], kept[:, 0]]), np.concatenate([kept[:, 1], [reference[1]]])
