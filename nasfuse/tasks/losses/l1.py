"""The absolute error."""

from torch import Tensor
from torch.nn import functional as F

from nasfuse.tasks.losses.base import TrainingLoss


class L1Loss(TrainingLoss):
    """Mean absolute error of standardised numbers, of which a median is the best constant."""

    def __call__(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the mean over samples and outputs; there are no labels to smooth or to weight."""
        return F.l1_loss(outputs, targets)
