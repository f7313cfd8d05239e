"""Real numbers."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.errors import DataError
from nasfuse.tasks.base import Array, TaskKind


class Regression(TaskKind):
    """n_outputs real numbers; outputs are standardised numbers, the loss is smooth L1."""

    is_standardised = True

    # Errors of real numbers are never equal: 5 % of the error of the best constant counts as none.
    equally_wrong = 0.05

    def check_targets(self, where: str, targets: Array) -> tuple[Tensor, int]:
        """Returns (n, k) finite float64 numbers in the unit of the data, and k."""
        if targets.dtype.kind not in "biuf":
            raise DataError(f"{where} must be numbers for regression, got {targets.dtype}; encode them first")
        values = targets.astype(np.float64)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or values.shape[1] == 0 or not np.isfinite(values).all():
            raise DataError(f"{where} must be (n,) or (n, k) finite numbers for regression, got shape {targets.shape}")
        return torch.from_numpy(values), values.shape[1]

    def loss(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the smooth L1 loss; there are no labels to smooth or to weight."""
        return F.smooth_l1_loss(outputs, targets)

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Returns the smooth L1 loss."""
        return self.loss(outputs, wanted)

    def predict(self, outputs: Tensor) -> Tensor:
        """Returns the outputs."""
        return outputs

    def average(self, outputs: Tensor) -> Tensor:
        """Returns the mean."""
        return outputs.mean(dim=0)

    def constant(self, targets: Tensor, n_outputs: int, *, metric: str) -> Tensor:
        """Returns the mean for metrics of squared errors, else the median (interpolated)."""
        if metric in ("r2", "rmse"):
            return targets.mean(dim=0)
        return torch.from_numpy(np.median(targets.numpy(), axis=0))

    def errors(self, digests: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean over outputs of the absolute error over that of the best constant, the median."""
        numbers = targets.double()
        spread = (numbers - numbers.median(dim=0).values).abs().mean(dim=0)
        spread = torch.where(spread > 0, spread, 1.0)
        return ((digests - targets[:, None]).abs().double() / spread).mean(dim=2)
