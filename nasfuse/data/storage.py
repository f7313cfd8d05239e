"""One modality of all samples in memory: float32 numbers in a suitable unit, and their scales."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.dataset import Column, Scale
from nasfuse.data.layout import CheckedArrays, rows_in_use
from nasfuse.data.moments import Floats, moments, typical
from nasfuse.errors import DataError

Rows = NDArray[np.int64]

#: Range of a feature, in units of the file's floating-point spacing, up to which it is treated as constant.
_ROUNDING_STEPS = 2
#: Number of standard deviations from the mean above which float32 arithmetic of a network overflows.
_MOST_DEVIATIONS = 1e30
#: Limit of stored numbers, within float32 and above `_MOST_DEVIATIONS`, so that larger values are rejected.
_MOST_STORED = 1e35
_LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True)
class Storage:
    """One modality of all samples, in one copy that the splits of all divisions share.

    Numbers are stored as (x - mean) / std of `unit`, computed in float64, so that float32 represents them with full
    relative precision for any unit and offset. `uint8`, images of `uint16` and ids are stored unchanged.

    Attributes:
        where: Prefix of messages.
        values: (u, ...) float32, uint8, uint16 or int64 ids.
        index: (n,) row of each sample; None if u = n.
        lengths: (n,) true length of each sequence; None if all have full length.
        unit: Scale from the file's numbers to the stored ones, float64; None for ids. Its std is infinite for a feature
            that is constant in all samples outside test.
        given: Scale of the file's numbers that is used instead of statistics; None: statistics of the training samples.
        peak: (f,) largest absolute stored number of each feature.
        precision: Number type of the file.
        present: (n,) bool, false for samples that lack the modality; None if all have it.
    """

    where: str
    values: Tensor
    index: Tensor | None
    lengths: Tensor | None
    unit: Scale | None
    given: Scale | None
    peak: Floats
    precision: np.dtype[Any]
    present: Tensor | None = None

    @classmethod
    def of(cls, where: str, arrays: CheckedArrays, *, scaled_by: Rows, is_ids: bool, given: Scale | None) -> "Storage":
        """Returns the storage of a modality.

        Args:
            where: Prefix of messages.
            arrays: Validated arrays of the modality.
            scaled_by: (k,) samples outside test, from which the unit of the stored numbers is computed.
            is_ids: Whether the values are token ids.
            given: Scale of the file's numbers; see `Storage.given`.

        Raises:
            DataError: `given` does not have the shape of the features.
        """
        values = arrays.values
        n_features = values.shape[1] if values.ndim == 4 else values.shape[-1]
        given = None if is_ids else _checked_scale(where, given, values.ndim, n_features)
        unit, peak = None, np.zeros(n_features)
        stored: NDArray[Any] = values
        largest = None if is_ids else largest_unchanged(values)
        if largest is not None:
            unit, peak = _scale(np.zeros(n_features), np.ones(n_features), values.ndim), np.full(n_features, largest)
        elif not is_ids:
            if arrays.present is not None:
                scaled_by = scaled_by[arrays.present[scaled_by]]
            centre, spread, size = _unit_of(arrays, scaled_by) if given is None else _parts(given)
            unit = _scale(centre * size, spread * size, values.ndim) if given is None else given
            everything = rows_in_use(arrays.index, arrays.lengths, np.arange(_n_samples(arrays)), n_rows=len(values))
            stored, peak = _stored(values, everything[1], centre, spread, size)
        return cls(
            where=where,
            values=torch.from_numpy(np.require(stored, requirements=["C", "W"])),
            index=None if arrays.index is None else torch.from_numpy(arrays.index),
            lengths=None if arrays.lengths is None else torch.from_numpy(arrays.lengths),
            unit=unit,
            given=given,
            peak=peak,
            precision=values.dtype,
            present=None if arrays.present is None else torch.from_numpy(arrays.present),
        )

    def scales(self, train: Rows) -> tuple[Scale, Scale] | None:
        """Returns the scales of the stored numbers and of the file's numbers, both float64; None for ids.

        Args:
            train: (k,) samples from which the scales are computed; shared rows count once, and samples that lack the
                modality do not.

        Raises:
            DataError: All of `train` lack the modality, or a value is so far from the training samples that a network
                would overflow.
        """
        if self.present is not None:
            train = train[self.present.numpy()[train]]
            if not len(train):
                raise DataError(f"{self.where} is absent from all training samples; remove it from data.modalities")
        if self.unit is None:
            return None
        if self.given is not None:
            ndim, width = self.values.dim(), len(self.peak)
            is_raw = not self.values.dtype.is_floating_point
            stored = self.given if is_raw else _scale(np.zeros(width), np.ones(width), ndim)
            self._check_reach(*_flat(stored))
            return stored, self.given
        mean, std = self._fit(train)
        self._check_reach(mean, std)
        centre, spread = _flat(self.unit)
        raw = mean * np.where(np.isfinite(spread), spread, 0.0) + centre
        return _scale(mean, std, self.values.dim()), _scale(raw, std * spread, self.values.dim())

    def column(self, samples: Tensor, scale: Scale | None) -> Column:
        """Returns the modality of `samples` (k,), standardised by `scale` of the stored numbers."""
        index = samples if self.index is None else self.index[samples]
        lengths = None if self.lengths is None else self.lengths[samples]
        rounded = None if scale is None else Scale(scale.mean.float(), scale.std.float())
        present = None if self.present is None else self.present[samples]
        return Column(self.values, index, lengths, rounded, present)

    def _fit(self, train: Rows) -> tuple[Floats, Floats]:
        """Returns (f,) mean and std of the stored numbers of `train`; the std of a constant feature is infinite."""
        assert self.unit is not None
        values = self.values.numpy()
        index = None if self.index is None else self.index.numpy()
        lengths = None if self.lengths is None else self.lengths.numpy()
        rows, row_lengths = rows_in_use(index, lengths, train, n_rows=len(values))
        found = moments(values, rows, lengths=row_lengths)
        centre, spread = _flat(self.unit)
        spread = np.where(np.isfinite(spread), spread, 1.0)
        with np.errstate(over="ignore"):
            file_size = np.maximum(abs(found.low * spread + centre), abs(found.high * spread + centre))
        steps = _spacing(file_size, self.precision) / spread
        if values.dtype == np.float32:
            steps = np.maximum(steps, _spacing(np.maximum(abs(found.low), abs(found.high)), values.dtype))
        constant = found.high - found.low <= _ROUNDING_STEPS * steps
        return found.mean, np.where(constant, np.inf, found.std)

    def _check_reach(self, mean: Floats, std: Floats) -> None:
        far = (self.peak + abs(mean)) / std > _MOST_DEVIATIONS
        if far.any():
            raise DataError(
                f"{self.where}: feature {int(far.argmax())} holds a value more than {_MOST_DEVIATIONS:g} standard "
                "deviations from the mean of the training samples; correct it"
            )


def largest_unchanged(values: NDArray[Any]) -> float | None:
    """Returns the largest value of the number type of arrays that are stored unchanged; None for other arrays.

    These are `uint8`, and images of `uint16`, whose scale `Column.gather` applies.

    Args:
        values: (u, ...) values, images with four axes.
    """
    types = ("uint8", "uint16") if values.ndim == 4 else ("uint8",)
    return float(np.iinfo(values.dtype).max) if values.dtype.name in types else None


def _unit_of(arrays: CheckedArrays, samples: Rows) -> tuple[Floats, Floats, Floats]:
    """Returns centre and spread, in units of the third value, about the largest magnitude; each of shape (f,).

    Centre and spread are medians: with the mean and standard deviation of a feature that has a few huge values, typical
    values would lose their precision in float32 or become 0.
    """
    values = arrays.values
    rows, lengths = rows_in_use(arrays.index, arrays.lengths, samples, n_rows=len(values))
    found = moments(values, rows, lengths=lengths)
    # A power of two, so that numbers stored by the unit as a scale (`given`) are the same to the last bit.
    size = np.ldexp(1.0, np.frexp(found.magnitude)[1] - 1)
    steps = _spacing(size, values.dtype) / size
    constant = found.high / size - found.low / size <= _ROUNDING_STEPS * steps
    centre, spread = typical(values, rows, lengths=lengths, unit=size)
    spread = np.where(spread > 0, spread, found.std / size)
    return centre, np.where(constant, np.inf, spread), size


def _stored(
    values: NDArray[Any], lengths: Rows | None, centre: Floats, spread: Floats, size: Floats
) -> tuple[NDArray[np.float32], Floats]:
    """Returns the stored numbers, and the (f,) largest absolute ones per feature."""
    ndim = values.ndim
    axes = tuple(axis for axis in range(ndim) if axis != (1 if ndim == 4 else ndim - 1))
    centre, spread, size = (_broadcast(one, ndim) for one in (centre, spread, size))
    stored, peak = np.empty(values.shape, np.float32), np.zeros(centre.size)
    step = max(2**21 // values[0].size, 1)
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        with np.errstate(over="ignore", under="ignore"):
            # the limit keeps an infinite deviation from becoming NaN where a constant feature has an infinite spread
            piece = np.clip(values[part] / size - centre, -_LARGEST, _LARGEST) / spread
        if lengths is not None:
            piece[np.arange(values.shape[1]) >= lengths[part, None]] = 0.0
        stored[part] = np.clip(piece, -_MOST_STORED, _MOST_STORED)
        peak = np.maximum(peak, abs(stored[part]).max(axis=axes))
    return stored, peak


def _spacing(size: Floats, precision: np.dtype[Any]) -> Floats:
    """Returns the (f,) floating-point spacing at `size`; 0 for whole numbers."""
    if precision.kind != "f":
        return np.zeros_like(size)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(np.spacing(size.astype(precision)), np.float64)


def _checked_scale(where: str, scale: Scale | None, ndim: int, n_features: int) -> Scale | None:
    if scale is None:
        return None
    shape = _broadcast(np.zeros(n_features), ndim).shape
    if tuple(scale.mean.shape) != shape or tuple(scale.std.shape) != shape:
        raise DataError(
            f"{where} has {n_features} features of shape {shape}, the given scale is of shape "
            f"{tuple(scale.mean.shape)}; give the scale of the same features"
        )
    return Scale(scale.mean.double(), scale.std.double())


def _parts(scale: Scale) -> tuple[Floats, Floats, Floats]:
    mean, std = _flat(scale)
    return mean, std, np.ones_like(mean)


def _flat(scale: Scale) -> tuple[Floats, Floats]:
    return scale.mean.numpy().reshape(-1), scale.std.numpy().reshape(-1)


def _scale(mean: Floats, std: Floats, ndim: int) -> Scale:
    return Scale(torch.from_numpy(_broadcast(mean, ndim)), torch.from_numpy(_broadcast(std, ndim)))


def _broadcast(values: Floats, ndim: int) -> Floats:
    """Returns (f,) values in the shape that broadcasts against (u, F), (u, T, F) or (u, C, H, W)."""
    return values.reshape([1, -1, 1, 1] if ndim == 4 else [*[1] * (ndim - 1), -1])


def _n_samples(arrays: CheckedArrays) -> int:
    return len(arrays.values) if arrays.index is None else len(arrays.index)
