"""Metrics of logits, computed by scikit-learn."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk
from torch import Tensor
from torch.nn import functional as F

from nasfuse.data.dataset import Scale
from nasfuse.domain.metric import METRICS
from nasfuse.errors import DataError
from nasfuse.tasks import task_kind

Values = NDArray[np.generic]
Averaged = Callable[..., float]


def _over_classes(average: Averaged, truth: Values, guess: Values) -> float:
    """Returns the unweighted mean over the classes (or labels) that occur in `truth`."""
    occurring = np.unique(truth) if truth.ndim == 1 else np.flatnonzero(truth.any(axis=0))
    if len(occurring) == 0:
        raise DataError("no sample of this split has any label, so F1 is undefined; add positive samples to the split")
    return average(truth, guess, labels=occurring, average="macro", zero_division=0.0)


def _micro_f1(truth: Values, guess: Values) -> float:
    if not truth.any():
        raise DataError("no sample of this split has any label, so F1 is undefined; add positive samples to the split")
    return float(sk.f1_score(truth, guess, average="micro", zero_division=0.0))


def _r2(truth: Values, guess: Values) -> float:
    """Returns the mean r2 of the outputs that vary in `truth`; r2 of a constant output is undefined."""
    varying = truth.min(axis=0) < truth.max(axis=0)
    if not varying.any():
        raise DataError("the target is the same in all samples of this split, so r2 is undefined; use mae")
    return float(sk.r2_score(truth[:, varying], guess[:, varying]))


def _auc(truth: Tensor, scores: Tensor) -> float:
    """Returns the mean one-vs-rest AUC over the classes (or labels) that some samples have and others have not."""
    has = F.one_hot(truth, scores.shape[1]) if truth.dim() == 1 else truth
    varying = [k for k in range(scores.shape[1]) if 0 < has[:, k].sum() < len(has)]
    if not varying:
        raise DataError(
            "no class or label is present in some samples of this split and absent in others, so the AUC is undefined; "
            "add samples to the split"
        )
    return float(np.mean([sk.roc_auc_score(has[:, k].numpy(), scores[:, k].numpy()) for k in varying]))


#: Metrics of predictions.
_SCORES: dict[str, Callable[[Values, Values], float]] = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": partial(_over_classes, sk.recall_score),
    "macro_f1": partial(_over_classes, sk.f1_score),
    "micro_f1": _micro_f1,
    "r2": _r2,
    "mae": sk.mean_absolute_error,
}


def score(name: str, logits: Tensor, targets: Tensor, *, task: str, target_scale: Scale | None = None) -> float:
    """Returns the metric called `name` (`nasfuse.domain.metric.METRICS`).

    `balanced_accuracy` and `macro_f1` are means over the classes, or labels, with a positive sample in `targets`. If a
    class without samples is predicted, the recall of the true class decreases, and the mean has no term for the other.
    `r2` is the mean over the outputs that vary in `targets`. A metric with a unit is in the unit of the data. `auc` is
    the unweighted mean of the areas under the ROC curves of each class against the rest, or of each label, over those
    that some samples have and others have not. `log_loss` is the mean cross entropy (natural logarithm), of multilabel
    targets over samples and labels.

    Args:
        name: Name of the metric.
        logits: Outputs of the network, (n, n_outputs); standardised numbers for a regression.
        targets: Classes (n,), or labels or standardised numbers (n, n_outputs).
        task: Kind of task.
        target_scale: Mean and standard deviation by which the targets of a regression were standardised; None if they
            were not.

    Raises:
        DataError: The metric is undefined for `targets`, independent of the predictions.
    """
    kind = task_kind(task)
    if name == "log_loss":
        return float(kind.loss(logits.double(), targets.double() if targets.is_floating_point() else targets))
    if name == "auc":
        scores = kind.log_probabilities(logits.double())
        assert scores is not None, "the metric applies to the task"
        return _auc(targets, scores)
    truth, guess = targets, kind.predict(logits)
    if kind.is_standardised:
        truth, guess = truth.double(), guess.double()
        if target_scale is not None and METRICS[name].has_unit:
            # The mean is not added: no metric depends on it, and without it differences lose no digits.
            truth, guess = truth * target_scale.std, guess * target_scale.std
    return float(_SCORES[name](truth.numpy(), guess.numpy()))
