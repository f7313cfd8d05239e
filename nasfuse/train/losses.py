"""The task losses."""

from torch import Tensor
from torch.nn import functional as F


def task_loss(logits: Tensor, targets: Tensor, *, task: str, label_smoothing: float = 0.0) -> Tensor:
    """Returns the mean loss of a batch.

    Cross entropy for `multiclass`, binary cross entropy for `multilabel`, smooth L1 for `regression`.

    Args:
        logits: (b, n_outputs).
        targets: (b,) classes, (b, n_outputs) labels, or (b, n_outputs) standardised numbers.
        task: Kind of task.
        label_smoothing: s replaces the label y of each of K classes by y (1 - s) + s / K (Szegedy et al., 2016); a
            yes/no label has K = 2. A recipe of a regression has none.
    """
    if task == "multiclass":
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    if task == "multilabel":
        return F.binary_cross_entropy_with_logits(logits, targets * (1 - label_smoothing) + label_smoothing / 2)
    return F.smooth_l1_loss(logits, targets)
