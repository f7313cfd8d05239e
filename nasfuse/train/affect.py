"""Metrics of sentiment scores from -3 to 3, as they are reported for recordings of speech (CMU-MOSI, CMU-MOSEI)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.errors import DataError

Values = NDArray[Any]

#: Decimals of a score in a file; standardised float32 targets have more digits than that, but are not exact.
_DECIMALS = 5

#: Largest absolute value of a score.
_LARGEST = 3


def polarity_score(of_two: Callable[..., float], truth: Values, guess: Values) -> float:
    """Returns a metric of positive against negative scores; samples with a score of 0 are left out.

    A prediction of exactly 0 counts as negative.

    Args:
        of_two: Metric of two boolean arrays, truth and prediction.
        truth: (n, k) scores.
        guess: (n, k) predicted scores; the result is the mean over the k outputs.

    Raises:
        DataError: All scores of an output are 0.
    """
    values = []
    for true, predicted in _outputs(truth, guess):
        decided = true != 0
        if not decided.any():
            raise DataError("the target is 0 in all samples of this split, so none is positive or negative; use mae")
        values.append(of_two(true[decided] > 0, predicted[decided] > 0))
    return float(np.mean(values))


def seven_class_accuracy(truth: Values, guess: Values) -> float:
    """Returns the share of the (n, k) scores that equal their predictions as whole numbers from -3 to 3."""
    whole = [_whole(true) == _whole(predicted) for true, predicted in _outputs(truth, guess)]
    return float(np.mean(whole))


def _outputs(truth: Values, guess: Values) -> list[tuple[Values, Values]]:
    exact = np.round(truth, _DECIMALS)
    return [(exact[:, k], guess[:, k]) for k in range(truth.shape[1])]


def _whole(scores: Values) -> Values:
    return np.clip(np.round(scores), -_LARGEST, _LARGEST)
