"""Data that were handed over in Python, kept as a file that other processes and later commands read."""

from pathlib import Path

import numpy as np

from nasfuse.data.raw_table import Array, RawTable, texts
from nasfuse.data.sources.npz import read_arrays
from nasfuse.data.sources.parquet import parquet_table
from nasfuse.errors import DataError


def file_name(raw: RawTable) -> str:
    """Returns the name of the file for raw data: `.parquet` for data with one number of rows, else `.npz`."""
    return "data.npz" if raw.n_rows is None else "data.parquet"


def keep(raw: RawTable, path: Path, *, overwrite: bool) -> None:
    """Writes raw data to a file called `file_name`, unless they are there already.

    Args:
        raw: The data.
        path: The file.
        overwrite: Whether other data that are there are replaced.

    Raises:
        DataError: The file holds other data, or a column cannot be stored.
    """
    if raw.n_rows is None:
        arrays = {name: _plain(raw, name) for name in raw.columns}
        if overwrite or not path.is_file():
            np.savez(path, allow_pickle=False, **arrays)
        elif not _are_same(read_arrays(path), arrays):
            raise _other_data(path)
        return
    from pyarrow import parquet

    table = parquet_table(raw)
    if overwrite or not path.is_file():
        parquet.write_table(table, path)
    elif not parquet.read_table(path).equals(table):
        raise _other_data(path)


def _are_same(held: dict[str, Array], arrays: dict[str, Array]) -> bool:
    return held.keys() == arrays.keys() and all(
        held[name].dtype == values.dtype and np.array_equal(held[name], values, equal_nan=values.dtype.kind in "fc")
        for name, values in arrays.items()
    )


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
    return DataError(f"{path} holds other data than those that were given; choose another folder for the search")
