"""Which arrays of a file are modalities."""

import re
from collections.abc import Mapping
from typing import Any

from nasfuse.data.raw_table import Array

#: Names of arrays of token ids, which may have any whole-number type.
_IDS = r"(?i).*(token|word|text|question|sentence|ids?$).*"
#: Axes of an array that samples may share by an index.
_SHARED_AXES = (3, 4)


def draft_arrays(arrays: Mapping[str, Array], *, target: str, used: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns `data.modalities` for the arrays of a file as plain values.

    An array with three axes is an image if it is square and has no lengths, else a sequence of features. An array of
    whole numbers with two axes is a sequence of token ids if the numbers are signed, or if its name says so (with
    negative padding only if it has lengths). The lengths of `words` are in an array whose name starts with `words` and
    contains `len` after it, or in `n_words`. An array with another number of rows than the target is a modality if
    the rows are in an array of its name (without a plural s) and `idx` or `index`.

    Args:
        arrays: Arrays by name, `target` among them.
        target: Name of the targets.
        used: Names of arrays that are no modalities, for example splits.
    """
    n_samples = len(arrays[target])
    modalities: dict[str, Any] = {}
    for name, values in arrays.items():
        if name == target or name in used or values.dtype.kind not in "fiub" or values.ndim == 0 or not values.size:
            continue
        lengths = next((other for other in arrays if _is_length(other, name)), None)
        index = None
        if len(values) != n_samples:
            index = next((other for other in arrays if _is_index(other, arrays[other], name, values, n_samples)), None)
            if index is None:
                continue
        kind = _guess(name, values, has_lengths=lengths is not None)
        if kind is None:
            continue
        entry: dict[str, Any] = {"kind": kind}
        if kind == "sequence" and values.ndim == 2:
            entry["vocabulary"] = max(int(values.max()) + 1, 2)
        if kind == "sequence" and lengths is not None:
            entry["lengths"] = lengths
        if index is not None:
            entry["index"] = index
        modalities[name] = kind if len(entry) == 1 else entry
    return modalities


def _is_length(other: str, name: str) -> bool:
    return (other.startswith(name) and "len" in other[len(name) :]) or other == f"n_{name}"


def _is_index(other: str, rows: Array, name: str, values: Array, n_samples: int) -> bool:
    stem = name.removesuffix("s")
    if not re.fullmatch(rf"{re.escape(stem)}s?_?(idx|index|row)", other) or values.ndim not in _SHARED_AXES:
        return False
    return rows.shape == (n_samples,) and rows.dtype.kind in "iu" and rows.min() >= 0 and rows.max() < len(values)


def _guess(name: str, values: Array, *, has_lengths: bool) -> str | None:
    if values.ndim == 2:
        may_be_ids = values.dtype.kind == "i" or (values.dtype.kind == "u" and re.fullmatch(_IDS, name))
        is_ids = may_be_ids and values.max() > 0 and (has_lengths or values.min() >= 0)
        return "sequence" if is_ids else "vector"
    if values.ndim == 3:
        return "image" if values.shape[1] == values.shape[2] and not has_lengths else "sequence"
    return "image" if values.ndim == 4 else None
