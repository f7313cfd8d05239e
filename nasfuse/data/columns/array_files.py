"""Arrays in the `.npy` files that a column of paths names."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from nasfuse.data.columns.arrays import fit_cells, stack_cells
from nasfuse.data.columns.base import ColumnTransform, Problem, Reading, Rows, column_of
from nasfuse.data.columns.files import place_of_file, read_files
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import Array, RawTable
from nasfuse.errors import DataError
from nasfuse.spec.modality import ArrayFilesConfig


@dataclass(frozen=True)
class ArrayFiles(ColumnTransform):
    """Arrays from files.

    Attributes:
        name: Name of the modality.
        config: Description of the modality.
        fill: Mean array of the training samples (mean step of sequences), which stands for a missing one.
        n_steps: Steps of the longest sequence in the training samples; None if the arrays are no sequences.
    """

    name: str
    config: ArrayFilesConfig
    fill: Tensor
    n_steps: int | None

    @property
    def has_lengths(self) -> bool:
        """Whether the result is a sequence with a length for each row."""
        return self.n_steps is not None

    @classmethod
    def fit(cls, name: str, config: ArrayFilesConfig, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform with the shape of the arrays in the training samples."""
        column, where = column_of(name, config.column)
        is_sequence = config.contents == "sequence"
        cells = _read(raw, column, where, rows)
        found = [one for one in cells if isinstance(one, np.ndarray)]
        found = [one for one in found if one.dtype.kind in "biuf" and one.ndim > is_sequence]
        if not found:
            problem = next((f": {one.message}" for one in cells if isinstance(one, Problem)), "; name another column")
            raise DataError(f"{raw.place(column)} names no .npy file of a {config.contents} that can be read{problem}")
        _, n_steps, fill = fit_cells(found, is_sequence=is_sequence)
        return cls(name, config, fill, n_steps)

    def read(self, raw: RawTable) -> Reading:
        """Returns the arrays of all files; those of sequences are padded on the right."""
        column, where = column_of(self.name, self.config.column)
        cells = _read(raw, column, where, None)
        stacked = stack_cells(
            column, cells, place=partial(place_of_file, raw, column), fill=self.fill, n_steps=self.n_steps
        )
        arrays = ModalityArrays(
            self.config.contents,
            stacked.values,
            lengths=stacked.lengths,
            padding=None if stacked.lengths is None else "right",
            present=stacked.present,
        )
        return Reading(arrays, stacked.problems, column, stacked.cut)

    def state(self) -> dict[str, Any]:
        """Returns the description, the mean array and the number of steps."""
        return {"name": self.name, "config": self.config.to_plain(), "fill": self.fill, "n_steps": self.n_steps}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""
        config = ArrayFilesConfig.parse(state["config"])
        return cls(state["name"], config, state["fill"], state["n_steps"])


def _read(raw: RawTable, column: str, where: str, rows: Rows | None) -> list[Array | Problem | None]:
    def load(path: Path) -> Array:
        return np.asarray(np.load(path, allow_pickle=False))

    return read_files(raw, column, where, load=load, rows=rows, way=(column, "array"))
