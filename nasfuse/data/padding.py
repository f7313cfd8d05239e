"""Padding of sequences with true lengths: detection of its side, and left alignment of the data."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.domain.modality import PaddingSide
from nasfuse.errors import DataError, DataWarning, counted

Array = NDArray[Any]
Lengths = NDArray[np.int64]


def padding_side(where: str, values: Array, lengths: Lengths, *, vocabulary: int | None) -> PaddingSide:
    """Returns the side on which sequences are padded.

    A step looks like padding if all its features are 0, NaN or infinite, or if its id is 0 or outside the vocabulary.
    A row shorter than T votes for `left` if its first T - length steps look like padding and some step after its length
    does not, and for `right` in the opposite case. Sequences are padded on the left if all votes are for `left`; a
    warning reports it. Rows with data in both places indicate arbitrary values after the lengths: the result is
    then `right`, unless most rows vote for `left`.

    Args:
        where: Prefix of messages.
        values: (u, T, F) numbers or (u, T) ids.
        lengths: (u,) number of steps with data in each row; rows of length 0 do not vote.
        vocabulary: Number of distinct ids; None for numbers.

    Raises:
        DataError: Some rows vote for `left` and others contradict them.
    """
    front, behind = _filled(values, lengths, vocabulary)
    left = np.flatnonzero(~front & behind)
    right = np.flatnonzero(front & ~behind)
    neither = np.flatnonzero(front & behind)
    if not len(left) or (len(neither) and len(left) <= len(right) + len(neither)):
        return "right"
    others = np.concatenate([right, neither])
    if len(others):
        raise DataError(
            f"{where} seems to be padded in front in {counted(len(left), 'row')}, the first is row {left[0]}, "
            f"but not in {counted(len(others), 'row')}, the first is row {others[0]}; set padding: left or padding: "
            "right for this modality, or correct its lengths"
        )
    warnings.warn(
        f"{where} is padded in front: the first steps of its shorter sequences are padding, and there is data after "
        "their lengths. The data was moved to the front. Set padding: left for this modality to confirm this, or "
        "padding: right if the data comes first",
        DataWarning,
        stacklevel=2,
    )
    return "left"


def _filled(values: Array, lengths: Lengths, vocabulary: int | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns, for each row, whether there is data in its first T - length steps and after its length."""
    if vocabulary is not None:
        filled = (values > 0) & (values < vocabulary)
    else:
        filled = ((values != 0) & np.isfinite(values)).any(axis=2)
    steps, n_steps = np.arange(values.shape[1]), values.shape[1]
    filled &= ((lengths > 0) & (lengths < n_steps))[:, None]
    front = filled & (steps < n_steps - lengths[:, None])
    behind = filled & (steps >= lengths[:, None])
    return np.asarray(front.any(axis=1)), np.asarray(behind.any(axis=1))


def move_to_front(values: Array, lengths: Lengths) -> Array:
    """Returns `values` (u, T, ...) with the last `lengths` (u,) steps of each row first."""
    n_steps = values.shape[1]
    steps = (np.arange(n_steps) + n_steps - lengths[:, None]) % n_steps
    return np.asarray(values[np.arange(len(values))[:, None], steps])


def clear_padding(values: Array, lengths: Lengths) -> Array:
    """Returns `values` (u, T, ...) with 0 after `lengths` (u,); the same array if that is already the case."""
    padded = np.arange(values.shape[1]) >= lengths[:, None]
    if not np.any(values[padded]):
        return values
    values = values.copy()
    values[padded] = 0
    return values
