"""The focal loss."""

import torch
from torch import Tensor

from nasfuse.tasks.base import TaskKind
from nasfuse.tasks.losses.base import TrainingLoss


class FocalLoss(TrainingLoss):
    """- sum_c q_c (1 - p_c)^gamma log p_c with target probabilities q (Lin et al., 2017, Eq. 5, of one class).

    Samples that are predicted well count less than in the cross entropy, which is gamma = 0. What differs from the
    paper: with smoothed labels the sum has all classes, and the weight alpha of a class is `class_weights`. Labels are
    classes of two values.
    """

    def __init__(self, kind: TaskKind, *, focal_gamma: float) -> None:
        """Stores the kind of task and gamma, at least 0."""
        super().__init__(kind)
        self.gamma = focal_gamma

    def __call__(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the mean over samples, labels or labelled pixels; 0 if no pixel has a label."""
        logs, wanted = self.kind.choices(outputs, targets, label_smoothing=label_smoothing)
        # 1 - p, above 0, where the gradient of its power would be infinite
        missed = (-logs.expm1()).clamp_min(torch.finfo(logs.dtype).tiny)
        each = -(wanted * missed**self.gamma * logs).sum(dim=-1)
        weights = self.kind.weights_of(targets, class_weights)
        each = each if weights is None else weights * each
        return each.mean() if each.numel() else each.sum()
