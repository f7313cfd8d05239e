"""Padding of sequences with true lengths: on which side it stands, and data moved to the front of it."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.domain.modality import PaddingSide
from nasfuse.errors import DataError, DataWarning

Array = NDArray[Any]
Lengths = NDArray[np.int64]


def padding_side(where: str, values: Array, lengths: Lengths, *, vocabulary: int | None) -> PaddingSide:
    """Returns on which side of their data sequences are padded.

    A step is padding where all its features are 0, NaN or infinite, or where its id is 0 or outside the vocabulary.
    A row shorter than T shows padding in front where its first T - length steps are padding and some step behind its
    length is not, and padding behind in the opposite case. Sequences are padded in front where all rows that show
    anything show that; a warning says so. Rows with data in both places show that arbitrary values stand behind the
    lengths; unless most rows show padding in front all the same, the data is then taken to come first.

    Args:
        where: Beginning of the messages.
        values: (u, T, F) numbers or (u, T) ids.
        lengths: (u,) steps of data in each row; a row of length 0 shows nothing.
        vocabulary: Number of ids, None for numbers.

    Raises:
        DataError: Some rows show padding in front, others contradict them.
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
            f"{where} seems to be padded in front in {len(left)} rows, the first is row {left[0]}, but not in "
            f"{len(others)} rows, the first is row {others[0]}; set padding: left or padding: right for this modality, "
            "or correct its lengths"
        )
    warnings.warn(
        f"{where} is padded in front: the first steps of its shorter sequences are padding, and data stands behind "
        "their lengths. The data was moved to the front. Set padding: left for this modality to confirm this, or "
        "padding: right if the data comes first",
        DataWarning,
        stacklevel=2,
    )
    return "left"


def _filled(values: Array, lengths: Lengths, vocabulary: int | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns for each row whether data stands in its first T - length steps, and whether behind its length."""
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
    """Returns `values` (u, T, ...) with 0 behind `lengths` (u,); the same array where that is so already."""
    padded = np.arange(values.shape[1]) >= lengths[:, None]
    if not np.any(values[padded]):
        return values
    values = values.copy()
    values[padded] = 0
    return values
