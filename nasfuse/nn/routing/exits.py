"""Exits of sequential networks: confidence of a route for a sample, and the exit at which the sample stops."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.nn.routing.calibration import THRESHOLDS
from nasfuse.tasks.base import TaskKind


@dataclass(frozen=True)
class ExitCalibration:
    """Calibration of the exits of a sequential network; every route but the last has an exit.

    Attributes:
        temperatures: Divisors of the outputs before the confidence is computed, float64 of shape (n_routes - 1,).
        levels: Smallest confidence at which a sample stops at an exit, at each of `THRESHOLDS`, float64 of shape
            (101, n_routes - 1); not increasing with the threshold. At threshold 0 no sample stops before the last
            route, at 1 all samples stop at the first.
    """

    temperatures: Tensor
    levels: Tensor

    @classmethod
    def identity(cls, n_routes: int) -> "ExitCalibration":
        """Returns temperatures of 1, and levels of 1 minus the threshold for all exits."""
        levels = (1 - THRESHOLDS)[:, None].repeat(1, n_routes - 1)
        return cls(torch.ones(n_routes - 1, dtype=torch.float64), levels)

    def state(self) -> dict[str, Tensor]:
        """Returns the calibration as tensors on the CPU."""
        return dict(vars(self.cpu()))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "ExitCalibration":
        """Returns the calibration of a `state`."""
        return cls(state["temperatures"], state["levels"])

    def cpu(self) -> "ExitCalibration":
        """Returns the calibration with its tensors on the CPU."""
        return ExitCalibration(self.temperatures.cpu(), self.levels.cpu())

    def levels_at(self, threshold: float) -> Tensor:
        """Returns the (n_routes - 1,) levels at `threshold`, see `levels_at`."""
        return levels_at(threshold, self.levels)

    def confidences(self, digests: Tensor, task: TaskKind) -> Tensor:
        """Returns the confidences at the exits (n, n_routes - 1) for digests (n, n_routes, m) of the outputs."""
        columns = []
        for number, temperature in enumerate(self.temperatures):
            sure = task.digest_confidence(digests[:, number], temperature=temperature)
            assert sure is not None, "checked where the network is built"
            columns.append(sure)
        return torch.stack(columns, dim=1)


def levels_at(threshold: float, levels: Tensor) -> Tensor:
    """Returns the row of `levels` at `threshold`, linear between `THRESHOLDS`; infinite at 0 and -inf at 1."""
    if threshold <= 0 or threshold >= 1:
        return torch.full_like(levels[0], math.inf if threshold <= 0 else -math.inf)
    place = threshold * (len(levels) - 1)
    low = min(int(place), len(levels) - 2)
    return levels[low] + (place - low) * (levels[low + 1] - levels[low])


def confidence(outputs: Tensor, temperature: Tensor, task: TaskKind) -> Tensor:
    """Returns float64 confidences (n,) of outputs (n, ...) after temperature scaling (Guo et al., 2017)."""
    sure = task.confidence(outputs.double() / temperature)
    assert sure is not None, "checked where the network is built"
    return sure


def first_sure(confidences: Tensor, levels: Tensor) -> Tensor:
    """Returns the number of the route at which each sample stops, shape (n,).

    It is the first one whose confidence is at least its level, or else the last route.

    Args:
        confidences: Confidences at the exits, shape (n, n_routes - 1).
        levels: Levels of the exits, shape (n_routes - 1,).
    """
    sure = torch.cat([confidences >= levels, torch.ones_like(confidences[:, :1], dtype=torch.bool)], dim=1)
    return sure.int().argmax(dim=1)
