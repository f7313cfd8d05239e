"""HDF5 files: one data set per array."""

from pathlib import Path
from typing import Any

import numpy as np

from nasfuse.data.extras import required
from nasfuse.data.raw_table import Array, RawTable
from nasfuse.errors import DataError


def read_hdf5(path: Path) -> RawTable:
    """Returns every data set of an HDF5 file with at least one axis; one in a group is called `group/name`.

    Raises:
        DataError: The file is damaged.
        MissingPackageError: h5py is not installed.
    """
    h5py = required("h5py", extra="hdf5", purpose="HDF5 files")
    arrays: dict[str, Array] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim > 0:
            is_text = h5py.check_string_dtype(item.dtype) is not None
            arrays[name] = np.array(item.asstr()[()], dtype=str) if is_text else np.asarray(item[()])

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path} is no HDF5 file that can be read: {error}; write it again") from error
    return RawTable(path.stem, path.name, arrays, None, path.parent)
