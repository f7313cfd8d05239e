"""Rows of new data for which a network has no prediction, and why."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data import ModalityArrays, Scale
from nasfuse.domain.modality import Modality

Array = NDArray[Any]

#: Number of standard deviations from the mean above which float32 arithmetic of a network overflows.
_MOST_DEVIATIONS = 1e30


def unusable_rows(
    arrays: ModalityArrays, modality: Modality, scale: Scale | None, *, n_rows: int, can_be_absent: bool = False
) -> dict[int, str]:
    """Returns the rows that cannot be used, counted from 0, with the reason of each.

    These are rows with values that are NaN, infinite, too large for the arithmetic of a network, or ids outside the
    vocabulary, in the steps that are not padding, and rows with a wrong index or length. Arrays that are wrong as a
    whole, for example in their number of axes, are left to `nasfuse.data.layout.check_modality`.

    Args:
        arrays: Arrays of the new data.
        modality: Modality as in the training.
        scale: Scale of the training; None for ids.
        n_rows: Number of rows of the new data.
        can_be_absent: Whether rows that are NaN as a whole lack the modality, and can be used.
    """
    values = np.asarray(arrays.values)
    if values.dtype.kind not in "biuf" or values.ndim < 2:
        return {}
    found: dict[int, str] = {}
    index = _whole_numbers(arrays.index, n_rows)
    if index is not None:
        _add(found, (index < 0) | (index >= len(values)), f"its index is not one of the {len(values)} rows")
        index = np.where((index < 0) | (index >= len(values)), 0, index)
    lengths = None
    if modality.kind == "sequence" and values.ndim >= 2:
        lengths = _whole_numbers(arrays.lengths, n_rows)
    if lengths is not None:
        n_steps = values.shape[1]
        _add(found, (lengths < 0) | (lengths > n_steps), f"its length is not from 0 to {n_steps}")
        most = modality.shape[0]
        _add(found, lengths > most, f"it has more than the {most} steps of the longest training sample")
    bad, reason = _bad_values(values, modality, scale)
    if bad is not None:
        in_use = _in_use(bad, index, lengths, modality)
        if can_be_absent and values.dtype.kind == "f":
            in_use &= _in_use(~np.isnan(values), index, lengths, modality)
        _add(found, in_use, reason)
    return found


def row_text(row: int, reason: str) -> str:
    """Returns a row and why it cannot be used; the reason may name the row itself.

    >>> row_text(3, "v: it has values that are NaN"), row_text(3, "column a of t.csv, row 3: must be a number")
    ('row 3, v: it has values that are NaN', 'column a of t.csv, row 3: must be a number')
    """
    return reason if re.search(rf", row {row}\b", reason) else f"row {row}, {reason}"


def _whole_numbers(values: Array | None, n_rows: int) -> NDArray[np.int64] | None:
    """Returns (n_rows,) int64; None if there are none or they are no such array."""
    if values is None:
        return None
    values = np.asarray(values)
    return values.astype(np.int64) if values.shape == (n_rows,) and values.dtype.kind in "iu" else None


def _add(found: dict[int, str], bad: NDArray[np.bool_], reason: str) -> None:
    for row in np.flatnonzero(bad).tolist():
        found.setdefault(row, reason)


def _bad_values(values: Array, modality: Modality, scale: Scale | None) -> tuple[NDArray[np.bool_] | None, str]:
    """Returns a mask of the values, of the shape of `values`, and what is wrong with them; None if all are usable."""
    if modality.vocabulary is not None:
        bad = (values < 0) | (values >= modality.vocabulary)
        return bad, f"it has ids that are not from 0 to {modality.vocabulary - 1}"
    if values.dtype.kind != "f":
        return None, ""
    bad = ~np.isfinite(values)
    if scale is not None and modality.kind != "image" and values.shape[-1] == scale.mean.numel():
        mean, std = scale.mean.numpy().reshape(-1), scale.std.numpy().reshape(-1)
        with np.errstate(invalid="ignore", over="ignore"):
            bad |= np.abs(values - mean) > _MOST_DEVIATIONS * std
    return bad, "it has values that are NaN, infinite or too large"


def _in_use(
    marked: NDArray[np.bool_], index: NDArray[np.int64] | None, lengths: NDArray[np.int64] | None, modality: Modality
) -> NDArray[np.bool_]:
    """Returns the (n,) samples with a `marked` value in a step that is not padding."""
    if lengths is None:
        stored = np.asarray(marked.reshape(len(marked), -1).any(axis=1))
        return stored if index is None else stored[index]
    steps = np.asarray(marked.reshape(*marked.shape[:2], -1).any(axis=2))
    if not steps.any():
        return np.zeros(len(lengths), bool)
    steps = steps if index is None else steps[index]
    numbers = np.arange(steps.shape[1])
    first = (steps.shape[1] - lengths)[:, None] if modality.padding == "left" else 0
    return np.asarray((steps & (numbers >= first) & (numbers < first + lengths[:, None])).any(axis=1))
