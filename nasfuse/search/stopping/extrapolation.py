"""Extrapolation: where a training would end, or would have ended if it had not been stopped."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nasfuse.search.trial import TrialView
from nasfuse.search.warping import Warp

#: Full trainings from which on the gains that are still to come may depend on what is reached.
_FOR_A_SLOPE = 5

#: Errors beyond are no numbers to compute with.
LARGEST = 1e100


class Extrapolation:
    """Predicts the metric at the end from the metric at a rung, as full trainings of the study went on from there.

    A line per rung, by least squares, on a logarithmic scale of errors: the epochs that are left divide them by about
    the same factor, whether they are large or small. Its slope is between 0 and 1: what is behind at a rung catches
    up rather than falling back further. Of few full trainings the mean gain is taken, of none nothing. Trainings that
    started from inherited weights have lines of their own: they have less to gain.
    """

    def __init__(self, trials: Sequence[TrialView], *, sign: float) -> None:
        """Collects what full trainings had reached at their rungs, from the user attributes `rungs` and `epochs`.

        Args:
            trials: Of the study.
            sign: 1 where the metric is minimised, -1 where it is maximised.
        """
        self._sign = sign
        errors: dict[tuple[int, int, bool], list[tuple[float, float]]] = defaultdict(list)
        for trial in trials:
            if trial.is_complete:
                for epoch, reached in trial.rungs.items():
                    pair = (sign * reached, sign * trial.metric)
                    if (np.abs(pair) < LARGEST).all():
                        errors[epoch, trial.epochs, trial.is_inherited].append(pair)
        ended = [pair[1] for pairs in errors.values() for pair in pairs]
        self._warp = Warp.of(np.array(ended or [0.0]))
        self._pairs = {key: self._warp.warped(pairs) for key, pairs in errors.items()}

    def end(self, *, epoch: int, epochs: int, metric: float, inherited: bool) -> tuple[float, float]:
        """Returns what the metric will be after `epochs` if it is `metric` after `epoch`, and its variance.

        The median of what is expected. The variance, to first order, is that of the full trainings around their line;
        of one alone, the square of its gain.
        """
        pairs = self._pairs.get((epoch, epochs, inherited))
        if pairs is None:
            return metric, 0.0
        reached, ended = pairs.mean(axis=0)
        slope, n_free = 1.0, len(pairs) - 1
        spread = float(np.var(pairs[:, 0]))
        if len(pairs) >= _FOR_A_SLOPE and spread > 0:
            together = float(np.mean((pairs[:, 0] - reached) * (pairs[:, 1] - ended)))
            slope, n_free = min(max(together / spread, 0.0), 1.0), len(pairs) - 2
        line = ended + slope * (pairs[:, 0] - reached)
        variance = np.sum((pairs[:, 1] - line) ** 2) / n_free if n_free else (ended - reached) ** 2
        error = self._warp.unwarped(ended + slope * (self._warp.warped(self._sign * metric) - reached))
        return self._sign * float(error), float(self._warp.unwarped_variances(variance, error))
