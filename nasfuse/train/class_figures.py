"""Figures of each class, label or number of a task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import mean_absolute_error, precision_recall_fscore_support, r2_score
from torch import Tensor

from nasfuse.data.dataset import Scale
from nasfuse.tasks import task_kind


def class_figures(
    outputs: Tensor, targets: Tensor, *, names: Sequence[str], task: str, target_scale: Scale | None = None
) -> list[dict[str, Any]]:
    """Returns the figures of each output of a network on a split, in the order of the outputs.

    For classes and labels these are `samples` (of the class), `precision`, `recall` and `f1`; a figure is None if it is
    undefined, because the split has no sample of the class or the network never predicts it. For numbers they are `mae`
    in the unit of the data, and `r2`, None if the number is constant.

    Args:
        outputs: (n, n_outputs) logits or standardised numbers.
        targets: (n,) classes, or (n, n_outputs) labels or standardised numbers.
        names: Names of the outputs.
        task: Kind of task.
        target_scale: Scale of the standardised numbers; None for other tasks.
    """
    truth, guess = targets.numpy(), task_kind(task).predict(outputs).numpy()
    if target_scale is not None:
        unit = target_scale.std.numpy().reshape(-1)
        return [_of_number(name, truth[:, k], guess[:, k], float(unit[k])) for k, name in enumerate(names)]
    labels = np.arange(len(names))
    found = precision_recall_fscore_support(truth, guess, labels=labels, zero_division=np.nan)
    precision, recall, f1 = ([None if np.isnan(value) else float(value) for value in part] for part in found[:3])
    counts = [int(count) for count in found[3]]
    return [
        {"name": name, "samples": counts[k], "precision": precision[k], "recall": recall[k], "f1": f1[k]}
        for k, name in enumerate(names)
    ]


def _of_number(name: str, truth: Any, guess: Any, unit: float) -> dict[str, Any]:
    varies = truth.min() < truth.max()
    mae = float(mean_absolute_error(truth.astype(np.float64), guess.astype(np.float64))) * unit
    return {"name": name, "mae": mae, "r2": float(r2_score(truth, guess)) if varies else None}
