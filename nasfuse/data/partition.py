"""Cutting samples into train, val and test: stratified by class, groups never cut in two."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold, train_test_split
from torch import Tensor

from nasfuse.errors import DataError


def cut_splits(
    name: str,
    labels: NDArray[Any],
    task: str,
    *,
    splits: NDArray[Any] | None,
    groups: NDArray[Any] | None,
    val_fraction: float,
    cut: int = 0,
) -> dict[str, Tensor]:
    """Returns the sorted rows of `train`, `val` and `test`.

    A cut depends on its number alone, never on the seed of a search.

    Args:
        name: Of the data set, for messages.
        labels: (n,) or (n, k).
        task: Multiclass cuts are stratified.
        splits: (n,) words; None cuts 80/10/10.
        groups: (n,) or None. Where a group stands in train and in val, train and val are cut anew: a
            validation set that repeats training samples selects what memorises.
        val_fraction: Share of train that becomes val where `splits` names no val, or one that leaks.
        cut: 0 is the data set's own. Others cut train and val anew, so that repeated trainings are judged on
            different samples; test stays. A val that `splits` names stays too, unless there are groups:
            samples may belong together in ways the file does not tell.

    Raises:
        DataError: An unknown word, a wrong length, an empty split, or a group on both sides of test.
    """
    n_samples = len(labels)
    for what, array in (("split", splits), ("group", groups)):
        if array is not None and array.shape != (n_samples,):
            raise DataError(f"{name}: the {what} array must have one entry per label, got shape {array.shape}")
    everything = np.arange(n_samples)
    if splits is None:
        rest, test = _cut(name, everything, labels, task, groups, 0.1)
        train, val = _cut(name, rest, labels, task, groups, 1 / 9, cut)
    else:
        words = set(np.unique(splits).tolist())
        unknown = words - {"train", "val", "test"}
        if unknown:
            raise DataError(f"{name}: the split array must say train, val or test, got {sorted(unknown)[0]!r}")
        train, val, test = (everything[splits == word] for word in ("train", "val", "test"))
        if groups is not None:
            _test_is_apart(name, groups, np.concatenate([train, val]), test)
        leaks = groups is not None and len(np.intersect1d(groups[train], groups[val])) > 0
        if (not len(val) or leaks) and len(train):
            train, val = _cut(name, np.concatenate([train, val]), labels, task, groups, val_fraction, cut)
        elif cut and groups is not None and len(train):
            pool = np.concatenate([train, val])
            train, val = _cut(name, pool, labels, task, groups, len(val) / len(pool), cut)
    rows = {"train": train, "val": val, "test": test}
    for part, index in rows.items():
        if not len(index):
            raise DataError(f"{name}: the {part} split is empty; mark some samples as {part!r} in the split array")
    return {part: torch.from_numpy(np.sort(index)) for part, index in rows.items()}


def _cut(
    name: str,
    rows: NDArray[Any],
    labels: NDArray[Any],
    task: str,
    groups: NDArray[Any] | None,
    share: float,
    number: int = 0,
) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        if groups is not None and task == "multiclass":
            folds = StratifiedGroupKFold(max(round(1 / share), 2), shuffle=True, random_state=number)
            kept, cut = next(folds.split(rows, labels[rows], groups[rows]))
            return rows[kept], rows[cut]
        if groups is not None:
            cutter = GroupShuffleSplit(n_splits=1, test_size=share, random_state=number)
            kept, cut = next(cutter.split(rows, groups=groups[rows]))
            return rows[kept], rows[cut]
        strata = labels[rows] if task == "multiclass" else None
        kept_rows, cut_rows = train_test_split(rows, test_size=share, random_state=number, stratify=strata)
    except ValueError as error:
        raise DataError(f"{name}: {len(rows)} samples are too few to cut a split from: {error}") from error
    return kept_rows, cut_rows


def _test_is_apart(name: str, groups: NDArray[Any], others: NDArray[Any], test: NDArray[Any]) -> None:
    shared = np.intersect1d(groups[others], groups[test])
    if len(shared):
        raise DataError(
            f"{name}: {len(shared)} groups stand in test and in train or val, the first is {shared[0]!s}; "
            "correct the split array or name another group"
        )
