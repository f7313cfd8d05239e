"""All samples of a data set, in one copy that the splits of all divisions share."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.dataset import Column, Dataset, Scale, Split
from nasfuse.data.fingerprint import add_array, content_digest, shown
from nasfuse.data.layout import CheckedArrays
from nasfuse.data.partition import divide_into_folds, divide_into_splits
from nasfuse.data.preprocessing import Preprocessing
from nasfuse.data.storage import Storage
from nasfuse.data.target_scale import standardised, target_scale_of
from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import DataError, nearest
from nasfuse.tasks import task_kind


@dataclass(frozen=True)
class Table:
    """All samples of a data set in one copy.

    Attributes:
        name: Name in reports.
        modalities: Descriptions of the modalities, in the order of the file or configuration.
        task: Prediction task.
        storages: Samples by modality.
        targets: (n,) int64, (n, n_outputs) float32 labels, (n, n_outputs) float64 numbers in the unit of the data, or
            (n, H, W) uint8 label maps.
        splits: (n,) strings `train`, `val` and `test`; None if the data have no splits.
        groups: (n,) group of each sample; None if the data have no groups.
        val_fraction: Share of train that becomes val if `splits` has no val.
        rows: Samples of train, val and test in division 0.
        class_names: Names of the outputs, if known.
        preprocessing: How raw columns became the modalities.
        content: Hash of everything but the division.
    """

    name: str
    modalities: tuple[Modality, ...]
    task: Task
    storages: dict[str, Storage]
    targets: Tensor
    splits: NDArray[Any] | None
    groups: NDArray[Any] | None
    val_fraction: float
    rows: dict[str, Tensor]
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    content: bytes

    @classmethod
    def of(
        cls,
        name: str,
        checked: Mapping[str, CheckedArrays],
        *,
        modalities: tuple[Modality, ...],
        task: Task,
        targets: Tensor,
        splits: NDArray[Any] | None,
        groups: NDArray[Any] | None,
        val_fraction: float,
        rows: dict[str, Tensor],
        class_names: tuple[str, ...],
        scales: Mapping[str, Scale] | None,
        preprocessing: Preprocessing,
    ) -> "Table":
        """Returns the table of validated arrays. For the arguments see the attributes and `build_dataset`.

        Raises:
            DataError: `scales` lacks a modality.
        """
        content = content_digest(checked, targets.numpy())
        scaled_by = np.sort(np.concatenate([rows["train"].numpy(), rows["val"].numpy()]))
        storages = {}
        for modality in modalities:
            is_ids = modality.vocabulary is not None
            storages[modality.name] = Storage.of(
                f"{name}: modality {modality.name}",
                checked[modality.name],
                scaled_by=scaled_by,
                is_ids=is_ids,
                given=None if is_ids else _given(name, modality.name, scales),
            )
        return cls(
            name=name,
            modalities=modalities,
            task=task,
            storages=storages,
            targets=targets,
            splits=splits,
            groups=groups,
            val_fraction=val_fraction,
            rows=rows,
            class_names=class_names,
            preprocessing=preprocessing,
            content=content,
        )

    def divided(self, number: int) -> Dataset:
        """Returns the data set with division `number` of train and val; see `divide_into_splits`.

        Its values are shared with this table.

        Raises:
            DataError: A class has no training sample, a regression target is constant in train, or a value is too far
            from the training samples.
        """
        return self._dataset(self.rows if number == 0 else self._rows(number))

    def fold(self, number: int, *, n_folds: int) -> Dataset:
        """Returns the data set in which val is a fold of the samples outside test, and train the others.

        For the arguments see `divide_into_folds`.

        Raises:
            DataError: As for `divided`, or there are too few samples for the folds.
        """
        train, val = divide_into_folds(
            self.name,
            self.targets.numpy(),
            self.task.kind,
            rows=self._outside_test().numpy(),
            groups=self.groups,
            n_folds=n_folds,
            number=number,
            class_names=self.class_names,
        )
        return self._dataset({"train": train, "val": val, "test": self.rows["test"]})

    def undivided(self) -> Dataset:
        """Returns the data set in which train has all samples outside test, and val none.

        Raises:
            DataError: As for `divided`.
        """
        rows = self._outside_test()
        return self._dataset({"train": rows, "val": rows[:0], "test": self.rows["test"]})

    def _outside_test(self) -> Tensor:
        return torch.cat([self.rows["train"], self.rows["val"]]).sort().values

    def _dataset(self, rows: Mapping[str, Tensor]) -> Dataset:
        kind = task_kind(self.task.kind)
        kind.check_training_targets(self.name, self.targets, rows["train"], names=self.class_names)
        scales = {key: storage.scales(rows["train"].numpy()) for key, storage in self.storages.items()}
        target_scale = target_scale_of(self.name, self.targets, rows["train"]) if kind.is_standardised else None
        targets = self.targets if target_scale is None else standardised(self.targets, target_scale)
        digest = hashlib.sha256(self.content)
        for part, index in rows.items():
            add_array(digest, part, index.numpy())
        codes = None if self.groups is None else torch.from_numpy(np.unique(self.groups, return_inverse=True)[1])
        parts = {
            part: Split(
                self._columns(index, scales),
                _rows_of(targets, index),
                None if codes is None else codes[index],
                target_scale,
                rows=index,
            )
            for part, index in rows.items()
        }
        return Dataset(
            name=self.name,
            modalities=self.modalities,
            task=self.task,
            train=parts["train"],
            val=parts["val"],
            test=parts["test"],
            fingerprint=shown(digest.digest()),
            class_names=self.class_names,
            scales={key: scale[1] for key, scale in scales.items() if scale is not None},
            units={key: one.unit for key, one in self.storages.items() if one.unit is not None},
            content_fingerprint=shown(self.content),
            preprocessing=self.preprocessing,
        )

    def _rows(self, number: int) -> dict[str, Tensor]:
        return divide_into_splits(
            self.name,
            self.targets.numpy(),
            self.task.kind,
            splits=self.splits,
            groups=self.groups,
            val_fraction=self.val_fraction,
            division=number,
        )

    def _columns(self, rows: Tensor, scales: Mapping[str, tuple[Scale, Scale] | None]) -> dict[str, Column]:
        columns = {}
        for key, storage in self.storages.items():
            scale = scales[key]
            columns[key] = storage.column(rows, None if scale is None else scale[0])
        return columns


def _rows_of(targets: Tensor, rows: Tensor) -> Tensor:
    """Returns the targets of sorted `rows` (k,): a view where these follow one another, as label maps are large."""
    if len(rows) and int(rows[-1] - rows[0]) == len(rows) - 1:
        return targets[int(rows[0]) : int(rows[-1]) + 1]
    return targets[rows]


def _given(name: str, modality: str, scales: Mapping[str, Scale] | None) -> Scale | None:
    if scales is None:
        return None
    if modality not in scales:
        raise DataError(f"{name}: the given scales lack modality {modality!r}; {nearest(modality, scales)}")
    return scales[modality]
