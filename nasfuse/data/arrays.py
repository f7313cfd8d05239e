"""From plain arrays to a `Dataset`: modalities and labels checked, splits cut, scales of train."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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
    cut: int = 0,
    class_names: tuple[str, ...] = (),
    scales: Mapping[str, Scale] | None = None,
) -> Dataset:
    """Returns the data set made of plain arrays.

    Args:
        name: For reports and messages.
        modalities: At least one.
        targets: (n,) class numbers from 0, (n, k) zeros and ones, or (n,) or (n, k) real numbers.
        task: Kind of task, one of `nasfuse.domain.task.TASKS`.
        splits: (n,) words `train`, `val`, `test`; without it, 80/10/10 is cut, stratified by class.
        groups: (n,) group of each sample; a group is never cut in two.
        val_fraction: Share of train that becomes val where `splits` has none.
        cut: Number of the division into train and val, see `cut_splits`.
        class_names: One per class where known.
        scales: Modality name to the scale of the numbers in the arrays, as in `Dataset.scales`. Values are standardised
            by it, and no statistics of the arrays are used. None takes the scales from the training samples.

    Raises:
        DataError: Anything that breaks the contract, naming the array.
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
    """Returns all samples of a data set, from which cuts take their rows; the arguments are as in `build_dataset`.

    Raises:
        DataError: Anything that breaks the contract, naming the array.
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
    checked, n_outputs = task_kind(task).check_targets(where, targets)
    return checked, Task(task, n_outputs)
