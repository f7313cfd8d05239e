"""Averages of the predictions of several networks for the same data, for example those of a cross-validation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nasfuse.prediction.predictions import Predictions


def averaged(parts: Sequence[Predictions]) -> Predictions:
    """Returns predictions of the mean probabilities, or the mean numbers of a regression.

    Rows that a network cannot use have no prediction. There are no routes and steps, which differ by network.

    Args:
        parts: Predictions of networks with the same task and the same classes, at least one.
    """
    first = parts[0]
    problems = {row: reason for part in reversed(parts) for row, reason in part.problems.items()}
    common = replace(first, routes=None, n_steps=None, problems=dict(sorted(problems.items())))
    if first.probabilities is None:
        return replace(common, values=np.mean([part.values for part in parts], axis=0))
    means = np.mean([part.probabilities for part in parts if part.probabilities is not None], axis=0)
    if first.values.ndim == 1:
        values = np.where(np.isnan(means).any(axis=1), np.nan, np.nan_to_num(means).argmax(axis=1))
    else:
        values = np.where(np.isnan(means), np.nan, means > 0.5)
    return replace(common, values=values, probabilities=means)
