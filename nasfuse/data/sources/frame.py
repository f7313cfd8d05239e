"""Tables of pandas, and the files that become them: Feather (Arrow) and JSON lines."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]


def raw_of_frame(frame: "pd.DataFrame", *, name: str, origin: str, folder: Path) -> RawTable:
    """Returns the columns of a data frame; its index is no column.

    Lists of numbers of one shape in a column become one array.

    Raises:
        DataError: Two columns have the same name, or there are no rows.
    """
    names = [str(column) for column in frame.columns]
    twice = next((one for position, one in enumerate(names) if one in names[:position]), None)
    if twice is not None:
        raise DataError(f"{origin} has two columns {twice!r}; rename one")
    if not len(frame):
        raise DataError(f"{origin} has no rows; give at least one")
    columns = {key: column_values(frame.iloc[:, position]) for position, key in enumerate(names)}
    return RawTable(name, origin, columns, len(frame), folder)


def column_values(series: "pd.Series[Any]") -> Array:
    """Returns the values of a column in the form of `RawTable.columns`.

    Numbers that may be missing become floats with NaN, durations seconds, and categories text.
    """
    import pandas as pd  # slow to import, and few data need it

    dtype = series.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        return np.asarray(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    if pd.api.types.is_bool_dtype(dtype) and not series.isna().any():
        return np.asarray(series.to_numpy(dtype=bool))
    if pd.api.types.is_extension_array_dtype(dtype) and pd.api.types.is_numeric_dtype(dtype):
        if series.isna().any() or pd.api.types.is_float_dtype(dtype):
            return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(series.to_numpy(dtype=np.int64))
    values = np.asarray(series.to_numpy())
    if values.dtype.kind == "m":  # durations, in seconds
        return np.asarray(series.dt.total_seconds().to_numpy())
    if values.dtype.kind in "biufcM":
        return values
    return objects(np.asarray(series.astype(object).to_numpy()))


def objects(values: Array) -> Array:
    """Returns a column of objects with None for missing values, and lists of numbers of one shape as one array."""
    import pandas as pd

    if len(values) and all(isinstance(value, list | tuple | np.ndarray) for value in values):
        cells = [_nested(value) for value in values]
        if len({cell.shape for cell in cells}) == 1 and cells[0].dtype.kind in "biuf" and cells[0].size:
            return np.stack(cells)
    result = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        if isinstance(value, list | tuple | np.ndarray):
            result[row] = _nested(value)
        else:
            result[row] = None if value is pd.NA or value is pd.NaT or value != value else value
    return result


def _nested(value: Any) -> Array:
    """Returns a list, or an array of arrays (of any depth), as an array of numbers if its parts have one shape."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value
    try:
        return np.array([_nested(part) if isinstance(part, list | tuple | np.ndarray) else part for part in value])
    except ValueError:  # parts of different shapes
        return np.array([None])


def read_feather(path: Path) -> RawTable:
    """Returns the table of an Arrow file (Feather).

    Raises:
        DataError: The file is damaged.
    """
    from pyarrow.feather import read_table

    return read_with(path, lambda file: read_table(file).to_pandas(), "Arrow (Feather)")


def read_json_lines(path: Path) -> RawTable:
    """Returns the table of a file with one JSON object per line.

    Raises:
        DataError: The file is damaged.
    """
    import pandas as pd

    return read_with(path, lambda file: pd.read_json(file, lines=True, convert_dates=False, dtype=False), "JSON lines")


def read_with(path: Path, reader: Callable[[Path], "pd.DataFrame"], kind: str) -> RawTable:
    """Returns the table of a file that `reader` reads.

    Args:
        path: The file.
        reader: Function that returns its content.
        kind: Name of its format in messages.

    Raises:
        DataError: The file is empty or damaged.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; write the table again")
    try:
        frame = reader(path)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:  # ArrowInvalid is a ValueError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is no {kind} file that can be read: {reason}; write it again") from error
    return raw_of_frame(frame, name=path.stem, origin=path.name, folder=path.parent)
