"""Construction of data sets from plain arrays: validation, division into splits, and standardisation."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.dataset import Dataset, Scale
from nasfuse.data.layout import ModalityArrays, check_modality
from nasfuse.data.table import Table
from nasfuse.domain.modality import Task
from nasfuse.errors import DataError

Array = NDArray[np.generic]


def build_dataset(
    name: str,
    modalities: Mapping[str, ModalityArrays],
    *,
    targets: Array,
    task: str,
    splits: Array | None = None,
    groups: Array | None = None,
    val_fraction: float = 0.15,
    cut: int = 0,
    class_names: tuple[str, ...] = (),
    scales: Mapping[str, Scale] | None = None,
) -> Dataset:
    """Returns a data set built from plain arrays.

    Args:
        name: Name in reports and messages.
        modalities: One or more modalities by name.
        targets: (n,) class numbers from 0, (n, k) zeros and ones, or (n,) or (n, k) real numbers.
        task: `multiclass`, `multilabel` or `regression`.
        splits: (n,) strings `train`, `val` and `test`. None: 80/10/10, stratified by class.
        groups: (n,) group of each sample. Groups are kept whole.
        val_fraction: Share of train that becomes val if `splits` has no val.
        cut: Number of the division into train and val; see `cut_splits`.
        class_names: Names of the classes, if known.
        scales: Scales by modality, as in `Dataset.scales`, used for standardisation instead of statistics of the
            training samples.

    Raises:
        DataError: An array violates the data format; the message names it.
    """
    table = build_table(
        name,
        modalities,
        targets=targets,
        task=task,
        splits=splits,
        groups=groups,
        val_fraction=val_fraction,
        class_names=class_names,
        scales=scales,
    )
    return table.cut(cut)


def build_table(
    name: str,
    modalities: Mapping[str, ModalityArrays],
    *,
    targets: Array,
    task: str,
    splits: Array | None = None,
    groups: Array | None = None,
    val_fraction: float = 0.15,
    class_names: tuple[str, ...] = (),
    scales: Mapping[str, Scale] | None = None,
) -> Table:
    """Returns all samples of a data set, before the division into splits. For the arguments see `build_dataset`.

    Raises:
        DataError: An array violates the data format; the message names it.
    """
    if not modalities:
        raise DataError(f"{name} names no modality; list at least one under data.modalities")
    labels, the_task = _targets(name, targets, task)
    checked = {
        key: check_modality(f"{name}: modality {key}", key, arrays, n_samples=len(labels))
        for key, arrays in modalities.items()
    }
    return Table.of(
        name,
        {key: arrays for key, (arrays, _) in checked.items()},
        modalities=tuple(modality for _, modality in checked.values()),
        task=the_task,
        targets=labels,
        splits=splits,
        groups=groups,
        val_fraction=val_fraction,
        class_names=class_names,
        scales=scales,
    )


def _targets(name: str, targets: Array, task: str) -> tuple[Tensor, Task]:
    targets = np.atleast_1d(np.asarray(targets))
    where = f"{name}: the labels"
    if len(targets) == 0:
        raise DataError(f"{where} are empty; there is nothing to learn from")
    if task == "multiclass" and targets.dtype.kind == "U" and targets.ndim == 1:
        raise DataError(
            f"{where} are words such as {targets[0]!s}; number them and save numpy.unique(y, return_inverse=True)[1]"
        )
    if task == "multiclass":
        if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
            raise DataError(
                f"{where} must be (n,) integers for multiclass, got {targets.dtype} of shape {targets.shape}"
            )
        if targets.min() < 0:
            row = int(np.less(targets, 0).argmax())
            raise DataError(f"{where} must be class numbers from 0, got {targets[row]} in row {row}; renumber them")
        classes = np.unique(targets)
        if len(classes) < 2:
            raise DataError(f"{where} hold one class only, got {classes[0]} everywhere; there is nothing to learn")
        n_classes = int(classes[-1]) + 1
        if len(classes) < n_classes:
            absent = next(c for c in range(n_classes) if c not in classes)
            raise DataError(
                f"{where} go up to {n_classes - 1} but class {absent} never occurs, so some label is "
                "out of range; renumber the classes without gaps"
            )
        return torch.from_numpy(targets.astype(np.int64)), Task("multiclass", n_classes)
    if targets.dtype.kind not in "biuf":
        raise DataError(f"{where} must be numbers for {task}, got {targets.dtype}; encode them first")
    values = targets.astype(np.float32 if task == "multilabel" else np.float64)
    if task == "multilabel":
        if values.ndim != 2 or not np.isin(values, (0.0, 1.0)).all():
            raise DataError(f"{where} must be (n, k) zeros and ones for multilabel, got shape {targets.shape}")
        return torch.from_numpy(values), Task("multilabel", values.shape[1])
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(f"{where} must be (n,) or (n, k) finite numbers for regression, got shape {targets.shape}")
    return torch.from_numpy(values), Task("regression", values.shape[1])
