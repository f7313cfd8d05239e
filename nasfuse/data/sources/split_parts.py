"""Data that are stored in one part per split: the parts as one table with the column `split`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nasfuse.data.description import SPLITS
from nasfuse.data.raw_table import Array, RawTable, missing, nearest_column
from nasfuse.errors import DataError, counted


def split_word(text: str) -> str | None:
    """Returns the split that a word stands for, `train`, `val` or `test`; None if it stands for none."""
    return SPLITS.get(text.lower())


def joined(path: Path, parts: Mapping[str, Mapping[str, Array]], *, is_table: bool = False) -> RawTable:
    """Returns the rows of all parts, in the order train, val, test, with the column `split`.

    Arrays without one entry per row that are equal in all parts, such as names of classes, are kept as they are.

    Args:
        path: File or folder of the parts, for messages and for the name of the data.
        parts: Arrays by name, by the word of a split.
        is_table: Whether the arrays are columns of tables.

    Raises:
        DataError: A part lacks an array that another one has, or arrays differ in rows, shape or type.
    """
    words = sorted(parts, key=lambda word: list(SPLITS.values()).index(SPLITS[word.lower()]))
    rows = {word: _n_rows(parts[word]) for word in words}
    names = list(dict.fromkeys(name for word in words for name in parts[word]))
    columns = {name: _joined_array(path, name, {word: parts[word] for word in words}, rows) for name in names}
    columns["split"] = np.repeat([SPLITS[word.lower()] for word in words], [rows[word] for word in words])
    folder = path if path.is_dir() else path.parent
    name = path.name if path.is_dir() else path.stem
    return RawTable(name, path.name, columns, len(columns["split"]) if is_table else None, folder)


def _n_rows(part: Mapping[str, Array]) -> int:
    """Returns the most frequent number of entries of the arrays."""
    return Counter(len(values) for values in part.values()).most_common(1)[0][0]


def _joined_array(path: Path, name: str, parts: Mapping[str, Mapping[str, Array]], rows: Mapping[str, int]) -> Array:
    lacking = next((word for word, part in parts.items() if name not in part), None)
    if lacking is not None:
        other = next(word for word, part in parts.items() if name in part)
        hint = nearest_column(name, parts[lacking], expected=parts[other])
        raise DataError(f"{path}: {lacking} has no array {name}, which {other} has; add it ({hint})")
    arrays = {word: part[name] for word, part in parts.items()}
    first = next(iter(arrays.values()))
    bad = next((word for word, values in arrays.items() if len(values) != rows[word]), None)
    if bad is not None:
        if all(values.shape == first.shape and np.array_equal(values, first) for values in arrays.values()):
            return first
        raise DataError(
            f"{path}: array {name} of {bad} has {counted(len(arrays[bad]), 'row')}, and the other arrays of {bad} have "
            f"{rows[bad]}; align them"
        )
    if len({values.shape[1:] for values in arrays.values()}) > 1:
        shapes = ", ".join(f"{values.shape[1:]} in {word}" for word, values in arrays.items())
        raise DataError(f"{path}: array {name} must have rows of one shape, got {shapes}; align them")
    kinds = {
        "O" if values.dtype.kind == "O" else "U" if values.dtype.kind in "US" else "n" for values in arrays.values()
    }
    if kinds == {"U", "n"}:
        types = ", ".join(f"{values.dtype} in {word}" for word, values in arrays.items())
        raise DataError(f"{path}: array {name} must have values of one type, got {types}; convert them")
    return np.concatenate([_objects(values) if "O" in kinds else values for values in arrays.values()])


def _objects(values: Array) -> Array:
    """Returns values as objects, with None for missing ones."""
    found = values.astype(object)
    found[missing(values)] = None
    return found
