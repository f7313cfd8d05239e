"""Exits with a threshold each: how sure a route is of a sample, and where the sample stops."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.nn.routing.calibration import THRESHOLDS
from nasfuse.tasks.base import TaskKind


@dataclass(frozen=True)
class ExitCalibration:
    """What a threshold and the outputs of the routes mean for a sample that runs one route after the other.

    The last route has no exit: what comes to it stops there.

    Attributes:
        temperatures: (n_routes - 1,) float64. Outputs are divided by them before the confidence is taken.
        levels: (101, n_routes - 1) float64: the confidence from which a sample stops at an exit, at each of
            `THRESHOLDS`; never rising from row to row. At threshold 0 no sample stops before the last route, at 1
            every sample stops at the first.
    """

    temperatures: Tensor
    levels: Tensor

    @classmethod
    def identity(cls, n_routes: int) -> "ExitCalibration":
        """Returns that of a network that has none: outputs as they are, one level of 1 minus the threshold for all."""
        levels = (1 - THRESHOLDS)[:, None].repeat(1, n_routes - 1)
        return cls(torch.ones(n_routes - 1, dtype=torch.float64), levels)

    def cpu(self) -> "ExitCalibration":
        """Returns the calibration with its tensors on the CPU."""
        return ExitCalibration(self.temperatures.cpu(), self.levels.cpu())

    def levels_at(self, threshold: float) -> Tensor:
        """Returns the (n_routes - 1,) levels at `threshold`, see `levels_at`."""
        return levels_at(threshold, self.levels)

    def confidences(self, outputs: Tensor, task: TaskKind) -> Tensor:
        """Returns (n, n_routes - 1): how sure the routes with outputs (n, n_routes, n_outputs) are at their exits."""
        columns = [
            confidence(outputs[:, number], temperature, task) for number, temperature in enumerate(self.temperatures)
        ]
        return torch.stack(columns, dim=1)


def levels_at(threshold: float, levels: Tensor) -> Tensor:
    """Returns the row of `levels` at `threshold`, linear between `THRESHOLDS`; infinite at 0 and -inf at 1."""
    if threshold <= 0 or threshold >= 1:
        return torch.full_like(levels[0], math.inf if threshold <= 0 else -math.inf)
    place = threshold * (len(levels) - 1)
    low = min(int(place), len(levels) - 2)
    return levels[low] + (place - low) * (levels[low + 1] - levels[low])


def confidence(outputs: Tensor, temperature: Tensor, task: TaskKind) -> Tensor:
    """Returns (n,) float64: how sure outputs (n, n_outputs) are after temperature scaling (Guo et al., 2017)."""
    sure = task.confidence(outputs.double() / temperature)
    assert sure is not None, "checked where the network is built"
    return sure


def first_sure(confidences: Tensor, levels: Tensor) -> Tensor:
    """Returns the (n,) number of the route at which each sample stops: the first that is sure enough, or the last.

    Args:
        confidences: (n, n_routes - 1).
        levels: (n_routes - 1,).
    """
    sure = torch.cat([confidences >= levels, torch.ones_like(confidences[:, :1], dtype=torch.bool)], dim=1)
    return sure.int().argmax(dim=1)
