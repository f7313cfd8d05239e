"""How far the confidence of a network is from the share of its predictions that are right."""

import numpy as np
from torch import Tensor

from nasfuse.tasks import task_kind

#: Number of bins of equal width.
N_BINS = 15


def calibration_error(outputs: Tensor, targets: Tensor, *, task: str) -> float | None:
    """Returns the expected calibration error (ECE) of predicted classes; None for tasks without exclusive classes.

    The samples are divided into 15 bins of equal width by the probability of the class that is predicted. The error is
    the mean over the samples of the distance between accuracy and mean probability of their bin (Guo et al., 2017, "On
    Calibration of Modern Neural Networks", equation 5). 0 is perfect.

    Args:
        outputs: (n, n_outputs) logits.
        targets: (n,) classes.
        task: Kind of task.
    """
    kind = task_kind(task)
    logs = kind.log_probabilities(outputs.double())
    if logs is None or targets.dim() != 1:
        return None
    confidence = logs.exp().amax(dim=1).numpy()
    is_right = (kind.predict(outputs) == targets).numpy().astype(np.float64)
    bins = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)  # ((m - 1) / 15, m / 15]
    distances = np.bincount(bins, weights=is_right - confidence, minlength=N_BINS)
    return float(np.abs(distances).sum() / len(confidence))
