"""How far the confidence of a network is from the share of its predictions that are right."""

from torch import Tensor

from nasfuse.tasks import task_kind


def calibration_error(digests: Tensor, targets: Tensor, *, task: str) -> float | None:
    """Returns the expected calibration error (ECE) of predicted classes; None for tasks without exclusive classes.

    The samples, or the labelled pixels of dense tasks, are divided into 15 bins of equal width by the probability of
    the class that is predicted. The error is the mean over them of the distance between accuracy and mean probability
    of their bin (Guo et al., 2017, "On Calibration of Modern Neural Networks", equation 5). 0 is perfect.

    Args:
        digests: (n, m) digests of the outputs.
        targets: Targets of the samples.
        task: Kind of task.
    """
    gaps = task_kind(task).confidence_gaps(digests, targets)
    return None if gaps is None else float(gaps.abs().sum())
