"""Range, mean and standard deviation of each feature in float64, for magnitudes from 1e-300 to 1e300."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Number of values that are converted to float64 at once.
_PIECE = 2**18
#: Number of values from which medians are computed, and the smallest number of rows.
_SAMPLE, _SAMPLE_ROWS = 2**19, 256


@dataclass(frozen=True)
class Moments:
    """Statistics of each feature; all zero if there are no values.

    Attributes:
        low: (f,) smallest value.
        high: (f,) largest value.
        mean: (f,) mean.
        std: (f,) population standard deviation.
    """

    low: Floats
    high: Floats
    mean: Floats
    std: Floats

    @property
    def magnitude(self) -> Floats:
        """Returns the (f,) largest absolute values; 1 where it is 0."""
        return _magnitude(self.low, self.high)


def moments(values: Array, rows: Rows, *, lengths: Rows | None = None) -> Moments:
    """Returns the moments of each feature, or of each channel of images.

    Values are divided by the largest magnitude of their feature before summation, which avoids overflow.

    Args:
        values: (u, F), (u, T, F) or (u, C, H, W).
        rows: (r,) rows to use.
        lengths: (u,) number of steps to use of each row; None: all.
    """
    n_features = values.shape[1] if values.ndim == 4 else values.shape[-1]
    low, high, count = np.full(n_features, np.inf), np.full(n_features, -np.inf), 0
    for piece in pieces(values, rows, lengths=lengths):
        if piece.size:
            low, high = np.minimum(low, piece.min((0, 2))), np.maximum(high, piece.max((0, 2)))
            count += piece.size // n_features
    if count == 0:
        nothing = np.zeros(n_features)
        return Moments(nothing, nothing, nothing, nothing)
    unit = _magnitude(low, high)
    mean, first, second = np.zeros((3, n_features))
    for piece in pieces(values, rows, lengths=lengths):
        mean += (piece / unit[:, None]).sum((0, 2)) / count
    for piece in pieces(values, rows, lengths=lengths):
        deviation = piece / unit[:, None]
        deviation -= mean[:, None]
        first += deviation.sum((0, 2))
        second += np.square(deviation, out=deviation).sum((0, 2))
    correction = first / count
    variance = np.maximum(second / count - correction**2, 0.0)
    return Moments(low, high, (mean + correction) * unit, np.sqrt(variance) * unit)


def typical(values: Array, rows: Rows, *, lengths: Rows | None = None, unit: Floats) -> tuple[Floats, Floats]:
    """Returns the (f,) medians and median absolute deviations of the values, in units of `unit` (f,).

    Both are robust to a few huge values. The deviation is taken over the values that differ from the median and is 0 if
    all are equal. From many rows, an evenly spaced subset is used.
    """
    if lengths is not None:
        rows = rows[lengths[rows] > 0]
    if not len(rows):
        return np.zeros_like(unit), np.zeros_like(unit)
    every = max(len(rows) // max(_SAMPLE // values[0].size, _SAMPLE_ROWS), 1)
    found = np.concatenate(list(pieces(values, rows[::every], lengths=lengths)))
    sample = np.moveaxis(found, 1, 2).reshape(-1, len(unit)) / unit
    centre = np.median(sample, axis=0)
    distances = np.sort(abs(sample - centre), axis=0)
    n_equal = (distances == 0).sum(axis=0)
    middle = np.minimum((n_equal + len(sample)) // 2, len(sample) - 1)
    return np.asarray(centre), np.take_along_axis(distances, middle[None], axis=0)[0]


def _magnitude(low: Floats, high: Floats) -> Floats:
    largest = np.maximum(abs(low), abs(high))
    return np.where(largest > 0, largest, 1.0)


def pieces(values: Array, rows: Rows, *, lengths: Rows | None) -> Iterator[Floats]:
    """Yields the used values of `rows` in pieces of bounded size, as float64 of shape (k, f, p).

    The last axis holds the pixels of an image; its size is 1 for vectors and sequences.
    """
    step = max(_PIECE // max(values[0].size, 1), 1)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        piece = values[part]
        if lengths is not None:
            piece = piece[np.arange(values.shape[1]) < lengths[part][:, None]]
        shape = piece.shape[:2] if values.ndim == 4 else (piece.size // piece.shape[-1], piece.shape[-1])
        yield piece.reshape(*shape, -1 if piece.size else 1).astype(np.float64)
