"""HDF5 files: one data set per array."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nasfuse.data.extras import required
from nasfuse.data.raw_table import Array, RawTable
from nasfuse.errors import DataError


def read_hdf5(path: Path) -> RawTable:
    """Returns every data set of an HDF5 file with at least one axis; one in a group is called `group/name`.

    A data set is read when it is used, so that files with others of many GB can be used.

    Raises:
        DataError: The file is damaged.
        MissingPackageError: h5py is not installed.
    """
    return RawTable(path.stem, path.name, _DataSets(path), None, path.parent)


class _DataSets(Mapping[str, Array]):
    """The data sets of an HDF5 file by name, each read at its first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._h5py = required("h5py", extra="hdf5", purpose="HDF5 files")
        self._known: dict[str, Array] = {}
        self._names: list[str] = []

        def add(name: str, item: Any) -> None:
            if isinstance(item, self._h5py.Dataset) and item.ndim > 0:
                self._names.append(name)

        self._with_file(lambda file: file.visititems(add))

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._known:
            self._known[name] = self._with_file(lambda file: self._array(file[name]))
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _array(self, item: Any) -> Array:
        is_text = self._h5py.check_string_dtype(item.dtype) is not None
        return np.array(item.asstr()[()], dtype=str) if is_text else np.asarray(item[()])

    def _with_file(self, use: Any) -> Any:
        try:
            with self._h5py.File(self._path, "r") as file:
                return use(file)
        except (OSError, RuntimeError, ValueError, UnicodeDecodeError) as error:
            raise DataError(f"{self._path} is no HDF5 file that can be read: {error}; write it again") from error
