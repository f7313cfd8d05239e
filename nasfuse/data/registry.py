"""Finding data sets: the shipped ones by name, files by path."""

import os
from pathlib import Path
from typing import Protocol

from nasfuse.config.recipe import DataConfig
from nasfuse.data.dataset import Dataset
from nasfuse.data.digits import load_digits
from nasfuse.data.npz import load_npz
from nasfuse.errors import MissingFileError, nearest


class Loader(Protocol):
    """Returns a shipped data set."""

    def __call__(self, *, cut: int) -> Dataset:
        """Returns it with train and val divided in the way number `cut`."""


#: Data sets that need no file, by name.
SHIPPED: dict[str, Loader] = {"digits": load_digits}


def load_dataset(config: DataConfig, *, cut: int = 0) -> Dataset:
    """Returns the data set a recipe or study names.

    Args:
        config: What to load.
        cut: 0 is the division into train and val that the data set comes with; others divide anew, for
            repeated trainings, see `cut_splits`. Test is the same in all.

    Raises:
        MissingFileError: No shipped set and no file of that name.
        DataError: The file breaks the data contract.
    """
    if config.source in SHIPPED:
        return SHIPPED[config.source](cut=cut)
    return load_npz(find_file(config.source), config, cut=cut)


def data_folder() -> Path:
    """Returns the folder for data files: `$NASFUSE_DATA`, else `../shared/data`."""
    return Path(os.environ.get("NASFUSE_DATA", "../shared/data"))


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
