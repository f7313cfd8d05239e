"""Formulas of metrics, most of them scikit-learn's; `nasfuse.train.metrics` imports them when it needs one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk
from torch import Tensor
from torch.nn import functional as F

from nasfuse.errors import DataError, counted
from nasfuse.train.affect import polarity_score, seven_class_accuracy

Values = NDArray[np.generic]
Averaged = Callable[..., float]


def _over_classes(average: Averaged, truth: Values, guess: Values) -> float:
    """Returns the unweighted mean over the classes (or labels) that occur in `truth`."""
    occurring = np.unique(truth) if truth.ndim == 1 else np.flatnonzero(truth.any(axis=0))
    if len(occurring) == 0:
        raise DataError("no sample of this split has any label, so F1 is undefined; add positive samples to the split")
    return average(truth, guess, labels=occurring, average="macro", zero_division=0.0)


def _over_samples(average: str, truth: Values, guess: Values) -> float:
    """Returns F1 with the average `micro` or `weighted`, to which absent classes contribute nothing."""
    if truth.ndim == 2 and not truth.any():
        raise DataError("no sample of this split has any label, so F1 is undefined; add positive samples to the split")
    return float(sk.f1_score(truth, guess, average=average, zero_division=0.0))


def _over_numbers(name: str, of_one: Averaged, truth: Values, guess: Values) -> float:
    """Returns the mean over the outputs that vary in `truth`; `of_one` is undefined for a constant output."""
    varying = np.flatnonzero(truth.min(axis=0) < truth.max(axis=0))
    if not len(varying):
        raise DataError(f"the target is the same in all samples of this split, so {name} is undefined; use mae")
    return float(np.mean([of_one(truth[:, k], guess[:, k]) for k in varying]))


def _correlation(of_two: Callable[..., Any], truth: Values, guess: Values) -> float:
    """Returns the correlation, 0 for a constant prediction."""
    return float(of_two(truth, guess).statistic) if guess.min() < guess.max() else 0.0


def _top(k: int, truth: Tensor, scores: Tensor) -> float:
    n_classes = scores.shape[1]
    if n_classes <= k:
        raise DataError(f"the data have {counted(n_classes, 'class')}, so top{k}_accuracy is always 1; use accuracy")
    return float(sk.top_k_accuracy_score(truth.numpy(), scores.numpy(), k=k, labels=np.arange(n_classes)))


def _quadratic_kappa(truth: Tensor, scores: Tensor) -> float:
    """Returns Cohen's kappa with quadratic weights; the order of the classes is that of their numbers."""
    if truth.min() == truth.max():
        raise DataError("all samples of this split have one class, so quadratic_kappa is undefined; use accuracy")
    labels = np.arange(scores.shape[1])  # all, so that distances do not depend on which classes occur
    guess = scores.argmax(dim=1).numpy()
    return float(sk.cohen_kappa_score(truth.numpy(), guess, labels=labels, weights="quadratic"))


def _over_varying(of_one: Averaged, truth: Tensor, scores: Tensor) -> float:
    """Returns the mean one-vs-rest area over the classes (or labels) that some samples have and others have not."""
    has = F.one_hot(truth, scores.shape[1]) if truth.dim() == 1 else truth
    varying = [k for k in range(scores.shape[1]) if 0 < has[:, k].sum() < len(has)]
    if not varying:
        raise DataError(
            "no class or label is present in some samples of this split and absent in others, so the AUC is undefined; "
            "add samples to the split"
        )
    return float(np.mean([of_one(has[:, k].numpy(), scores[:, k].numpy()) for k in varying]))


def _mean_iou(confusion: Values) -> float:
    """Returns the mean of TP / (TP + FP + FN) over the classes that occur in the targets."""
    counts = confusion.astype(np.float64)
    occurs = counts.sum(axis=1) > 0
    hits = np.diagonal(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    return float((hits[occurs] / union[occurs]).mean())


def _share_right(confusion: Values) -> float:
    return float(np.trace(confusion) / confusion.sum())


#: Metrics of predictions.
SCORES: dict[str, Callable[[Values, Values], float]] = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": partial(_over_classes, sk.recall_score),
    "macro_f1": partial(_over_classes, sk.f1_score),
    "macro_f2": partial(_over_classes, partial(sk.fbeta_score, beta=2.0)),
    "macro_f05": partial(_over_classes, partial(sk.fbeta_score, beta=0.5)),
    "weighted_f1": partial(_over_samples, "weighted"),
    "micro_f1": partial(_over_samples, "micro"),
    "r2": partial(_over_numbers, "r2", sk.r2_score),
    "mae": sk.mean_absolute_error,
    "rmse": sk.root_mean_squared_error,
    "pearson": partial(_over_numbers, "pearson", partial(_correlation, pearsonr)),
    "spearman": partial(_over_numbers, "spearman", partial(_correlation, spearmanr)),
    "affect_acc2": partial(polarity_score, sk.accuracy_score),
    "affect_f1": partial(polarity_score, partial(sk.f1_score, average="weighted", zero_division=0.0)),
    "affect_acc7": seven_class_accuracy,
}

#: Metrics of logarithms of probabilities.
PROBABILITY_SCORES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "auc": partial(_over_varying, sk.roc_auc_score),
    "auprc": partial(_over_varying, sk.average_precision_score),
    "top3_accuracy": partial(_top, 3),
    "top5_accuracy": partial(_top, 5),
    "quadratic_kappa": _quadratic_kappa,
}

#: Metrics of confusion matrices (true class, predicted class) over a whole split.
CONFUSION_SCORES: dict[str, Callable[[Values], float]] = {
    "miou": _mean_iou,
    "pixel_accuracy": _share_right,
}
