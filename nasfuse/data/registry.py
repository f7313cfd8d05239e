"""Finding data sets: the shipped ones by name, files by path."""

import os
from collections.abc import Callable
from pathlib import Path

from nasfuse.config.recipe import DataConfig
from nasfuse.data.dataset import Dataset
from nasfuse.data.digits import load_digits
from nasfuse.data.npz import load_npz
from nasfuse.errors import MissingFileError, nearest

#: Data sets that need no file, by name.
SHIPPED: dict[str, Callable[[], Dataset]] = {"digits": load_digits}


def load_dataset(config: DataConfig) -> Dataset:
    """Returns the data set a recipe or study names.

    Raises:
        MissingFileError: No shipped set and no file of that name.
        DataError: The file breaks the data contract.
    """
    if config.source in SHIPPED:
        return SHIPPED[config.source]()
    return load_npz(find_file(config.source), config)


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
        f"no data set {source!r}: no file at {tried}. Set NASFUSE_DATA to the folder of your data, or use a "
        f"shipped set: {nearest(source, SHIPPED)}"
    )
