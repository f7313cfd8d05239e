"""Vectors, sequences and images whose arrays are used as they are, and lists of numbers in the cells of a table."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.data.columns.base import Problem, Reading, Rows, Transform, column_of
from nasfuse.data.columns.files import present_of
from nasfuse.data.concatenation import concatenated
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import Array, RawTable
from nasfuse.errors import DataError
from nasfuse.spec.modality import ModalityConfig

#: Axes of an array with one feature that is not an axis of its own, by kind of modality.
_N_AXES = {"vector": 1, "sequence": 2}
#: Number types that float32 represents exactly.
_SINGLE = ("float32", "float16", "uint8", "int8", "int16", "uint16", "bool")


@dataclass(frozen=True)
class PlainArrays(Transform):
    """Arrays that are used as they are.

    Attributes:
        name: Name of the modality.
        config: Description of the modality.
        shape: Shape of the arrays in the cells of a column, without the steps of a sequence; None for a plain array.
        n_steps: Steps of the longest sequence in the training samples, after which lists in cells are cut.
        fill: Mean of the lists in cells over the training samples, of `shape`, which stands for a missing one.
    """

    name: str
    config: ModalityConfig
    shape: tuple[int, ...] | None = None
    n_steps: int | None = None
    fill: Tensor | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns or arrays that are read."""
        config = self.config
        own = config.arrays or [column_of(self.name, config.array)[0]]
        return (*own, *(name for name in (config.index, config.lengths) if name))

    @property
    def has_lengths(self) -> bool:
        """Whether the result is a sequence with a length for each row."""
        return self.config.lengths is not None or self.n_steps is not None

    @property
    def outside_macs(self) -> int:
        """Multiply-accumulates per sample that the description gives."""
        return self.config.outside_macs or 0

    @classmethod
    def fit(cls, name: str, config: ModalityConfig, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform; only lists in cells have something to fit, their shape."""
        column, where = column_of(name, config.array)
        if config.arrays is not None:
            return cls(name, config)
        values = raw.column(column, where)
        if values.dtype.kind != "O" and (raw.n_rows is None or values.ndim == 1):
            return cls(name, config)
        values = values[rows]
        cells = [np.asarray(value) for value in values if value is not None]
        if not cells or any(cell.dtype.kind not in "biuf" or cell.ndim == 0 for cell in cells):
            raise DataError(
                f"{raw.place(column)} holds no lists of numbers, so it is no {config.kind}; use kind: text or table, "
                "or remove it"
            )
        is_sequence = config.kind == "sequence"
        shape, n_steps, fill = fit_cells(cells, is_sequence=is_sequence)
        return cls(name, config, shape, n_steps, fill)

    def read(self, raw: RawTable) -> Reading:
        """Returns the arrays, with those of `index` and `lengths`."""
        where, config = f"data.modalities.{self.name}", self.config
        index = raw.column(config.index, f"{where}.index") if config.index else None
        lengths = raw.column(config.lengths, f"{where}.lengths") if config.lengths else None
        problems: tuple[Problem, ...] = ()
        cut: tuple[Problem, ...] = ()
        present, column = None, ""
        if config.arrays is not None:
            parts = {part: raw.column(part, f"{where}.arrays") for part in config.arrays}
            values = concatenated(where, config.kind, parts)
        else:
            column, where = column_of(self.name, config.array)
            values = raw.column(column, where)
            if values.dtype.kind == "O" or self._differs(values):
                stacked = self._cells(raw, column, values)
                values, present, problems, cut = stacked.values, stacked.present, stacked.problems, stacked.cut
                lengths = stacked.lengths if lengths is None and self.n_steps is not None else lengths
            elif raw.n_rows is not None and config.vocabulary is None and values.ndim == _N_AXES.get(config.kind):
                values = values[..., None]  # one feature
        if config.shape is not None:
            values = self._reshaped(values, config.shape)
        padding = config.padding or ("right" if lengths is not None and self.n_steps is not None else None)
        arrays = ModalityArrays(config.kind, values, index, lengths, config.vocabulary, padding, present)
        return Reading(arrays, problems, column, cut)

    def _reshaped(self, values: Array, shape: tuple[int, ...]) -> Array:
        n_values = math.prod(values.shape[1:])
        if math.prod(shape) != n_values:
            raise DataError(
                f"data.modalities.{self.name}.shape must hold the {n_values} values of a sample, got {list(shape)}; "
                "correct it"
            )
        return values.reshape(len(values), *shape)

    def _differs(self, values: Array) -> bool:
        """Returns whether the lists in the cells of a column have other lengths than all those of the training."""
        steps = () if self.n_steps is None else (self.n_steps,)
        return self.shape is not None and values.shape[1:] != (*steps, *self.shape)

    def _cells(self, raw: RawTable, column: str, values: Array) -> "Stacked":
        """Returns the arrays in the cells of a column as one array."""
        if self.shape is None or self.fill is None:
            raise DataError(f"{raw.place(column)} must hold numbers, as in the training data; correct it")
        is_ids = self.config.vocabulary is not None
        place = partial(raw.place, column)
        return stack_cells(column, list(values), place=place, fill=self.fill, n_steps=self.n_steps, is_ids=is_ids)

    def state(self) -> dict[str, Any]:
        """Returns the description and the fitted shape."""
        return {
            "name": self.name,
            "config": self.config.to_plain(),
            "shape": None if self.shape is None else list(self.shape),
            "n_steps": self.n_steps,
            "fill": self.fill,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""
        shape = state.get("shape")
        config = ModalityConfig.parse(state["config"])
        shape = None if shape is None else tuple(shape)
        return cls(state["name"], config, shape, state.get("n_steps"), state.get("fill"))


def fit_cells(cells: Sequence[Array], *, is_sequence: bool) -> tuple[tuple[int, ...], int | None, Tensor]:
    """Returns the shape of arrays, the steps of the longest sequence, and the mean array.

    Args:
        cells: Arrays of the training samples, at least one.
        is_sequence: Whether the first axis of an array has the steps of a sequence.

    Returns:
        The most frequent shape, without steps; the number of steps, None if the arrays are no sequences; and the mean
        over arrays (and steps) of that shape, float64.
    """
    usable = [cell for cell in cells if cell.size and np.isfinite(cell).all()] or list(cells)
    shape = Counter(cell.shape[is_sequence:] for cell in usable).most_common(1)[0][0]
    usable = [cell.astype(np.float64) for cell in usable if cell.shape[is_sequence:] == shape]
    total = np.asarray(sum(cell.sum(axis=0) if is_sequence else cell for cell in usable), np.float64)
    count = sum(len(cell) for cell in usable) if is_sequence else len(usable)
    n_steps = max(len(cell) for cell in usable) if is_sequence else None
    return shape, n_steps, torch.from_numpy(np.asarray(total / max(count, 1), np.float64))


@dataclass(frozen=True)
class Stacked:
    """The arrays of all rows as one array.

    Attributes:
        values: (n, *shape) or (n, n_steps, *shape); one number per step is one feature.
        lengths: (n,) steps of each sequence; None if the arrays are no sequences.
        present: (n,) bool, false for rows whose array is missing; None if none is.
        problems: Cells that cannot be used.
        cut: Cells with more than `n_steps`.
    """

    values: Array
    lengths: Array | None
    present: NDArray[np.bool_] | None
    problems: tuple[Problem, ...]
    cut: tuple[Problem, ...] = ()


def stack_cells(
    column: str,
    cells: Sequence[Any],
    *,
    place: Callable[[int], str],
    fill: Tensor,
    n_steps: int | None,
    is_ids: bool = False,
) -> Stacked:
    """Returns the arrays of all rows as one array; cells of another shape are problems.

    Args:
        column: Name of the column.
        cells: (n,) arrays or lists; None for a missing one, or a `Problem`.
        place: Returns where the cell of a row is, for messages.
        fill: Array for rows that are missing or have a problem; for sequences, its one step. All arrays have its shape.
        n_steps: Steps of a sequence after which arrays are cut and up to which they are padded; None: no sequence.
        is_ids: Whether the arrays are token ids.
    """
    shape, single = tuple(fill.shape), all(getattr(cell, "dtype", None) in _SINGLE for cell in cells)
    dtype = np.int64 if is_ids else np.float32 if single else np.float64
    values = np.zeros((len(cells), *shape) if n_steps is None else (len(cells), max(n_steps, 1), *shape), dtype)
    lengths, problems, cut = np.zeros(len(cells), np.int64), [], []
    has_steps = n_steps is not None
    read = [_cell(column, row, cell, place=place, shape=shape, has_steps=has_steps) for row, cell in enumerate(cells)]
    for row, found in enumerate(read):
        if isinstance(found, Problem):
            problems.append(found)
        if found is None or isinstance(found, Problem):
            found = fill.numpy() if n_steps is None else fill.numpy()[None]
        if n_steps is None:
            values[row] = found
        else:
            if len(found) > n_steps:
                longest = f"the longest sequence of the training had {n_steps}"
                cut.append(Problem(row, column, f"{place(row)} has {len(found)} steps, and {longest}; cut it"))
            lengths[row] = min(len(found), n_steps)
            values[row, : lengths[row]] = found[:n_steps]
    if n_steps is not None and not shape and not is_ids:
        values = values[..., None]
    return Stacked(values, None if n_steps is None else lengths, present_of(read), tuple(problems), tuple(cut))


def _cell(
    column: str, row: int, cell: Any, *, place: Callable[[int], str], shape: tuple[int, ...], has_steps: bool
) -> Array | Problem | None:
    if isinstance(cell, Problem):
        return cell
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    found = np.asarray(cell)
    if found.size == 0 and has_steps:
        return np.zeros((0, *shape))
    if found.dtype.kind not in "biuf" or found.ndim != len(shape) + has_steps or found.shape[has_steps:] != shape:
        expected = ", ".join([*["steps"] * has_steps, *map(str, shape)])
        got = f"{found.dtype} of shape {found.shape}"
        return Problem(row, column, f"{place(row)} must hold numbers of shape ({expected}), got {got}; correct it")
    if found.dtype.kind == "f" and np.isnan(found).all():
        return None
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        return Problem(row, column, f"{place(row)} holds NaN or infinite values; correct them or remove the row")
    return found
