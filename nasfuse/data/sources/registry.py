"""Lookup of data sets: shipped ones by name, files by path."""

import os
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Protocol

from platformdirs import user_cache_path

from nasfuse.data.dataset import Dataset, Scale
from nasfuse.data.sources.npz import read_table
from nasfuse.data.table import Table
from nasfuse.errors import MissingFileError, nearest
from nasfuse.spec.data import DataConfig
from nasfuse.spec.data_source import SHIPPED_SOURCES


class TableLoader(Protocol):
    """Function that returns the samples of a shipped data set."""

    def __call__(self, *, scales: Mapping[str, Scale] | None) -> Table:
        """Returns all samples. For `scales` see `build_dataset`."""


def load_dataset(config: DataConfig, *, division: int | None = 0, scales: Mapping[str, Scale] | None = None) -> Dataset:
    """Returns the data set of a recipe or study.

    Args:
        config: Description of the data set.
        division: Number of the division; see `divided`.
        scales: Scales of another data set (`Dataset.scales`), used instead of statistics of the training samples.

    Raises:
        MissingFileError: There is neither a shipped set nor a file of that name.
        DataError: The file violates the data format.
    """
    return divided(load_table(config, scales=scales), config, division=division)


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


def load_table(config: DataConfig, *, scales: Mapping[str, Scale] | None = None) -> Table:
    """Returns all samples of a data set, before the division into splits. For `scales` see `build_dataset`.

    Raises:
        MissingFileError: There is neither a shipped set nor a file of that name.
        DataError: The file violates the data format.
    """
    if config.source in SHIPPED_SOURCES:
        load: TableLoader = resolve_name(SHIPPED_SOURCES[config.source])
        return load(scales=scales)
    return read_table(find_file(config.source), config, scales=scales)


def data_file(config: DataConfig) -> Path | None:
    """Returns the absolute path of the data file of a recipe or study; None for a shipped set.

    The path is valid in processes with another working folder or another `$NASFUSE_DATA`.

    Raises:
        MissingFileError: There is neither a shipped set nor a file of that name.
    """
    return None if config.source in SHIPPED_SOURCES else find_file(config.source).absolute()


def data_folder() -> Path:
    """Returns the folder for data files: `$NASFUSE_DATA`, else `nasfuse/data` in the platform's cache folder.

    On Linux the default is `~/.cache/nasfuse/data`. The folder need not exist.
    """
    named = os.environ.get("NASFUSE_DATA")
    return Path(named) if named else user_cache_path("nasfuse", appauthor=False) / "data"


def find_file(source: str) -> Path:
    """Returns the path of `source`, looked up as given and then in `data_folder()`.

    Raises:
        MissingFileError: There is no such file; the message lists the paths that were tried.
    """
    places = [Path(source), data_folder() / source]
    for place in places:
        if place.is_file():
            return place
    tried = " or ".join(str(place) for place in places)
    raise MissingFileError(
        f"no data set {source!r}: no file at {tried}. Correct data.source (`train` and `evaluate` also take --data), "
        f"set NASFUSE_DATA to the folder of your data, or use a shipped set: {nearest(source, SHIPPED_SOURCES)}"
    )
