"""`.npz` files: one array per modality, labels and splits (`docs/data.md`)."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError

#: What is wrong with an array that needs pickle, and what to do.
OBJECTS = (
    "holds Python objects, which are not read from files; before it is written, convert texts with .astype(str), '' "
    "for a missing one, and numbers with .astype(float)"
)


def holds_objects(error: Exception) -> bool:
    """Returns whether numpy did not read an array because it needs pickle."""
    return isinstance(error, ValueError) and str(error).startswith("Object arrays cannot be loaded")


def read_npz(path: Path) -> RawTable:
    """Returns the arrays of the `.npz` file at `path`, read without pickle.

    Raises:
        DataError: The file is not an `.npz` file, or needs pickle.
    """
    return RawTable(path.stem, path.name, read_arrays(path), None, path.parent)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Returns every array of the `.npz` file at `path`.

    Raises:
        DataError: The file is not an `.npz` file, or an array needs pickle.
    """
    key = ""
    try:
        with zipfile.ZipFile(path):  # rejects the other formats that numpy reads
            pass
        with np.load(path, allow_pickle=False) as archive:
            arrays = {}
            for key in archive.files:
                arrays[key] = np.asarray(archive[key])
            return arrays
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        if holds_objects(error):
            raise DataError(f"array {key} of {path} {OBJECTS}") from error
        raise DataError(f"{path} is not an .npz file of plain arrays: {error}; write it with numpy.savez") from error
