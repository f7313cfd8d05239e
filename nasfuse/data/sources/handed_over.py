"""Data that were handed over in Python, kept as a file that other processes and later commands read."""

from pathlib import Path

import numpy as np

from nasfuse.data.raw_table import Array, RawTable, texts
from nasfuse.data.sources.npz import read_arrays
from nasfuse.data.sources.parquet import parquet_table
from nasfuse.errors import DataError


def keep(raw: RawTable, place: Path) -> Path:
    """Writes raw data to a file, unless they are there already, and returns its path.

    Args:
        raw: The data.
        place: Path without the ending, which is `.parquet` for data with one number of rows, else `.npz`.

    Raises:
        DataError: The file holds other data, or a column cannot be stored.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if raw.n_rows is None:
        return _keep_arrays({name: _plain(raw, name) for name in raw.columns}, place.with_suffix(".npz"))
    from pyarrow import parquet

    path, table = place.with_suffix(".parquet"), parquet_table(raw)
    if not path.is_file():
        parquet.write_table(table, path)
    elif not parquet.read_table(path).equals(table):
        raise _other_data(path)
    return path


def _keep_arrays(arrays: dict[str, Array], path: Path) -> Path:
    if not path.is_file():
        np.savez(path, allow_pickle=False, **arrays)
        return path
    held = read_arrays(path)
    is_same = held.keys() == arrays.keys() and all(
        held[name].dtype == values.dtype and np.array_equal(held[name], values, equal_nan=values.dtype.kind in "fc")
        for name, values in arrays.items()
    )
    if not is_same:
        raise _other_data(path)
    return path


def _plain(raw: RawTable, name: str) -> Array:
    values = raw.columns[name]
    if values.dtype.kind != "O":
        return values
    if any(isinstance(value, np.ndarray) for value in values):
        raise DataError(
            f"{raw.place(name)} has arrays of different shapes, and another column has another length; align them"
        )
    return np.array(texts(values))


def _other_data(path: Path) -> DataError:
    return DataError(f"{path} holds other data than those that were given; choose another folder (output)")
