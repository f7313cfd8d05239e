"""Validation of the arrays of one modality: numbers, layout, index, lengths and padding."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.padding import clear_padding, move_to_front, padding_side
from nasfuse.domain.modality import Modality, ModalityKind, PaddingSide
from nasfuse.errors import DataError, counted

Array = NDArray[Any]


@dataclass(frozen=True)
class ModalityArrays:
    """Arrays of one modality in the layout of a file.

    Attributes:
        kind: `vector`, `sequence` or `image`.
        values: (u, F), (u, T, F), (u, T) ids, (u, H, W), (u, H, W, C) or (u, C, H, W).
        index: (n,) row of each sample; None if u = n.
        lengths: (n,) true length of each sequence.
        vocabulary: Number of distinct ids of a sequence of ids.
        padding: Side of the padding of a sequence with lengths; None: detected from the data.
        present: (n,) bool, false for samples that lack the modality, beside those whose rows are NaN as a whole; None
            if there are no others.
    """

    kind: ModalityKind
    values: Array
    index: Array | None = None
    lengths: Array | None = None
    vocabulary: int | None = None
    padding: PaddingSide | None = None
    present: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class CheckedArrays:
    """Validated arrays of one modality in the layout of `Dataset`.

    Attributes:
        values: (u, F), (u, T, F), (u, T) int64 ids or (u, C, H, W), with the number type of the file. Padded steps and
            unused rows are 0.
        index: (n,) int64 row of each sample; None if u = n.
        lengths: (n,) int64 true length of each sequence; None if all have full length. Where a sample lacks the
            modality, a sequence of numbers has 1 step, and token ids have none.
        present: (n,) bool, false for samples that lack the modality; None if all have it.
    """

    values: Array
    index: NDArray[np.int64] | None
    lengths: NDArray[np.int64] | None
    present: NDArray[np.bool_] | None = None

    @property
    def present_samples(self) -> NDArray[np.int64]:
        """Samples that have the modality."""
        if self.present is not None:
            return np.flatnonzero(self.present)
        return np.arange(len(self.values) if self.index is None else len(self.index))


def check_modality(where: str, name: str, arrays: ModalityArrays, *, n_samples: int) -> tuple[CheckedArrays, Modality]:
    """Returns the validated arrays of a modality in the layout of `Dataset`, and its description.

    Args:
        where: Prefix of messages.
        name: Name of the modality.
        arrays: Arrays of the file; not modified.
        n_samples: Number of targets.

    Raises:
        DataError: The arrays violate the data format.
    """
    values = _numbers(where, arrays.values)
    index = _integers(f"{where}, index", arrays.index, n_samples, below=len(values))
    if index is None and len(values) != n_samples:
        raise DataError(
            f"{where} has {counted(len(values), 'row')} but there are {counted(n_samples, 'label')}; "
            "name an index array or align them"
        )
    values = _in_layout(where, arrays.kind, values, arrays.vocabulary)
    lengths = _lengths(where, arrays, n_samples, longest=values.shape[1])
    rows, row_lengths = rows_in_use(index, lengths, np.arange(n_samples), n_rows=len(values))
    side: PaddingSide = "right"
    if lengths is not None and row_lengths is not None:
        side = _side(where, arrays, values, index, lengths, row_lengths)
        if side == "left":
            values = move_to_front(values, row_lengths)
        values = clear_padding(values, row_lengths)
    elif len(rows) < len(values):
        values = _clear_unused(values, rows)
    present = presence(values, index, row_lengths, arrays.present, n_samples=n_samples)
    if present is not None:
        kept, _ = rows_in_use(index, lengths, np.flatnonzero(present), n_rows=len(values))
        values = _clear_unused(values, kept)
        lengths = _lengths_where_present(lengths, present, arrays.vocabulary, n_steps=values.shape[1])
    if arrays.vocabulary is not None:
        values = _ids(where, values, arrays.vocabulary)
    _finite(where, values)
    modality = Modality(
        name, arrays.kind, tuple(values.shape[1:]), arrays.vocabulary, side, can_be_absent=present is not None
    )
    return CheckedArrays(values, index, lengths, present), modality


def presence(
    values: Array,
    index: NDArray[np.int64] | None,
    row_lengths: NDArray[np.int64] | None,
    given: NDArray[np.bool_] | None,
    *,
    n_samples: int,
) -> NDArray[np.bool_] | None:
    """Returns the samples that have a modality, (n,) bool; None if all have it.

    A sample lacks it where all numbers of its row are NaN, those of a sequence in all of its steps, of which it has at
    least one.

    Args:
        values: (u, ...) rows; steps after the end of a sequence are 0.
        index: (n,) row of each sample; None if u = n.
        row_lengths: (u,) number of steps of each row; None if all have full length.
        given: (n,) samples that have the modality for all that is known otherwise; None: all.
        n_samples: Number of samples.
    """
    found = np.ones(n_samples, bool) if given is None else np.asarray(given, bool)
    if values.dtype.kind == "f":
        is_nan = np.isnan(values)
        if row_lengths is None:
            rows = np.asarray(is_nan.reshape(len(values), -1).all(axis=1))
        else:
            n_nan = is_nan.reshape(*values.shape[:2], -1).all(axis=2).sum(axis=1)
            rows = (n_nan == row_lengths) & (row_lengths > 0)
        found = found & ~(rows if index is None else rows[index])
    return None if found.all() else found


def rows_in_use(
    index: NDArray[np.int64] | None,
    lengths: NDArray[np.int64] | None,
    samples: NDArray[np.int64],
    *,
    n_rows: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Returns the stored rows that `samples` use, and the number of steps that they use of every stored row.

    Returns:
        (r,) sorted distinct rows, and (u,) lengths: the largest length of the samples that share a row, 0 for unused
        rows; None without lengths.
    """
    used = samples if index is None else index[samples]
    row_lengths = None
    if lengths is not None:
        row_lengths = np.zeros(n_rows, np.int64)
        np.maximum.at(row_lengths, used, lengths[samples])
    return np.unique(used), row_lengths


def _numbers(where: str, values: Array) -> Array:
    values = np.atleast_1d(np.asarray(values))
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where} must hold numbers, got {values.dtype}; encode it first")
    if values.size == 0:
        raise DataError(f"{where} is empty, its shape is {values.shape}; give at least one row and one value per row")
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        return values.astype(np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _in_layout(where: str, kind: ModalityKind, values: Array, vocabulary: int | None) -> Array:
    shape = values.shape[1:]
    if vocabulary is not None:
        if kind != "sequence" or len(shape) != 1 or not np.issubdtype(values.dtype, np.integer):
            raise DataError(f"{where} has a vocabulary, so it must be integer ids (n, T), got {values.shape}")
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


def _integers(where: str, values: Array | None, n_samples: int, *, below: int) -> NDArray[np.int64] | None:
    if values is None:
        return None
    values = np.asarray(values)
    if values.shape != (n_samples,) or not np.issubdtype(values.dtype, np.integer):
        raise DataError(f"{where} must be {n_samples} integers, got {values.dtype} of shape {values.shape}")
    outside = (values < 0) | (values >= below)
    if outside.any():
        row = int(outside.argmax())
        raise DataError(f"{where} must lie from 0 to {below - 1}, got {values[row]} in row {row}; correct them")
    return values.astype(np.int64)


def _lengths(where: str, arrays: ModalityArrays, n_samples: int, *, longest: int) -> NDArray[np.int64] | None:
    if arrays.lengths is None:
        if arrays.padding is not None:
            raise DataError(f"{where} has padding: {arrays.padding} but no lengths; name its lengths or remove padding")
        return None
    if arrays.kind != "sequence":
        raise DataError(f"{where} is a {arrays.kind}, only a sequence has lengths; remove lengths")
    return _integers(f"{where}, lengths", arrays.lengths, n_samples, below=longest + 1)


def _side(
    where: str,
    arrays: ModalityArrays,
    values: Array,
    index: NDArray[np.int64] | None,
    lengths: NDArray[np.int64],
    row_lengths: NDArray[np.int64],
) -> PaddingSide:
    """Returns the side of the padding; `right` if samples of different lengths share a row."""
    several = np.zeros(0, np.int64) if index is None else index[lengths != row_lengths[index]]
    if arrays.padding == "left" and len(several):
        raise DataError(
            f"{where} has padding: left, but samples with different lengths share row {several[0]}, so the start of "
            "their data is ambiguous; store these samples in separate rows"
        )
    if len(several):
        return "right"
    return arrays.padding or padding_side(where, values, row_lengths, vocabulary=arrays.vocabulary)


def _clear_unused(values: Array, rows: NDArray[np.int64]) -> Array:
    unused = np.ones(len(values), bool)
    unused[rows] = False
    values = values.copy()
    values[unused] = 0
    return values


def _lengths_where_present(
    lengths: NDArray[np.int64] | None, present: NDArray[np.bool_], vocabulary: int | None, *, n_steps: int
) -> NDArray[np.int64] | None:
    """Returns the lengths of `CheckedArrays`; ids get them where they had none, because no id is a mean."""
    if vocabulary is not None:
        return np.where(present, n_steps if lengths is None else lengths, 0)
    return None if lengths is None else np.where(present, lengths, 1)


def _ids(where: str, values: Array, vocabulary: int) -> NDArray[np.int64]:
    outside = ((values < 0) | (values >= vocabulary)).any(axis=1)
    if outside.any():
        raise DataError(
            f"{where} must hold ids from 0 to {vocabulary - 1}, got {values.min()} to {values.max()}, the first other "
            f"one in row {int(outside.argmax())}; fix vocabulary"
        )
    return values.astype(np.int64)


def _finite(where: str, values: Array) -> None:
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values)
    if bad.any():
        n_rows = int(bad.reshape(len(values), -1).any(axis=1).sum())
        row, *place = (int(part) for part in np.unravel_index(int(bad.argmax()), bad.shape))
        axes = {1: ("feature",), 2: ("step", "feature"), 3: ("channel", "pixel row", "pixel column")}[len(place)]
        shown = ", ".join(f"{axis} {part}" for axis, part in zip(axes, place, strict=True))
        advice = "clean or impute them, or make all numbers of a sample NaN if it lacks the modality"
        if len(place) == 2 and _ends_early(bad):
            advice = "if sequences end there, name an array with their numbers of steps as lengths, or give lists"
        rows = counted(n_rows, "row")
        raise DataError(f"{where} holds NaN or infinite values in {rows}, the first in row {row}, {shown}; {advice}")


def _ends_early(bad: Array) -> bool:
    """Returns whether the values that `bad` (n, T, F) marks are all those of the last steps of some sequences."""
    steps = np.all(bad, axis=2)
    is_last = np.all(steps[:, 1:] >= steps[:, :-1]) and not np.any(np.all(steps, axis=1))
    return bool(is_last and np.array_equal(np.any(bad, axis=2), steps))
