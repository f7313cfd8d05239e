"""The loss of the task itself: cross entropy for classes and labels, smooth L1 for numbers."""

from torch import Tensor

from nasfuse.tasks.losses.base import TrainingLoss


class OwnLoss(TrainingLoss):
    """`TaskKind.loss`."""

    def __call__(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the loss of the kind of task."""
        return self.kind.loss(outputs, targets, label_smoothing=label_smoothing, class_weights=class_weights)
