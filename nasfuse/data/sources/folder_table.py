"""Folders with one table and the files that it names, such as recordings and a `labels.csv`."""

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from pathlib import Path

from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataError


def has_table(path: Path, endings: Container[str]) -> bool:
    """Returns whether a folder has a table, one of `endings`, and neither `.npy` files nor several folders.

    Folders of images by class have several folders, whose images are the data also if there is a table beside them.
    """
    entries = list(path.iterdir())
    n_folders = sum(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
    return bool(_tables(path, endings)) and n_folders < 2 and not any(entry.suffix == ".npy" for entry in entries)


def read_folder_table(path: Path, readers: Mapping[str, Callable[[Path], RawTable]]) -> RawTable:
    """Returns the table of a folder, whose columns may name files of the folder.

    Args:
        path: Folder.
        readers: Functions that read a table, by the ending of its name.

    Raises:
        DataError: There are several tables, or the table is damaged.
    """
    files = _tables(path, readers)
    if len(files) > 1:
        raise DataError(f"{path} has several tables ({', '.join(file.name for file in files)}); name one of them")
    return replace(readers[files[0].suffix.lower()](files[0]), name=path.absolute().name)


def _tables(path: Path, endings: Container[str]) -> list[Path]:
    files = sorted(path.iterdir())
    return [
        one for one in files if one.suffix.lower() in endings and one.is_file() and not one.name.startswith((".", "~"))
    ]
