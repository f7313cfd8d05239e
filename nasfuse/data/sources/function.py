"""Data from Python: a function that is named in a study, and objects that are handed to nasfuse."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np

from nasfuse.data.raw_table import Array, RawTable
from nasfuse.data.sources.frame import objects, raw_of_frame
from nasfuse.errors import DataError, MissingFileError

#: Attributes of objects that numpy reads as arrays, such as images of Pillow.
_AS_ARRAY = ("__array__", "__array_interface__")


def as_raw(data: Any, *, name: str = "data", folder: Path | None = None) -> RawTable:
    """Returns data from Python as raw data.

    Args:
        data: A pandas `DataFrame`; a mapping from names to arrays or lists; a sequence of samples, such as a map-style
            `torch.utils.data.Dataset`; or a `RawTable`. A sample is a mapping from names to values, or a tuple of
            inputs, called `x` (`x0`, `x1`, ... if there are several), and the target `y`.
        name: Name in reports and messages.
        folder: Folder to which paths in columns are relative. Default: the working folder.

    Raises:
        DataError: `data` is empty or something else, or a mapping with a single value instead of an array or list.
    """
    import pandas as pd  # slow to import, and few data need it

    folder = Path() if folder is None else folder
    if isinstance(data, RawTable):
        return data
    if isinstance(data, pd.DataFrame):
        return raw_of_frame(data, name=name, origin=name, folder=folder)
    if isinstance(data, Mapping | list | tuple) and not data:
        what = "names no array" if isinstance(data, Mapping) else "has no rows"
        raise DataError(f"{name} {what}; give at least one")
    if isinstance(data, Mapping):
        _check_columns(data, name)
        columns = {str(key): _array(values) for key, values in data.items()}
        sizes = {len(values) for values in columns.values()}
        if sizes == {0}:
            raise DataError(f"{name} has no rows; give at least one")
        return RawTable(name, name, columns, sizes.pop() if len(sizes) == 1 else None, folder)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, str | np.ndarray):
        rows = [_named(data[index]) for index in range(len(data))]
        if rows and all(isinstance(row, Mapping) for row in rows):
            keys = dict.fromkeys(key for row in rows for key in row)  # a sample may lack a modality
            values = {str(key): [_plain(row.get(key)) for row in rows] for key in keys}
            columns = {key: _array(cells) for key, cells in values.items()}
            return RawTable(name, name, columns, len(rows), folder)
    raise DataError(
        f"{name} must be a pandas DataFrame, a mapping from names to arrays, or a sequence of samples (mappings, or "
        f"tuples of inputs and target), got {type(data).__name__}; convert it"
    )


def _check_columns(data: Mapping[Any, Any], name: str) -> None:
    """Checks that a mapping has an array or list for each name, and not the values of one sample."""
    for key, values in data.items():
        if isinstance(values, str) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0:
            raise DataError(
                f"{name} must have an array or a list for each name, and {key} is a single {type(values).__name__}; "
                "give one sample as a list with this mapping, [sample]"
            )


def _named(sample: Any) -> Any:
    """Returns a sample with the names of its parts."""
    if not isinstance(sample, tuple) or len(sample) < 2:
        return sample
    *inputs, target = sample
    names = ["x"] if len(inputs) == 1 else [f"x{number}" for number in range(len(inputs))]
    return {**dict(zip(names, inputs, strict=True)), "y": target}


def _plain(value: Any) -> Any:
    """Returns tensors, images and other objects that numpy can read as arrays."""
    import pandas as pd

    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if isinstance(value, np.ndarray | np.generic | pd.Series) or not any(hasattr(value, name) for name in _AS_ARRAY):
        return value
    found = np.asarray(value)
    return found if found.ndim else found.item()


def _array(values: Any) -> Array:
    import pandas as pd

    values = _plain(values)
    if isinstance(values, pd.Series):
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values
    cells = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        cells[row] = value
    found = objects(cells)
    present = [value for value in found if value is not None] if found.dtype == object else []
    if present and all(isinstance(value, bool | int | float | np.number | np.bool_) for value in present):
        whole = len(present) == len(found)
        return np.array(found.tolist()) if whole else np.array([np.nan if x is None else x for x in found], np.float64)
    return found


def raw_of_function(source: str) -> RawTable:
    """Returns what a function without arguments returns, see `as_raw`.

    Args:
        source: `module:function` of an importable module, or `file.py:function`.

    Raises:
        MissingFileError: There is no such file.
        DataError: The module or the function does not exist, or the function fails or returns something else.
    """
    place, _, function = source.rpartition(":")
    name = Path(place).stem
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise MissingFileError(f"no file {place} with the function {function}; correct data.source")
        folder = path.parent
    else:
        folder = Path()
    try:
        load = _function(place, function)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise DataError(f"data.source {source}: {error}; name a function of an importable module or file") from error
    try:
        data = load()
    except Exception as error:  # any error of the user's function
        raise DataError(
            f"data.source {source} failed: {type(error).__name__}: {error}; correct the function"
        ) from error
    return as_raw(data, name=name, folder=folder)


def _function(place: str, function: str) -> Any:
    if not place.endswith(".py"):
        return resolve_name(f"{place}:{function}")
    name = f"nasfuse_source_{Path(place).stem}"
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None and spec.loader is not None, "the file exists and ends with .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return getattr(module, function)
