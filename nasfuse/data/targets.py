"""Targets as people have them - words, booleans, numbers from 1, one-hot rows, several columns - as class numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.class_labels import number_words
from nasfuse.data.label_maps import label_maps
from nasfuse.data.raw_table import RawTable, missing
from nasfuse.domain.task import TASKS
from nasfuse.errors import DataError, counted, listed
from nasfuse.spec.data import DataConfig
from nasfuse.tasks import task_kind

Array = NDArray[Any]


def raw_targets(
    raw: RawTable, config: DataConfig, *, class_names: tuple[str, ...] = ()
) -> tuple[Array, tuple[str, ...]]:
    """Returns the targets of raw data in the form that `build_dataset` takes, and the names of classes or outputs.

    Args:
        raw: Data with the columns of `config.target`.
        config: Description of the data.
        class_names: Names that classes have already, in the order of their numbers. Default: `config.classes`, or those
            in the data.

    Raises:
        DataError: A column does not exist, a value is missing, or a class is none of `class_names`.
    """
    if TASKS[config.task].is_dense:
        return label_maps(raw, config, n_classes=len(class_names) or None)
    columns = config.targets
    parts = [_complete(raw, column, raw.column(column, "data.target")) for column in columns]
    where = f"{raw.origin}: the labels"
    no_names: tuple[str, ...] = ()
    if len(parts) == 1:
        targets, found = parts[0], no_names
    else:
        targets, found = side_by_side(raw, columns, parts), columns
    if task_kind(config.task).takes_words:
        targets, named = as_classes(where, targets, names=class_names or config.classes or ())
        return targets, (found if found and targets.ndim == 1 else named)
    if targets.dtype.kind == "O":
        targets = _numbers(raw, columns[0], targets)
    return targets, tuple(found)


def as_classes(where: str, targets: Array, *, names: tuple[str, ...] = ()) -> tuple[Array, tuple[str, ...]]:
    """Returns class numbers (n,) from 0 and the names of the classes; other values are returned as they are.

    Words are numbered in alphabetical order, and booleans as False and True. Whole numbers from 0 are class numbers and
    have no names. Other whole numbers that are not negative, and the pair -1 and 1, are numbered in their order, and
    are the names. Rows of zeros with a single one (n, k) are the number of its column.

    Args:
        where: Prefix of messages.
        targets: (n,) words, booleans or whole numbers, or (n, k) one-hot rows.
        names: Names of the classes in their order, where they are known. Default: those that occur.

    Raises:
        DataError: A label is empty or has spaces at an end, or is none of `names`, or all words are equal.

    Example:
        >>> as_classes("the labels", np.array([1.0, 3.0, 2.0]))
        (array([0, 2, 1]), ('1', '2', '3'))
    """
    if targets.dtype.kind == "f" and np.isfinite(targets).all() and (targets == np.round(targets)).all():
        targets = targets.astype(np.int64)
    if targets.ndim == 2 and targets.shape[1] > 1 and targets.dtype.kind in "biu":
        if np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all():
            return targets.argmax(axis=1), ()
        return targets, ()
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1 or not len(targets):
        return targets, ()
    if targets.dtype.kind == "b":
        targets = np.where(targets, "True", "False")
    elif targets.dtype.kind in "iu":
        occurring = np.unique(targets)
        is_code = occurring[0] > 0 or occurring.tolist() == [-1, 1]
        if not names and (len(occurring) == 1 or not is_code):
            return targets, ()
        if not names:
            return np.searchsorted(occurring, targets), tuple(str(one) for one in occurring.tolist())
        targets = targets.astype(str)
    if targets.dtype.kind == "O" and all(isinstance(value, str | bool | np.bool_ | int) for value in targets):
        targets = targets.astype(str)
    if targets.dtype.kind != "U":
        return targets, ()
    numbers, found = number_words(where, targets)
    if not names and len(found) == 1:
        raise DataError(f"{where} hold one class only, got {found[0]!r} everywhere; there is nothing to learn")
    return (numbers, found) if not names else (_renumbered(where, numbers, found, names), names)


def _renumbered(where: str, numbers: Array, found: tuple[str, ...], names: tuple[str, ...]) -> Array:
    unknown = [name for name in found if name not in names]
    if unknown:
        row = int(np.equal(numbers, found.index(unknown[0])).argmax())
        raise DataError(f"{where} must be one of {listed(names)}, got {unknown[0]!r} in row {row}; correct it")
    return np.array([names.index(name) for name in found])[numbers]


def _complete(raw: RawTable, column: str, values: Array) -> Array:
    """Returns the values of a column of targets, of which none may be missing."""
    values = np.atleast_1d(values)
    absent = missing(values) if values.dtype.kind == "O" else np.zeros(len(values), bool)
    if values.dtype.kind == "f" and values.ndim == 1:
        absent = np.isnan(values)
    if absent.any():
        place = raw.place(column, int(absent.argmax()))
        others = int(absent.sum()) - 1
        more = f" and in {counted(others, 'other row')}" if others else ""
        raise DataError(
            f"{place}: the target is missing here{more}; add it or remove the rows without it (`nasfuse predict` needs "
            "no target)"
        )
    return values


def side_by_side(raw: RawTable, columns: Sequence[str], parts: Sequence[Array]) -> Array:
    """Returns several targets, one number or boolean per row each, as one array (n, k).

    Args:
        raw: Data with the columns, for messages.
        columns: Names of the columns.
        parts: Their values, (n,) each.

    Raises:
        DataError: A column holds something else, or has another number of rows.
    """
    for column, values in zip(columns, parts, strict=True):
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            raise DataError(
                f"{raw.place(column)} must hold one number or boolean per row to be one of several targets, got "
                f"{values.dtype} of shape {values.shape}; name one target, or convert it"
            )
        if len(values) != len(parts[0]):
            raise DataError(
                f"{raw.place(column)} has {counted(len(values), 'row')} and {columns[0]} has {len(parts[0])}; targets "
                "must have the same rows"
            )
    return np.stack(parts, axis=1)


def _numbers(raw: RawTable, column: str, targets: Array) -> Array:
    try:
        return np.asarray([np.asarray(value, np.float64) for value in targets])
    except (TypeError, ValueError) as error:
        raise DataError(f"{raw.place(column)} must hold numbers for this task ({error}); set data.task") from error
