"""From plain arrays to a `Dataset`: shapes, labels and NaN checked, splits cut, scales fitted on train."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.config.modality import Modality, ModalityKind, Task
from nasfuse.data.dataset import Column, Dataset, Scale, Split
from nasfuse.data.partition import cut_splits
from nasfuse.data.targets import standardised, target_scale_of
from nasfuse.errors import DataError

Array = NDArray[np.generic]


@dataclass(frozen=True)
class ModalityArrays:
    """One modality as it stands in a file.

    Attributes:
        kind: `vector`, `sequence` or `image`.
        values: (u, F), (u, T, F), (u, T) ids, (u, H, W), (u, H, W, C) or (u, C, H, W).
        index: (n,) row of each sample, None where u = n.
        lengths: (n,) true length of each sequence.
        vocabulary: Number of ids of a sequence of ids.
    """

    kind: ModalityKind
    values: Array
    index: Array | None = None
    lengths: Array | None = None
    vocabulary: int | None = None


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
) -> Dataset:
    """Returns the data set made of plain arrays.

    Args:
        name: For reports and messages.
        modalities: At least one.
        targets: (n,) class numbers from 0, (n, k) zeros and ones, or (n,) or (n, k) real numbers.
        task: `multiclass`, `multilabel` or `regression`.
        splits: (n,) words `train`, `val`, `test`; without it, 80/10/10 is cut, stratified by class.
        groups: (n,) group of each sample; a group is never cut in two.
        val_fraction: Share of train that becomes val where `splits` has none.
        cut: Number of the division into train and val, see `cut_splits`.
        class_names: One per class where known.

    Raises:
        DataError: Anything that breaks the contract, naming the array.
    """
    if not modalities:
        raise DataError(f"{name} names no modality; list at least one under data.modalities")
    labels, the_task = _targets(name, targets, task)
    columns: dict[str, Column] = {}
    described: list[Modality] = []
    for key, arrays in modalities.items():
        column, modality = _column(f"{name}: modality {key}", key, arrays, len(labels))
        columns[key] = column
        described.append(modality)
    rows = cut_splits(
        name, labels.numpy(), the_task.kind, splits=splits, groups=groups, val_fraction=val_fraction, cut=cut
    )
    if the_task.kind == "multiclass":
        _every_class_is_trained(name, labels, rows["train"])
    scaled = {key: _scaled(column, rows["train"]) for key, column in columns.items()}
    target_scale = target_scale_of(name, labels, rows["train"]) if the_task.kind == "regression" else None
    given = labels if target_scale is None else standardised(labels, target_scale)
    codes = None if groups is None else torch.from_numpy(np.unique(groups, return_inverse=True)[1])
    parts = {
        part: Split(
            {key: _take(column, index) for key, column in scaled.items()},
            given[index],
            None if codes is None else codes[index],
            target_scale,
        )
        for part, index in rows.items()
    }
    return Dataset(
        name=name,
        modalities=tuple(described),
        task=the_task,
        train=parts["train"],
        val=parts["val"],
        test=parts["test"],
        fingerprint=_fingerprint(columns, labels, rows),
        class_names=class_names,
    )


def _column(where: str, name: str, arrays: ModalityArrays, n_samples: int) -> tuple[Column, Modality]:
    values = np.atleast_1d(np.asarray(arrays.values))
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == np.bool_):
        raise DataError(f"{where} must hold numbers, got {values.dtype}; encode it first")
    if len(values) == 0:
        raise DataError(f"{where} is empty; give at least one row")
    index = _integers(f"{where}, index", arrays.index, n_samples, below=len(values))
    if index is None and len(values) != n_samples:
        raise DataError(
            f"{where} has {len(values)} rows but there are {n_samples} labels; name an index array or align them"
        )
    values = _in_layout(where, arrays.kind, values, arrays.vocabulary)
    values = values.astype(_storage_type(values, arrays.vocabulary), copy=False)
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise DataError(
            f"{where} holds NaN or infinite values in {int(bad.sum())} rows, "
            f"the first is row {int(bad.argmax())}; clean or impute them"
        )
    lengths = None
    if arrays.lengths is not None:
        if arrays.kind != "sequence":
            raise DataError(f"{where} is a {arrays.kind}, only a sequence has lengths; remove lengths")
        lengths = _integers(f"{where}, lengths", arrays.lengths, n_samples, below=values.shape[1] + 1)
    modality = Modality(name, arrays.kind, tuple(values.shape[1:]), arrays.vocabulary)
    return Column(torch.from_numpy(values), index, lengths), modality


def _storage_type(values: Array, vocabulary: int | None) -> type[np.generic]:
    if vocabulary is not None:
        return np.int64
    return np.uint8 if values.dtype == np.uint8 else np.float32


def _in_layout(where: str, kind: ModalityKind, values: Array, vocabulary: int | None) -> Array:
    shape = values.shape[1:]
    if vocabulary is not None:
        if kind != "sequence" or len(shape) != 1 or not np.issubdtype(values.dtype, np.integer):
            raise DataError(f"{where} has a vocabulary, so it must be integer ids (n, T), got {values.shape}")
        if values.min() < 0 or values.max() >= vocabulary:
            raise DataError(
                f"{where} must hold ids from 0 to {vocabulary - 1}, got {values.min()} to {values.max()}; "
                "fix vocabulary"
            )
        return values
    if kind == "vector" and len(shape) == 1:
        return values
    if kind == "sequence" and len(shape) == 2:
        return values
    if kind == "image" and len(shape) == 2:
        return values[:, None]
    if kind == "image" and len(shape) == 3:
        if shape[2] in (1, 3, 4):
            return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        if shape[0] in (1, 3, 4):
            return values
    expected = {
        "vector": "(n, F)",
        "sequence": "(n, T, F), or (n, T) ids with a vocabulary",
        "image": "(n, H, W), (n, H, W, C) or (n, C, H, W) with 1, 3 or 4 channels",
    }[kind]
    raise DataError(f"{where} is of kind {kind}, which must be {expected}, got {values.shape}; change its kind")


def _integers(where: str, values: Array | None, n_samples: int, *, below: int) -> Tensor | None:
    if values is None:
        return None
    values = np.asarray(values)
    if values.shape != (n_samples,) or not np.issubdtype(values.dtype, np.integer):
        raise DataError(f"{where} must be {n_samples} integers, got {values.dtype} of shape {values.shape}")
    if values.min() < 0 or values.max() >= below:
        raise DataError(f"{where} must lie from 0 to {below - 1}, got {values.min()} to {values.max()}")
    return torch.from_numpy(values.astype(np.int64))


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


def _every_class_is_trained(name: str, labels: Tensor, train: Tensor) -> None:
    absent = sorted(set(labels.tolist()) - set(labels[train].tolist()))
    if absent:
        raise DataError(f"{name}: class {absent[0]} has no training sample; fix the labels or the split")


def _scaled(column: Column, train: Tensor) -> Column:
    if column.values.dtype == torch.int64:
        return column
    stored = train if column.index is None else column.index[train]
    rows: Tensor = torch.zeros(len(column.values), dtype=torch.bool).index_fill(0, stored, True).nonzero()[:, 0]
    values = column.values[rows].float()
    weights = torch.ones(len(values), *[1] * (values.dim() - 1))
    if column.lengths is not None:
        lengths = torch.zeros(len(column.values), dtype=torch.int64)
        lengths = lengths.scatter_reduce(0, stored, column.lengths[train], "amax")[rows]
        weights = (torch.arange(values.shape[1]) < lengths[:, None])[..., None].float()
    axes = [0] if values.dim() == 2 else ([0, 1] if values.dim() == 3 else [0, 2, 3])
    total = (weights * torch.ones_like(values)).sum(axes, keepdim=True).clamp_min(1.0)
    mean = (weights * values).sum(axes, keepdim=True) / total
    std = ((weights * (values - mean) ** 2).sum(axes, keepdim=True) / total).sqrt()
    std = torch.where(std > 1e-8, std, torch.ones_like(std))
    return Column(column.values, column.index, column.lengths, Scale(mean, std))


def _take(column: Column, rows: Tensor) -> Column:
    lengths = None if column.lengths is None else column.lengths[rows]
    if column.index is not None:
        return Column(column.values, column.index[rows], lengths, column.scale)
    return Column(column.values[rows], None, lengths, column.scale)


def _fingerprint(columns: dict[str, Column], labels: Tensor, rows: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, column in columns.items():
        parts = {"values": column.values, "index": column.index, "lengths": column.lengths}
        for part, tensor in parts.items():
            if tensor is not None:
                _digest_tensor(digest, f"{name}.{part}", tensor)
    for part, tensor in {"labels": labels, **rows}.items():
        _digest_tensor(digest, part, tensor)
    return digest.hexdigest()[:12]


def _digest_tensor(digest: "hashlib._Hash", name: str, tensor: Tensor) -> None:
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.numpy().tobytes())
