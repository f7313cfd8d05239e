"""`.npz` files: one array per modality, labels and splits (`docs/data.md`)."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError


def read_npz(path: Path) -> RawTable:
    """Returns the arrays of the `.npz` file at `path`, read without pickle.

    Raises:
        DataError: The file is not an `.npz` file, or needs pickle.
    """
    return RawTable(path.stem, path.name, read_arrays(path), None, path.parent)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Returns every array of the `.npz` file at `path`.

    Raises:
        DataError: The file is not an `.npz` file, or needs pickle.
    """
    try:
        with zipfile.ZipFile(path):  # rejects the other formats that numpy reads
            pass
        with np.load(path, allow_pickle=False) as archive:
            return {key: np.asarray(archive[key]) for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{path} is not an .npz file of plain arrays: {error}; write it with numpy.savez") from error
