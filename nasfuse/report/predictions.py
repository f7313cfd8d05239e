"""Predictions as a file: CSV, Parquet or `.npz`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nasfuse.experiment.run_folder import replacing
from nasfuse.prediction import Predictions


def write_csv(path: Path, predictions: Predictions) -> None:
    """Writes a table with one line per row of the data, empty cells for missing values."""
    with replacing(path) as temporary:
        predictions.frame().to_csv(temporary, index=False)


def write_parquet(path: Path, predictions: Predictions) -> None:
    """Writes the same table as Parquet, with nulls for missing values."""
    with replacing(path) as temporary:
        predictions.frame().to_parquet(temporary, index=False)


def write_npz(path: Path, predictions: Predictions) -> None:
    """Writes the arrays of `Predictions.arrays`."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **predictions.arrays())


#: Functions that write predictions, by the ending of the file's name.
WRITERS: dict[str, Callable[[Path, Predictions], None]] = {
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".npz": write_npz,
}
