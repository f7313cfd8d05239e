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


def suggest_data(arrays: dict[str, NDArray[Any]], *, target: str = "y", split: str = "split") -> dict[str, Any]:
    """Returns suggested `modalities` and `task` for the arrays of a file.

    An array with three axes is an image if it is square and has no lengths, else a sequence of features. An array of
    signed integers with two axes is a sequence of token ids (with negative padding only if it has lengths). The lengths
    of `words` are in an array whose name starts with `words` and contains `len` after it, or in `n_words`.
    """
    labels = arrays.get(target)
    if labels is None or labels.ndim == 0:
        return {"modalities": {}}
    modalities: dict[str, Any] = {}
    for name, values in arrays.items():
        lengths = [
            other
            for other in arrays
            if (other.startswith(name) and "len" in other[len(name) :]) or other == f"n_{name}"
        ]
        kind = None if name in (target, split) else _guess(values, len(labels), has_lengths=bool(lengths))
        if kind is None:
            continue
        entry: dict[str, Any] = {"kind": kind}
        if kind == "sequence" and values.ndim == 2:
            entry["vocabulary"] = int(values.max()) + 1
        if kind == "sequence" and lengths:
            entry["lengths"] = lengths[0]
        modalities[name] = kind if len(entry) == 1 else entry
    suggestion: dict[str, Any] = {"modalities": modalities}
    if labels.dtype.kind == "f":
        suggestion["task"] = "regression"
    elif labels.ndim == 2:
        suggestion["task"] = "multilabel"
    return suggestion


def _guess(values: NDArray[Any], n_samples: int, *, has_lengths: bool) -> str | None:
    if values.dtype.kind not in "fiub" or values.shape[:1] != (n_samples,) or not values.size:
        return None
    if values.ndim == 2:
        is_ids = values.dtype.kind == "i" and values.max() > 0 and (has_lengths or values.min() >= 0)
        return "sequence" if is_ids else "vector"
    if values.ndim == 3:
        return "image" if values.shape[1] == values.shape[2] and not has_lengths else "sequence"
    return "image" if values.ndim == 4 else None
