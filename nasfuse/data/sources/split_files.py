"""Folders with files for every split: `train.h5` and `test.h5`, or arrays such as `image/train_data.npy`."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from nasfuse.data.raw_table import Array, RawTable
from nasfuse.data.sources.folder import read_array
from nasfuse.data.sources.split_parts import joined, split_word
from nasfuse.errors import DataError


def has_split_files(path: Path, endings: Mapping[str, object]) -> bool:
    """Returns whether a folder has files called train and test of the same kind, one of `endings`."""
    return any({"train", "test"} <= set(_files(path, ending)) for ending in endings)


def read_split_files(path: Path, readers: Mapping[str, Callable[[Path], RawTable]]) -> RawTable:
    """Returns the rows of the files `train`, `val` (optional, also `valid`, `validation`, `dev`) and `test`.

    Args:
        path: Folder.
        readers: Functions that read a file, by the ending of its name.

    Raises:
        DataError: A file is damaged, or the files do not have the same arrays or columns.
    """
    ending = next(one for one in readers if {"train", "test"} <= set(_files(path, one)))
    tables = {file.stem.lower(): readers[ending](file) for file in _files(path, ending).values()}
    return joined(
        path,
        {word: raw.columns for word, raw in tables.items()},
        is_table=all(raw.n_rows is not None for raw in tables.values()),
    )


def _files(path: Path, ending: str) -> dict[str, Path]:
    """Returns the files of an ending that are called like a split, by split."""
    files = [file for file in sorted(path.glob("*")) if file.suffix.lower() == ending and file.is_file()]
    return {split: file for file in files if (split := split_word(file.stem)) is not None}


def has_split_arrays(path: Path) -> bool:
    """Returns whether all `.npy` files in a folder and its folders are called like a split: `train_labels.npy`."""
    found = [_part(file) for file in _arrays(path)]
    return bool(found) and None not in found and {"train", "test"} <= {split_word(part[0]) for part in found if part}


def read_split_arrays(path: Path) -> RawTable:
    """Returns the arrays of `SPLIT_NAME.npy` files, in folders also `FOLDER/SPLIT_NAME.npy`, with all splits joined.

    The array of `train_labels.npy` is called `labels`, that of `image/train_data.npy` `image/data`.

    Raises:
        DataError: A file is damaged, is missing for a split, or differs in its shape from that of another split.
    """
    parts: dict[str, dict[str, Array]] = {}
    for file in _arrays(path):
        part = _part(file)
        assert part is not None, "the layout has been recognised"
        folder = "" if file.parent == path else f"{file.parent.name}/"
        values = read_array(file)
        if values.ndim == 0:
            raise DataError(f"{file} must have one row per sample, got a single value; write an array")
        parts.setdefault(part[0].lower(), {})[folder + part[1]] = values
    return joined(path, parts)


def _arrays(path: Path) -> list[Path]:
    return sorted([*path.glob("*.npy"), *path.glob("*/*.npy")])


def _part(file: Path) -> tuple[str, str] | None:
    """Returns the word of a split and the rest of the name."""
    found = re.fullmatch(r"([A-Za-z]+)[_-](.+)", file.stem)
    return (found[1], found[2]) if found and split_word(found[1]) else None
