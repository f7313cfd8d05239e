"""Warping: the scale on which errors are compared and modelled."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Distances in scales at which a warp ends, below the best error and above: what diverged is all equally bad.
_LEAST, _MOST = 1e-3, 1e4


@dataclass(frozen=True)
class Warp:
    """Errors on a logarithmic scale: log(1 + (error - best) / scale).

    What a parameter or a further epoch does to an error goes with the error: what takes a small network from .20 to
    .14 takes a large one from .020 to .014, and repeated trainings spread likewise. On the errors themselves a model
    whose deviations are the same everywhere would see the first as an outlier or the second not at all. Near the best
    error the scale is linear, so that an error of 0 is nothing special.

    Attributes:
        best: The lowest error.
        scale: How far above it errors begin to be large, positive.
    """

    best: float
    scale: float

    @classmethod
    def of(cls, errors: NDArray[np.float64]) -> "Warp":
        """Returns the scale for `errors` (n,), at least one, finite: how far their median is above the best.

        Where half of them are the best, it is the median of the others; where all are, 1.
        """
        best = float(errors.min())
        worse = errors[errors > best]
        if len(worse) == 0:
            return cls(best, 1.0)
        return cls(best, (float(np.median(errors)) - best) or (float(np.median(worse)) - best))

    def warped(self, errors: ArrayLike) -> NDArray[np.float64]:
        """Returns `errors` on the scale of the warp; best is 0, best + scale is log 2."""
        return np.log(self._distances(errors))

    def unwarped(self, values: ArrayLike) -> NDArray[np.float64]:
        """Returns the errors of `values` on the scale of the warp."""
        return np.asarray(self.best + self.scale * np.expm1(values))

    def warped_variances(self, variances: ArrayLike, errors: ArrayLike) -> NDArray[np.float64]:
        """Returns `variances` of `errors` on the scale of the warp, to first order."""
        deviations = np.sqrt(variances) / self.scale / self._distances(errors)
        return np.square(np.minimum(deviations, math.log(_MOST)))

    def unwarped_variances(self, variances: ArrayLike, errors: ArrayLike) -> NDArray[np.float64]:
        """Returns `variances` on the scale of the warp as those of `errors`, to first order."""
        return np.square(np.sqrt(variances) * self.scale * self._distances(errors))

    def _distances(self, errors: ArrayLike) -> NDArray[np.float64]:
        """Returns how far `errors` are above best - scale, in scales."""
        return np.clip(1 + (np.asarray(errors, dtype=np.float64) - self.best) / self.scale, _LEAST, _MOST)
