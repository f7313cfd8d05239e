"""Data sets in `.npz` files: one array per modality, labels and splits (`docs/data.md`)."""

import shlex
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.arrays import build_table
from nasfuse.data.concatenation import concatenated
from nasfuse.data.dataset import Scale
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.table import Table
from nasfuse.errors import DataError, nearest
from nasfuse.spec.data import DataConfig, ModalityConfig


def read_table(path: Path, config: DataConfig, *, scales: Mapping[str, Scale] | None = None) -> Table:
    """Returns all samples of an `.npz` file, read without pickle. For `scales` see `build_dataset`.

    Raises:
        DataError: The file is damaged, lacks an array that `config` names, or violates the data format.
    """
    name = path.stem
    arrays = read_arrays(path)
    if not config.modalities:
        raise DataError(
            f"{path.name} needs data.modalities (name: vector, sequence or image); "
            f"`nasfuse data check {shlex.quote(str(path))}` suggests them. Arrays: {', '.join(arrays)}"
        )
    modalities = {key: _modality(path, arrays, key, entry) for key, entry in config.modalities.items()}
    return build_table(
        name,
        modalities,
        targets=_array(path, arrays, config.target, "data.target"),
        task=config.task,
        splits=_splits(path, arrays, config.split),
        groups=_array(path, arrays, config.group, "data.group") if config.group else None,
        val_fraction=config.val_fraction,
        scales=scales,
    )


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


def _modality(path: Path, arrays: dict[str, NDArray[Any]], key: str, entry: ModalityConfig) -> ModalityArrays:
    where = f"data.modalities.{key}"
    return ModalityArrays(
        kind=entry.kind,
        values=_values(path, arrays, key, entry, where),
        index=_array(path, arrays, entry.index, f"{where}.index") if entry.index else None,
        lengths=_array(path, arrays, entry.lengths, f"{where}.lengths") if entry.lengths else None,
        vocabulary=entry.vocabulary,
        padding=entry.padding,
    )


def _values(path: Path, arrays: dict[str, NDArray[Any]], key: str, entry: ModalityConfig, where: str) -> NDArray[Any]:
    if entry.arrays is None:
        return _array(path, arrays, entry.array or key, where)
    parts = {name: _array(path, arrays, name, f"{where}.arrays") for name in entry.arrays}
    return concatenated(where, entry.kind, parts)


def _splits(path: Path, arrays: dict[str, NDArray[Any]], name: str) -> NDArray[Any] | None:
    """Returns the split array; None if the default array does not exist."""
    if name == DataConfig.model_fields["split"].default and name not in arrays:
        return None
    return _array(path, arrays, name, "data.split")


def _array(path: Path, arrays: dict[str, NDArray[Any]], name: str, where: str) -> NDArray[Any]:
    if name not in arrays:
        raise DataError(f"{path.name} has no array {name!r} ({where}); {nearest(name, arrays)}")
    return arrays[name]


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
