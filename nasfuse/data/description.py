"""Raw data as a `DataConfig` describes them: targets, splits, groups and modalities."""

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nasfuse.data.arrays import fitted_table
from nasfuse.data.columns.base import Rows, Transform
from nasfuse.data.columns.files import files_read_once
from nasfuse.data.dataset import Scale
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.metadata import metadata_values
from nasfuse.data.preprocessing import Preprocessing
from nasfuse.data.raw_table import RawTable, missing, texts
from nasfuse.data.table import Table
from nasfuse.data.targets import raw_targets
from nasfuse.errors import DataError, counted, listed
from nasfuse.spec.data import DataConfig, SplitRows

#: Words for the splits in files, and the splits.
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}


def described_table(
    raw: RawTable,
    config: DataConfig,
    *,
    scales: Mapping[str, Scale] | None = None,
    transforms: Mapping[str, Transform] | None = None,
) -> Table:
    """Returns all samples of raw data.

    Args:
        raw: Columns or arrays, with targets.
        config: Description of the data. The vocabularies, medians and other statistics of its modalities are fitted on
            the training samples, or, where repeated trainings have other divisions of train and val, on both.
        scales: See `build_dataset`.
        transforms: Transforms of modalities that are not fitted, but used as they are.

    Raises:
        DataError: A column or array does not exist, or violates the data format.
    """
    if not config.modalities:
        raise DataError(
            f"{raw.origin} needs data.modalities (name: kind, such as vector, image or text); "
            f"`nasfuse data check {shlex.quote(str(raw.folder / raw.origin))}` suggests them. "
            f"{raw.noun.capitalize()}s: {listed(raw.columns)}"
        )
    targets, names = raw_targets(raw, config)
    for name in config.metadata:
        metadata_values(raw, name, torch.arange(len(targets)))

    def encode(rows: Rows) -> tuple[dict[str, ModalityArrays], Preprocessing]:
        with files_read_once():
            fitted = Preprocessing.fit(config.modalities, raw, rows, given=transforms)
            return fitted.arrays(raw), fitted

    return fitted_table(
        raw.name,
        encode,
        targets=targets,
        task=config.task,
        splits=splits_of(raw, config, n_rows=len(targets)),
        groups=_groups(raw, config),
        val_fraction=config.val_fraction,
        keeps_val=config.validation is None,
        class_names=names,
        scales=scales,
    )


def splits_of(raw: RawTable, config: DataConfig, *, n_rows: int) -> NDArray[Any] | None:
    """Returns the split of each row, `train`, `val` or `test`; None if the default column does not exist.

    Raises:
        DataError: Another column does not exist, or numbers of rows do not sum to `n_rows`.
    """
    name = config.split
    if isinstance(name, SplitRows):
        if name.n_rows != n_rows:
            raise DataError(
                f"{raw.origin} has {counted(n_rows, 'row')} and data.split {name.n_rows}; correct data.split"
            )
        parts = {"train": name.train, "val": name.val or 0, "test": name.test}
        return np.repeat(list(parts), list(parts.values()))
    if name == DataConfig.model_fields["split"].default and name not in raw.columns:
        return None
    values = raw.column(name, "data.split")
    if values.dtype.kind not in "OU" or values.ndim != 1:
        return values
    return np.array([SPLITS.get(text, text) for text in texts(values)])


def _groups(raw: RawTable, config: DataConfig) -> NDArray[Any] | None:
    if config.group is None:
        return None
    values = raw.column(config.group, "data.group")
    if values.dtype.kind != "O":
        return values
    absent = missing(values)
    if absent.any():
        place = raw.place(config.group, int(absent.argmax()))
        raise DataError(f"{place}: the group is missing; name the group of every row")
    return np.array(texts(values))
