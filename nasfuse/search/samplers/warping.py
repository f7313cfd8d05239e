"""Warping: the scale on which errors are modelled."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from nasfuse.search.samplers.domain import Array
from nasfuse.search.samplers.expected_improvement import log_expected_improvement

#: Relative differences of two logarithms below are lost in rounding.
_LEAST_GAP = 1e-9

#: Distances in scales at which a warp ends, below the best error and above: what diverged is all equally bad.
_LEAST, _MOST = 1e-3, 1e4


@dataclass(frozen=True)
class Warp:
    """Errors on a logarithmic scale: log(1 + (error - best) / scale).

    What a parameter does to an error goes with the error: a learning rate that takes a small network from .20 to .14
    takes a large one from .020 to .014, and repeated trainings spread likewise. On the errors themselves a Gaussian
    process, whose deviations are the same everywhere, would see the first as an outlier or the second not at all.
    Near the best error the scale is linear, so that an error of 0 is nothing special.

    Attributes:
        best: The lowest error.
        scale: How far above it errors begin to be large, positive.
    """

    best: float
    scale: float

    @classmethod
    def of(cls, errors: Array) -> "Warp":
        """Returns the scale for `errors` (n,): half of them are less than its scale above the best."""
        best, worst = float(errors.min()), float(errors.max())
        if best == worst:
            return cls(best, 1.0)
        return cls(best, (float(np.median(errors)) - best) or (float(np.mean(errors)) - best))

    def warped(self, errors: Array) -> Array:
        """Returns `errors` on the scale of the warp; best is 0, best + scale is log 2."""
        return np.log(self._distances(errors))

    def unwarped(self, values: Array) -> Array:
        """Returns the errors of `values` on the scale of the warp."""
        return np.asarray(self.best + self.scale * np.expm1(values))

    def variances(self, variances: Array, errors: Array) -> Array:
        """Returns `variances` of `errors` on the scale of the warp, to first order."""
        deviations = np.sqrt(variances) / self.scale / self._distances(errors)
        return np.square(np.minimum(deviations, math.log(_MOST)))

    def log_expected_improvement(self, level: Array, mean: Array, sd: Array) -> Array:
        """Returns log E[(level - error)+] for an error whose warped value is normal with `mean` and `sd`.

        The expected improvement of a log-normal variable: with l the warped level and z = (l - mean) / sd it is
        scale (exp(l) Phi(z) - exp(mean + sd^2 / 2) Phi(z - sd)). All arguments are broadcast.
        """
        level = self.warped(level)
        sd = np.maximum(sd, 1e-12)
        z = (level - mean) / sd
        log_level = level + log_ndtr(z)
        gap = log_level - (mean + sd**2 / 2 + log_ndtr(z - sd))
        # Of two that are as good as equal the difference is that of a line through the level.
        near = level + log_expected_improvement(level, mean, sd)
        exact = log_level + np.log(-np.expm1(-np.maximum(gap, _LEAST_GAP)))
        return np.asarray(math.log(self.scale) + np.where(gap > _LEAST_GAP, exact, near))

    def _distances(self, errors: Array) -> Array:
        """Returns how far `errors` are above best - scale, in scales."""
        return np.clip(1 + (np.asarray(errors) - self.best) / self.scale, _LEAST, _MOST)
