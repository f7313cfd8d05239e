"""Warping: the logarithmic scale on which errors are modelled."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Range to which 1 + (error - best) / scale is clipped, so that all diverged trainings count as equally bad.
_LEAST, _MOST = 1e-3, 1e4


@dataclass(frozen=True)
class Warp:
    """Errors on a logarithmic scale: log(1 + (error - best) / scale).

    The effect of a parameter or of further epochs is roughly proportional to the error: what improves a small network
    from .20 to .14 improves a large one from .020 to .014, and the spread of repeated trainings behaves likewise. A
    model with constant variance fits such data on a logarithmic scale. Near the best error the scale is linear, so that
    an error of 0 is not singular.

    Attributes:
        best: Lowest error.
        scale: Distance from the best error at which the scale changes from linear to logarithmic, positive.
    """

    best: float
    scale: float

    @classmethod
    def from_errors(cls, errors: NDArray[np.float64]) -> "Warp":
        """Returns the warp for finite `errors`, shape (n,); the scale is the distance of the median from the best.

        If the median equals the best error, the median of the other errors is used; if all are equal, the scale is 1.
        """
        best = float(errors.min())
        worse = errors[errors > best]
        if len(worse) == 0:
            return cls(best, 1.0)
        return cls(best, (float(np.median(errors)) - best) or (float(np.median(worse)) - best))

    def warped(self, errors: ArrayLike) -> NDArray[np.float64]:
        """Returns the warped values of `errors`; the best error is 0, best + scale is log 2."""
        return np.log(self._distances(errors))

    def unwarped(self, values: ArrayLike) -> NDArray[np.float64]:
        """Returns the errors with the warped `values`."""
        return np.asarray(self.best + self.scale * np.expm1(values))

    def warped_variances(self, variances: ArrayLike, errors: ArrayLike) -> NDArray[np.float64]:
        """Returns the variances of the warped values of `errors` with `variances`, to first order."""
        deviations = np.sqrt(variances) / self.scale / self._distances(errors)
        return np.square(np.minimum(deviations, math.log(_MOST)))

    def unwarped_variances(self, variances: ArrayLike, errors: ArrayLike) -> NDArray[np.float64]:
        """Returns the variances of `errors` whose warped values have `variances`, to first order."""
        return np.square(np.sqrt(variances) * self.scale * self._distances(errors))

    def _distances(self, errors: ArrayLike) -> NDArray[np.float64]:
        """Returns 1 + (errors - best) / scale, clipped to a finite positive range."""
        return np.clip(1 + (np.asarray(errors, dtype=np.float64) - self.best) / self.scale, _LEAST, _MOST)
