"""Inputs of a network from the arrays of new data: checked, and standardised as in the training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from nasfuse.data import Column, ModalityArrays, Scale, Split
from nasfuse.data.layout import CheckedArrays, check_modality
from nasfuse.data.storage import Storage, largest_unchanged
from nasfuse.domain.modality import Modality
from nasfuse.errors import DataError
from nasfuse.prediction.saved_network import SavedNetwork
from nasfuse.prediction.unusable_rows import row_text, unusable_rows

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """Standardised samples of new data.

    Attributes:
        columns: Columns of the `rows`, by modality.
        checked: Checked arrays of the `rows`, by modality.
        rows: (k,) rows of the data that can be used, counted from 0.
        n_rows: Number of all rows.
        problems: Why the other rows cannot be used, by row.
    """

    columns: dict[str, Column]
    checked: dict[str, CheckedArrays]
    rows: Rows
    n_rows: int
    problems: dict[int, str]

    def split(self) -> Split:
        """Returns the samples as a split, whose targets are zeros."""
        return Split(self.columns, torch.zeros(len(self.rows)))


def prepare(
    name: str,
    arrays: Mapping[str, ModalityArrays],
    *,
    saved: SavedNetwork,
    problems: Mapping[int, str],
    lacking: Mapping[str, bool] | None = None,
) -> Inputs:
    """Returns the inputs of a network from the arrays of new data.

    Args:
        name: Name of the data in messages.
        arrays: Arrays of the new data by modality; modalities of the training.
        saved: The network.
        problems: Rows that are known to be unusable, with the reason of each.
        lacking: Modalities that all rows lack, and whether they are sequences with lengths.

    Raises:
        DataError: The arrays do not have the form of the training data, have different numbers of rows, or no row can
            be used.
    """
    n_rows = _n_rows(name, arrays)
    known = {modality.name: modality for modality in saved.modalities}
    absent = {key: _absent(known[key], n_rows, has_lengths=has) for key, has in (lacking or {}).items()}
    arrays = {key: {**arrays, **absent}[key] for key in known if key in arrays or key in absent}
    modalities = {modality.name: modality for modality in saved.modalities if modality.name in arrays}
    found = dict(problems)
    for key, modality in modalities.items():
        bad = unusable_rows(
            arrays[key],
            modality,
            saved.scales.get(key),
            n_rows=n_rows,
            can_be_absent=key in saved.can_be_absent,
        )
        for row, reason in bad.items():
            found.setdefault(row, f"{key}: {reason}")
    rows = np.setdiff1d(np.arange(n_rows), np.fromiter(found, np.int64, len(found)))
    if not len(rows):
        row, reason = min(found.items())
        raise DataError(f"{name} has no row that can be used; {row_text(row, reason)}")
    columns, checked = {}, {}
    for key, modality in modalities.items():
        where = f"{name}: modality {key}"
        own = _of_rows(arrays[key], modality, rows)
        checked[key], here = check_modality(where, key, own, n_samples=len(rows))
        _check_shape(where, here, modality, has_lengths=own.lengths is not None)
        columns[key] = _standardised(where, checked[key], saved.units.get(key), saved.stored_scales.get(key))
    return Inputs(columns, checked, rows, n_rows, dict(sorted(found.items())))


def _standardised(where: str, arrays: CheckedArrays, unit: Scale | None, stored_scale: Scale | None) -> Column:
    """Returns the arrays as they are stored in a data set, to which its scale is applied in batches."""
    n_samples = len(arrays.values if arrays.index is None else arrays.index)
    rows = np.arange(n_samples)
    is_raw = unit is not None and bool((unit.mean == 0).all() and (unit.std == 1).all())
    if unit is not None and not is_raw and largest_unchanged(arrays.values) is not None:
        arrays = replace(arrays, values=arrays.values.astype(np.float32))  # these types are stored without a unit
    storage = Storage.of(where, arrays, scaled_by=rows, is_ids=unit is None, given=unit)
    return storage.column(torch.from_numpy(rows), stored_scale)


def _absent(modality: Modality, n_rows: int, *, has_lengths: bool) -> ModalityArrays:
    """Returns the arrays of a modality that all rows lack."""
    shape = (*modality.shape[1:], modality.shape[0]) if modality.kind == "image" else modality.shape
    return ModalityArrays(
        modality.kind,
        np.zeros((1, *shape), np.float32 if modality.vocabulary is None else np.int64),
        index=np.zeros(n_rows, np.int64),
        lengths=np.ones(n_rows, np.int64) if has_lengths else None,
        vocabulary=modality.vocabulary,
        present=np.zeros(n_rows, bool),
    )


def _n_rows(name: str, arrays: Mapping[str, ModalityArrays]) -> int:
    """Returns the number of rows, equal in all modalities."""
    counts = {key: len(np.atleast_1d(one.values if one.index is None else one.index)) for key, one in arrays.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise DataError(f"{name} has different numbers of rows in its modalities ({shown}); align them")
    n_rows = next(iter(counts.values()))
    if n_rows == 0:
        raise DataError(f"{name} has no rows; give at least one")
    return n_rows


def _of_rows(arrays: ModalityArrays, modality: Modality, rows: Rows) -> ModalityArrays:
    """Returns the arrays of `rows`, with the vocabulary and the side of the padding of the training."""
    values = np.asarray(arrays.values)
    index = None if arrays.index is None else np.asarray(arrays.index)[rows]
    lengths = None if arrays.lengths is None else np.asarray(arrays.lengths)[rows]
    present = None if arrays.present is None else arrays.present[rows]
    if index is None and len(rows) < len(values):
        values = values[rows]
    if lengths is not None and modality.kind == "sequence" and values.ndim > 1:
        most = modality.shape[0]  # no length is above it
        values = values[:, -most:] if modality.padding == "left" else values[:, :most]
    return replace(
        arrays,
        kind=modality.kind,
        values=values,
        index=index,
        lengths=lengths,
        vocabulary=modality.vocabulary,
        padding=None if lengths is None else modality.padding,
        present=present,
    )


def _check_shape(where: str, here: Modality, trained: Modality, *, has_lengths: bool) -> None:
    """Checks the shape of a sample; sequences with lengths may have fewer steps.

    Raises:
        DataError: It is not that of the training.
    """
    if here.shape == trained.shape or (has_lengths and here.shape[1:] == trained.shape[1:]):
        return
    shown = [" x ".join(str(size) for size in shape) for shape in (here.shape, trained.shape)]
    raise DataError(
        f"{where} has samples of shape {shown[0]}, and the network was trained with {shown[1]}; give it data of the "
        "same form"
    )
