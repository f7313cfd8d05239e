"""Averages of the predictions of several networks for the same data, for example those of a cross-validation."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nasfuse.domain.task import VOID
from nasfuse.errors import DataWarning
from nasfuse.prediction.new_data import UNKNOWN_CATEGORIES, new_data
from nasfuse.prediction.predictions import Predictions
from nasfuse.prediction.predictor import Predictor
from nasfuse.prediction.trained_network import TrainedNetwork
from nasfuse.tasks import task_kind


class NetworkAverage(Predictor):
    """The average of the networks of the folds of a cross-validation, or of the members of an ensemble.

    Each network reads the data with the preprocessing and the scales of its own training.

    Attributes:
        networks: The networks.
    """

    def __init__(self, networks: Sequence[TrainedNetwork]) -> None:
        """Stores the networks, at least one, of the same task and with the same classes."""
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._networks = tuple(networks)
        first = networks[0]
        self.class_names, self.task = first.class_names, first.task
        self.columns = tuple(dict.fromkeys(column for network in networks for column in network.columns))
        self.modalities = tuple({one.name: one for network in networks for one in network.modalities}.values())

    def forward(self, data: Any) -> Tensor:
        """Returns outputs whose probabilities or numbers are the means; numbers have the scale of the first network."""
        raw = new_data(data, columns=self.columns)
        with _warning_once():
            outputs = [network(raw) for network in self._networks]
        scales = [network.target_scale for network in self._networks]
        first = scales[0]
        if first is not None:
            outputs = [
                (values * scale.std + scale.mean - first.mean) / first.std
                for values, scale in zip(outputs, scales, strict=True)
                if scale is not None
            ]
        return task_kind(self.task.kind).average(torch.stack(outputs)).float()

    def predictions(
        self,
        data: Any,
        *,
        started: Callable[[int], Callable[[int], None]] | None = None,
        pixel_probabilities: bool = False,
    ) -> Predictions:
        """Returns the average of the predictions for all rows; see `Predictor.predictions`.

        The probabilities of all pixels are in memory meanwhile, because they are averaged.
        """
        raw = new_data(data, columns=self.columns)
        with _warning_once():
            parts = [network.predictions(raw, started=started, pixel_probabilities=True) for network in self._networks]
        found = averaged(parts)
        return found if pixel_probabilities or not found.numbers else replace(found, probabilities=None)


@contextmanager
def _warning_once() -> Iterator[None]:
    """Shows the warnings of the block after it, each once, and of unknown categories only the first."""
    seen = set()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            yield
    finally:
        for one in caught:
            # folds differ in which categories are rare
            key = UNKNOWN_CATEGORIES if UNKNOWN_CATEGORIES in str(one.message) else str(one.message)
            if key not in seen:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            seen.add(key)


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
    if first.numbers:
        is_empty = np.isnan(means).any(axis=(1, 2, 3))[:, None, None]
        values = np.where(is_empty, VOID, np.nan_to_num(means).argmax(axis=1)).astype(np.uint8)
    elif first.values.ndim == 1:
        values = np.where(np.isnan(means).any(axis=1), np.nan, np.nan_to_num(means).argmax(axis=1))
    else:
        values = np.where(np.isnan(means), np.nan, means > 0.5)
    return replace(common, values=values, probabilities=means)
