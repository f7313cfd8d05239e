"""Parquet files: read as tables, and written for data that were handed over in Python."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.frame import column_values, read_with
from nasfuse.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

#: Key of the metadata with the folder to which paths in columns are relative, where that is not the file's own.
_FOLDER = b"nasfuse.folder"


def read_parquet(path: Path) -> RawTable:
    """Returns the table of a Parquet file; columns of Arrow's type `fixed_shape_tensor` are arrays of that shape.

    Raises:
        DataError: The file is damaged.
    """
    import pyarrow as pa  # slow to import, and few data need it
    from pyarrow import parquet

    folder = path.parent
    arrays: dict[str, NDArray[Any]] = {}

    def read(file: Path) -> "pd.DataFrame":
        nonlocal folder
        table = parquet.read_table(file)
        metadata = table.schema.metadata or {}
        folder = Path(os.fsdecode(metadata[_FOLDER])) if _FOLDER in metadata else folder
        for name in [field.name for field in table.schema if isinstance(field.type, pa.FixedShapeTensorType)]:
            chunks = table.column(name).combine_chunks()
            arrays[name] = chunks.to_numpy_ndarray()
            # the column keeps its place, and the frame its number of rows
            table = table.set_column(table.schema.get_field_index(name), name, pa.nulls(len(chunks)))
        frame: pd.DataFrame = table.to_pandas()
        return frame

    raw = read_with(path, read, "Parquet")
    columns = {name: arrays.get(name, values) for name, values in raw.columns.items()}
    return RawTable(raw.name, raw.origin, columns, raw.n_rows, folder)


def parquet_table(raw: RawTable) -> Any:
    """Returns raw data with one number of rows as an Arrow table, from which `read_parquet` reads the same data.

    Raises:
        DataError: A column has values that Parquet cannot hold.
    """
    import pyarrow as pa

    columns = {}
    for name, values in raw.columns.items():
        try:
            columns[name] = _arrow(values)
        except (pa.ArrowException, TypeError) as error:
            raise DataError(
                f"{raw.place(name)} has values that cannot be stored ({str(error).splitlines()[0]}); give numbers, "
                "text, dates or arrays"
            ) from error
    table = pa.table(columns)
    return table.replace_schema_metadata({_FOLDER: os.fsencode(os.path.abspath(raw.folder))})


def _arrow(values: NDArray[Any]) -> Any:
    import pandas as pd
    import pyarrow as pa

    if values.dtype.kind == "O":
        return pa.array([value.tolist() if isinstance(value, np.ndarray) else value for value in values])
    if values.ndim > 1:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))
    return pa.array(column_values(pd.Series(values)))
