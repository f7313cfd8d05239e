"""The squared error."""

from torch import Tensor
from torch.nn import functional as F

from nasfuse.tasks.losses.base import TrainingLoss


class SquaredLoss(TrainingLoss):
    """Mean squared error of standardised numbers, of which the mean is the best constant."""

    def __call__(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the mean over samples and outputs; there are no labels to smooth or to weight."""
        return F.mse_loss(outputs, targets)
