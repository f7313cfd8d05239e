"""Lookup of data: shipped sets by name, files and folders by path, functions by module."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Protocol

from platformdirs import user_cache_path

from nasfuse.data.columns import Transform
from nasfuse.data.dataset import Dataset, Scale
from nasfuse.data.description import described_table
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.affect import read_affect
from nasfuse.data.sources.folder import read_folder
from nasfuse.data.sources.folder_table import has_table, read_folder_table
from nasfuse.data.sources.frame import read_feather, read_json_lines
from nasfuse.data.sources.function import raw_of_function
from nasfuse.data.sources.hdf5 import read_hdf5
from nasfuse.data.sources.label_folder import has_folders, has_label_folder, read_label_folder
from nasfuse.data.sources.npz import read_npz
from nasfuse.data.sources.omics import has_omics, read_omics
from nasfuse.data.sources.parquet import read_parquet
from nasfuse.data.sources.separated import read_csv, read_tsv
from nasfuse.data.sources.split_files import (
    has_split_arrays,
    has_split_files,
    read_split_arrays,
    read_split_files,
)
from nasfuse.data.table import Table
from nasfuse.errors import DataError, MissingFileError, nearest
from nasfuse.spec.data import DataConfig
from nasfuse.spec.data_source import SHIPPED_SOURCES, is_function

#: Functions that read a table, by the ending of its name.
TABLE_READERS: dict[str, Callable[[Path], RawTable]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".feather": read_feather,
    ".arrow": read_feather,
    ".jsonl": read_json_lines,
}
#: Functions that read a file, by the ending of its name.
READERS: dict[str, Callable[[Path], RawTable]] = {
    ".npz": read_npz,
    **TABLE_READERS,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".pkl": read_affect,
    ".pickle": read_affect,
}


@dataclass(frozen=True)
class FolderLayout:
    """A layout of the files in a folder.

    Attributes:
        fits: Returns whether a folder has this layout.
        read: Returns the raw data of a folder that has it.
    """

    fits: Callable[[Path], bool]
    read: Callable[[Path], RawTable]


#: Layouts of folders by name, of which the first that fits is used.
FOLDER_LAYOUTS: dict[str, FolderLayout] = {
    "omics": FolderLayout(has_omics, read_omics),
    "label maps": FolderLayout(has_label_folder, lambda path: read_label_folder(path, TABLE_READERS)),
    "files by split": FolderLayout(
        lambda path: has_split_files(path, READERS), lambda path: read_split_files(path, READERS)
    ),
    "arrays by split": FolderLayout(has_split_arrays, read_split_arrays),
    "table": FolderLayout(
        lambda path: has_table(path, TABLE_READERS), lambda path: read_folder_table(path, TABLE_READERS)
    ),
    "arrays or images": FolderLayout(lambda path: True, read_folder),
}


class TableLoader(Protocol):
    """Function that returns the samples of a shipped data set."""

    def __call__(self, *, scales: Mapping[str, Scale] | None) -> Table:
        """Returns all samples. For `scales` see `build_dataset`."""


def load_dataset(
    config: DataConfig,
    *,
    division: int | None = 0,
    scales: Mapping[str, Scale] | None = None,
    transforms: Mapping[str, Transform] | None = None,
) -> Dataset:
    """Returns the data set of a recipe or study.

    Args:
        config: Description of the data set.
        division: Number of the division; see `divided`.
        scales: Scales of another data set (`Dataset.scales`), used instead of statistics of the training samples.
        transforms: See `load_table`.

    Raises:
        MissingFileError: There is neither a shipped set nor a file of that name.
        DataError: The file violates the data format.
    """
    return divided(load_table(config, scales=scales, transforms=transforms), config, division=division)


def divided(table: Table, config: DataConfig, *, division: int | None) -> Dataset:
    """Returns the data set with a division into train and val. Test is the same in all.

    Args:
        table: All samples.
        config: Description of the data set.
        division: Number of the division. 0 is the data set's own; others serve repeated trainings, see
            `divide_into_splits`. With `validation`, number of the fold, see `divide_into_folds`. None: train has all
            samples outside test, and val none.

    Raises:
        DataError: The samples cannot be divided.
    """
    if division is None:
        return table.undivided()
    if config.validation is not None:
        return table.fold(division, n_folds=config.validation.folds)
    return table.divided(division)


def load_table(
    config: DataConfig,
    *,
    scales: Mapping[str, Scale] | None = None,
    transforms: Mapping[str, Transform] | None = None,
) -> Table:
    """Returns all samples of a data set, before the division into splits.

    Args:
        config: Description of the data set.
        scales: See `build_dataset`.
        transforms: Transforms of modalities that are used as they are instead of being fitted on the training samples.
            Shipped data sets, which are arrays, have none to fit.

    Raises:
        MissingFileError: There is neither a shipped set nor a file of that name.
        DataError: The file violates the data format.
    """
    if config.source in SHIPPED_SOURCES:
        load: TableLoader = resolve_name(SHIPPED_SOURCES[config.source])
        return load(scales=scales)
    return described_table(load_raw(config.source), config, scales=scales, transforms=transforms)


def load_raw(source: str, *, columns: Collection[str] = ()) -> RawTable:
    """Returns the columns or arrays of a file, a folder or a function. Neither targets nor splits are required.

    Args:
        source: Path of a file or folder, looked up as given and then in `data_folder()`, or `module:function` or
            `file.py:function`.
        columns: Columns that are needed. A folder that has a folder of images for one of them is read as samples with
            these columns, also without label maps.

    Raises:
        MissingFileError: There is no such file or folder.
        DataError: The file is damaged or of an unknown kind.
    """
    if is_function(source):
        return raw_of_function(source)
    path = find_file(source)
    if path.is_dir() and has_folders(path, columns):
        return read_label_folder(path, TABLE_READERS)
    if path.is_dir():
        return next(layout for layout in FOLDER_LAYOUTS.values() if layout.fits(path)).read(path)
    if path.suffix.lower() not in READERS:
        raise DataError(
            f"{path} is of no known kind of file; {nearest(path.suffix.lower(), READERS)}, or a folder of images, "
            "of .npy files or with a table"
        )
    return READERS[path.suffix.lower()](path)


def data_file(config: DataConfig) -> Path | None:
    """Returns the absolute path of the data of a recipe or study; None for a shipped set and for a function.

    The path is valid in processes with another working folder or another `$NASFUSE_DATA`.

    Raises:
        MissingFileError: There is neither a shipped set nor a file of that name.
    """
    if config.source in SHIPPED_SOURCES or is_function(config.source):
        return None
    return find_file(config.source).absolute()


def data_folder() -> Path:
    """Returns the folder for data files: `$NASFUSE_DATA`, else `nasfuse/data` in the platform's cache folder.

    On Linux the default is `~/.cache/nasfuse/data`. The folder need not exist.
    """
    named = os.environ.get("NASFUSE_DATA")
    return Path(named) if named else user_cache_path("nasfuse", appauthor=False) / "data"


def find_file(source: str) -> Path:
    """Returns the path of the file or folder `source`, looked up as given and then in `data_folder()`.

    Raises:
        MissingFileError: There is neither; the message lists the paths that were tried.
    """
    places = dict.fromkeys([Path(source), data_folder() / source])  # one place if the path is absolute
    for place in places:
        if place.exists():
            return place
    tried = " or ".join(str(place) for place in places)
    raise MissingFileError(
        f"no data set {source!r}: no file at {tried}. Correct data.source (`train` and `evaluate` also take --data), "
        f"set NASFUSE_DATA to the folder of your data, or use a shipped set: {nearest(source, SHIPPED_SOURCES)}"
    )
