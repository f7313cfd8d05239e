"""Construction of data sets from plain arrays: validation, division into splits, and standardisation."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.class_labels import number_words
from nasfuse.data.dataset import Dataset, Scale
from nasfuse.data.layout import ModalityArrays, check_modality
from nasfuse.data.table import Table
from nasfuse.domain.modality import Task
from nasfuse.errors import DataError
from nasfuse.tasks import task_kind

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
    division: int = 0,
    class_names: tuple[str, ...] = (),
    scales: Mapping[str, Scale] | None = None,
) -> Dataset:
    """Returns a data set built from plain arrays.

    Args:
        name: Name in reports and messages.
        modalities: One or more modalities by name.
        targets: (n,) class numbers from 0 or words, (n, k) zeros and ones, or (n,) or (n, k) real numbers.
        task: Kind of task, one of `nasfuse.domain.task.TASKS`.
        splits: (n,) strings `train`, `val` and `test`. None: 80/10/10, stratified by class.
        groups: (n,) group of each sample. Groups are kept whole.
        val_fraction: Share of train that becomes val if `splits` has no val.
        division: Number of the division into train and val; see `divide_into_splits`.
        class_names: Names of the classes, if known; where `targets` are words, these are the names.
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
    return table.divided(division)


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
    targets = np.atleast_1d(np.asarray(targets))
    if targets.dtype.kind == "U" and targets.ndim == 1 and task_kind(task).takes_words:
        targets, class_names = number_words(f"{name}: the labels", targets)
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
    where = f"{name}: the labels"
    if len(targets) == 0:
        raise DataError(f"{where} are empty; there is nothing to learn from")
    checked, n_outputs = task_kind(task).check_targets(where, targets)
    return checked, Task(task, n_outputs)
