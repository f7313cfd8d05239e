"""Figures of each class, label or number of a task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.dataset import Scale
from nasfuse.domain.task import TASKS
from nasfuse.tasks import task_kind


def class_figures(
    digests: Tensor, targets: Tensor, *, names: Sequence[str], task: str, target_scale: Scale | None = None
) -> list[dict[str, Any]]:
    """Returns the figures of each output of a network on a split, in the order of the outputs.

    For classes and labels these are `samples` (of the class), `precision`, `recall` and `f1`; for classes of pixels
    `pixels` (of the class), `iou` (intersection over union), `precision` and `recall`. A figure is None if it is
    undefined, because the split has nothing of the class or the network never predicts it; `iou` is also None for a
    class that the split does not have. For numbers they are `mae` in the unit of the data, and `r2`, None if the number
    is constant.

    Args:
        digests: (n, m) digests of the outputs: logits or standardised numbers, or those of maps.
        targets: (n,) classes, (n, n_outputs) labels or standardised numbers, or label maps.
        names: Names of the outputs.
        task: Kind of task.
        target_scale: Scale of the standardised numbers; None for other tasks.
    """
    kind = task_kind(task)
    if TASKS[task].is_dense:
        confusion = kind.confusion(digests, targets)
        assert confusion is not None, "dense tasks have exclusive classes"
        return [_of_pixels(name, k, confusion.double().numpy()) for k, name in enumerate(names)]
    truth, guess = targets.numpy(), kind.predict(digests).numpy()
    if target_scale is not None:
        unit = target_scale.std.numpy().reshape(-1)
        return [_of_number(name, truth[:, k], guess[:, k], float(unit[k])) for k, name in enumerate(names)]
    from sklearn.metrics import precision_recall_fscore_support  # slow to import

    labels = np.arange(len(names))
    found = precision_recall_fscore_support(truth, guess, labels=labels, zero_division=np.nan)
    precision, recall, f1 = ([None if np.isnan(value) else float(value) for value in part] for part in found[:3])
    counts = [int(count) for count in found[3]]
    return [
        {"name": name, "samples": counts[k], "precision": precision[k], "recall": recall[k], "f1": f1[k]}
        for k, name in enumerate(names)
    ]


def _of_pixels(name: str, number: int, confusion: NDArray[np.float64]) -> dict[str, Any]:
    hits, own, predicted = confusion[number, number], confusion[number].sum(), confusion[:, number].sum()
    return {
        "name": name,
        "pixels": int(own),
        "iou": float(hits / (own + predicted - hits)) if own else None,
        "precision": float(hits / predicted) if predicted else None,
        "recall": float(hits / own) if own else None,
    }


def _of_number(name: str, truth: Any, guess: Any, unit: float) -> dict[str, Any]:
    from sklearn.metrics import mean_absolute_error, r2_score  # slow to import

    varies = truth.min() < truth.max()
    mae = float(mean_absolute_error(truth.astype(np.float64), guess.astype(np.float64))) * unit
    return {"name": name, "mae": mae, "r2": float(r2_score(truth, guess)) if varies else None}
