"""Metrics of digests of outputs, computed by scikit-learn or from confusion matrices."""

from torch import Tensor

from nasfuse.data.dataset import Scale
from nasfuse.domain.metric import METRICS
from nasfuse.errors import DataError
from nasfuse.tasks import TaskKind, task_kind


def score(name: str, digests: Tensor, targets: Tensor, *, task: str, target_scale: Scale | None = None) -> float:
    """Returns the metric called `name` (`nasfuse.domain.metric.METRICS`).

    `balanced_accuracy` and `macro_f1` are means over the classes, or labels, with a positive sample in `targets`. If a
    class without samples is predicted, the recall of the true class decreases, and the mean has no term for the other.
    `weighted_f1` weights classes or labels by their samples. `r2`, `pearson` and `spearman` are means over the outputs
    that vary in `targets`; correlations of a constant prediction are 0. A metric with a unit is in the unit of the
    data. `macro_f2` and `macro_f05` are F-beta, in which recall counts twice, or half, as much as precision. For the
    metrics of affect see `nasfuse.train.affect`. `auc` and `auprc` are the unweighted means of the areas under the ROC
    curves and of the average precisions of each class against the rest, or of each label, over those that some samples
    have and others have not. `quadratic_kappa` is Cohen's kappa of ordered classes with squared distances of their
    numbers. `log_loss` is the mean cross entropy (natural logarithm), of multilabel targets over samples and labels.
    `miou` is the mean over the classes that occur in `targets` of intersection over union, each of the labelled pixels
    of all samples together; pixels of these classes that are predicted as a class that does not occur count as missed.
    `pixel_accuracy` is the share of the labelled pixels whose class is right.

    Args:
        name: Name of the metric.
        digests: Digests of the outputs of the network, (n, m): for most tasks the outputs (n, n_outputs), of a
            regression standardised numbers.
        targets: Classes (n,), labels or standardised numbers (n, n_outputs), or label maps (n, H, W).
        task: Kind of task.
        target_scale: Mean and standard deviation by which the targets of a regression were standardised; None if they
            were not.

    Raises:
        DataError: The metric is undefined for `targets`, independent of the predictions.
    """
    from nasfuse.train.metric_formulas import (  # scikit-learn is slow to import
        CONFUSION_SCORES,
        PROBABILITY_SCORES,
        SCORES,
    )

    kind = task_kind(task)
    if name in CONFUSION_SCORES:
        return _of_confusion(name, kind, digests, targets)
    if name == "log_loss":
        return float(kind.loss(digests.double(), targets.double() if targets.is_floating_point() else targets))
    if name in PROBABILITY_SCORES:
        scores = kind.log_probabilities(digests.double())
        assert scores is not None, "the metric applies to the task"
        return PROBABILITY_SCORES[name](targets, scores)
    truth, guess = targets, kind.predict(digests)
    if kind.is_standardised:
        truth, guess = truth.double(), guess.double()
        if target_scale is not None and METRICS[name].has_unit:
            # The mean is not added: these metrics do not depend on it, and without it differences lose no digits.
            truth, guess = truth * target_scale.std, guess * target_scale.std
        if target_scale is not None and METRICS[name].has_origin:
            truth, guess = (values * target_scale.std + target_scale.mean for values in (truth, guess))
    return float(SCORES[name](truth.numpy(), guess.numpy()))


def _of_confusion(name: str, kind: TaskKind, digests: Tensor, targets: Tensor) -> float:
    from nasfuse.train.metric_formulas import CONFUSION_SCORES

    confusion = kind.confusion(digests, targets)
    assert confusion is not None, "the metric applies to the task"
    if not confusion.any():
        raise DataError(f"no pixel of this split has a label, so {name} is undefined; add samples with labels")
    return CONFUSION_SCORES[name](confusion.numpy())
