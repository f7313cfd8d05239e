"""Construction of data sets from plain arrays: validation, division into splits, and standardisation."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.columns.base import Rows
from nasfuse.data.dataset import Dataset, Scale
from nasfuse.data.label_maps import check_aligned
from nasfuse.data.layout import ModalityArrays, check_modality
from nasfuse.data.partition import divide_into_splits
from nasfuse.data.preprocessing import Preprocessing
from nasfuse.data.table import Table
from nasfuse.data.targets import as_classes
from nasfuse.domain.modality import Task
from nasfuse.domain.task import TASKS
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
        targets: (n,) classes (see `as_classes`), (n, k) zeros and ones, (n,) or (n, k) real numbers, or (n, H, W) label
            maps as `label_maps` returns them.
        task: Kind of task, one of `nasfuse.domain.task.TASKS`.
        splits: (n,) strings `train`, `val` and `test`. None: 80/10/10, stratified by class.
        groups: (n,) group of each sample. Groups are kept whole.
        val_fraction: Share of train that becomes val if `splits` has no val.
        division: Number of the division into train and val; see `divide_into_splits`.
        class_names: Names of the classes, if known; where `targets` are words or numbers from 1, these are the names.
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
    targets = np.atleast_1d(np.asarray(targets))
    if task_kind(task).takes_words:
        targets, found = as_classes(f"{name}: the labels", targets)
        class_names = found or class_names
    return fitted_table(
        name,
        lambda rows: (modalities, Preprocessing.plain(modalities)),
        targets=targets,
        task=task,
        splits=splits,
        groups=groups,
        val_fraction=val_fraction,
        class_names=class_names,
        scales=scales,
    )


def fitted_table(
    name: str,
    encode: Callable[[Rows], tuple[Mapping[str, ModalityArrays], Preprocessing]],
    *,
    targets: Array,
    task: str,
    splits: Array | None = None,
    groups: Array | None = None,
    val_fraction: float = 0.15,
    keeps_val: bool = True,
    class_names: tuple[str, ...] = (),
    scales: Mapping[str, Scale] | None = None,
) -> Table:
    """Returns all samples of a data set whose modalities depend on which samples are for training.

    For the other arguments see `build_dataset`.

    Args:
        name: Name in reports and messages.
        encode: Returns the modalities of all samples and their preprocessing, fitted on the rows that it gets.
        targets: (n,) class numbers from 0, (n, k) zeros and ones, (n,) or (n, k) real numbers, or (n, H, W) label maps
            as `label_maps` returns them.
        task: See `build_dataset`.
        splits: See `build_dataset`.
        groups: See `build_dataset`.
        val_fraction: See `build_dataset`.
        keeps_val: Whether the `val` of `splits` is the same in all trainings, so that `encode` does not get its rows.
        class_names: See `build_dataset`.
        scales: See `build_dataset`.

    Raises:
        DataError: An array violates the data format; the message names it.
    """
    labels, the_task = _targets(name, targets, task, n_names=len(class_names))
    rows = divide_into_splits(
        name,
        labels.numpy(),
        task,
        splits=splits,
        groups=groups,
        val_fraction=val_fraction,
        class_names=class_names,
    )
    is_fixed = keeps_val and splits is not None and groups is None and bool((splits == "val").any())
    parts = ("train",) if is_fixed else ("train", "val")
    modalities, preprocessing = encode(np.sort(np.concatenate([rows[part].numpy() for part in parts])))
    if not modalities:
        raise DataError(f"{name} names no modality; list at least one under data.modalities")
    checked = {
        key: check_modality(f"{name}: modality {key}", key, arrays, n_samples=len(labels))
        for key, arrays in modalities.items()
    }
    if the_task.size is not None:
        check_aligned(name, {key: modality for key, (_, modality) in checked.items()}, the_task.size)
    return Table.of(
        name,
        {key: arrays for key, (arrays, _) in checked.items()},
        modalities=tuple(modality for _, modality in checked.values()),
        task=the_task,
        targets=labels,
        splits=splits,
        groups=groups,
        val_fraction=val_fraction,
        rows=rows,
        class_names=class_names,
        scales=scales,
        preprocessing=preprocessing,
    )


def _targets(name: str, targets: Array, task: str, *, n_names: int) -> tuple[Tensor, Task]:
    where = f"{name}: the labels"
    if len(targets) == 0:
        raise DataError(f"{where} are empty; there is nothing to learn from")
    checked, n_outputs = task_kind(task).check_targets(where, targets)
    if not TASKS[task].is_dense:
        return checked, Task(task, n_outputs)
    height, width = checked.shape[1:]
    return checked, Task(task, max(n_outputs, n_names), (height, width))
