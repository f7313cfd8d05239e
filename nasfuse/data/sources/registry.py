"""Finding data sets: the shipped ones by name, files by path."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from platformdirs import user_cache_path

from nasfuse.data.dataset import Dataset, Scale
from nasfuse.data.sources.digits import digits_table
from nasfuse.data.sources.npz import read_table
from nasfuse.data.table import Table
from nasfuse.errors import MissingFileError, nearest
from nasfuse.spec.data import DataConfig


class TableLoader(Protocol):
    """Returns the samples of a shipped data set."""

    def __call__(self, *, scales: Mapping[str, Scale] | None) -> Table:
        """Returns all samples; `scales` as in `build_dataset`."""


#: Data sets that need no file, by name.
SHIPPED: dict[str, TableLoader] = {"digits": digits_table}


def load_dataset(config: DataConfig, *, cut: int = 0, scales: Mapping[str, Scale] | None = None) -> Dataset:
    """Returns the data set a recipe or study names.

    Args:
        config: What to load.
        cut: 0 is the division into train and val that the data set comes with; others divide anew, for
            repeated trainings, see `cut_splits`. Test is the same in all.
        scales: As in `build_dataset`: scales of another data set, `Dataset.scales`, in place of statistics.

    Raises:
        MissingFileError: No shipped set and no file of that name.
        DataError: The file breaks the data contract.
    """
    return load_table(config, scales=scales).cut(cut)


def load_table(config: DataConfig, *, scales: Mapping[str, Scale] | None = None) -> Table:
    """Returns all samples of a data set, of which every cut is a view; `scales` as in `build_dataset`.

    Raises:
        MissingFileError: No shipped set and no file of that name.
        DataError: The file breaks the data contract.
    """
    if config.source in SHIPPED:
        return SHIPPED[config.source](scales=scales)
    return read_table(find_file(config.source), config, scales=scales)


def data_file(config: DataConfig) -> Path | None:
    """Returns the absolute path of the file a recipe or study names, None for a shipped set.

    It names the same file in a process with another working folder or another `$NASFUSE_DATA`.

    Raises:
        MissingFileError: No shipped set and no file of that name.
    """
    return None if config.source in SHIPPED else find_file(config.source).absolute()


def data_folder() -> Path:
    """Returns the folder for data files: `$NASFUSE_DATA`, else `nasfuse/data` in the platform's cache folder.

    On Linux the default is `~/.cache/nasfuse/data`. The folder need not exist.
    """
    named = os.environ.get("NASFUSE_DATA")
    return Path(named) if named else user_cache_path("nasfuse", appauthor=False) / "data"


def find_file(source: str) -> Path:
    """Returns the path of `source`, looked up as given and then in `data_folder()`.

    Raises:
        MissingFileError: Naming the places that were tried.
    """
    places = [Path(source), data_folder() / source]
    for place in places:
        if place.is_file():
            return place
    tried = " or ".join(str(place) for place in places)
    raise MissingFileError(
        f"no data set {source!r}: no file at {tried}. Correct data.source (`train` and `evaluate` also take --data), "
        f"set NASFUSE_DATA to the folder of your data, or use a shipped set: {nearest(source, SHIPPED)}"
    )
