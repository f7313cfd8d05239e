"""Metrics from logits, computed by scikit-learn."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk
from torch import Tensor

Values = NDArray[np.generic]

_SCORES: dict[str, Callable[[Values, Values], float]] = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "macro_f1": lambda truth, guess: sk.f1_score(truth, guess, average="macro", zero_division=0.0),
    "micro_f1": lambda truth, guess: sk.f1_score(truth, guess, average="micro", zero_division=0.0),
    "r2": sk.r2_score,
    "mae": sk.mean_absolute_error,
}


def score(name: str, logits: Tensor, targets: Tensor, *, task: str) -> float:
    """Returns the metric called `name` (`nasfuse.config.metric.METRICS`).

    Args:
        name: Of the metric.
        logits: (n, n_outputs); real numbers for a regression.
        targets: (n,) classes, (n, n_outputs) labels or numbers.
        task: `multiclass` takes the largest logit, `multilabel` the positive ones.
    """
    guess = logits.argmax(dim=1) if task == "multiclass" else (logits > 0).long() if task == "multilabel" else logits
    return float(_SCORES[name](targets.numpy(), guess.numpy()))
