"""Extrapolation of learning curves: the final metric of a training, predicted from its metric at a rung."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nasfuse.search.trial import TrialView
from nasfuse.search.warping import Warp

#: Number of complete trainings from which a slope is fitted; with fewer, only the mean gain is used.
_FOR_A_SLOPE = 5

#: Errors with a larger absolute value are ignored, because computing with them overflows.
LARGEST = 1e100


class Extrapolation:
    """Predicts the final metric from the metric at a rung, based on the complete trainings of the study.

    A line is fitted per rung, by least squares, on a logarithmic scale of errors (see `Warp`), on which the remaining
    epochs improve small and large errors by about the same amount. Its slope is limited to [0, 1], since trainings that
    are behind at a rung catch up rather than fall further behind. With few complete trainings the slope is 1 (the mean
    gain); with none, no improvement is predicted. Trainings that started from inherited weights have lines of their
    own, since they improve less. A network with several routes counts with its costliest one.
    """

    def __init__(self, trials: Sequence[TrialView], *, sign: float) -> None:
        """Collects the metrics of complete trainings at their rungs and at their end.

        Args:
            trials: Trials of the study.
            sign: 1 if the metric is minimised, -1 if it is maximised.
        """
        self._sign = sign
        errors: dict[tuple[int, int, bool], list[tuple[float, float]]] = defaultdict(list)
        for trial in trials:
            if trial.is_complete:
                for epoch, reached in trial.rungs.items():
                    pair = (sign * reached, sign * trial.full_metric)
                    if (np.abs(pair) < LARGEST).all():
                        errors[epoch, trial.epochs, trial.is_inherited].append(pair)
        ended = [pair[1] for pairs in errors.values() for pair in pairs]
        self._warp = Warp.from_errors(np.array(ended or [0.0]))
        self._pairs = {key: self._warp.warped(pairs) for key, pairs in errors.items()}

    def end(self, *, epoch: int, epochs: int, metric: float, inherited: bool) -> tuple[float, float]:
        """Returns the predicted metric after `epochs`, given `metric` after `epoch`, and the variance of it.

        The prediction is a median. The variance is, to first order, the residual variance of the complete trainings
        around their line; with a single complete training, the square of its gain.
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
