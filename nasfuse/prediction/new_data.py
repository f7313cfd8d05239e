"""New data without targets, as inputs of a saved network."""

import os
from typing import Any

from nasfuse.data.preprocessing import Preprocessing
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.function import as_raw
from nasfuse.data.sources.registry import data_folder, load_raw
from nasfuse.errors import MissingFileError
from nasfuse.prediction.inputs import Inputs, prepare
from nasfuse.prediction.saved_network import SavedNetwork
from nasfuse.spec.data_source import is_function


def new_data(data: Any) -> RawTable:
    """Returns raw data from a file, a folder, a function, or an object from Python.

    Args:
        data: A path or another source (`nasfuse.data.sources.registry.load_raw`), or an object
            (`nasfuse.data.sources.function.as_raw`).

    Raises:
        MissingFileError: There is no such file.
        DataError: The file is damaged, or the object is none of these.
    """
    if not isinstance(data, str | os.PathLike):
        return as_raw(data, name="the data")
    source = os.fspath(data)
    try:
        return load_raw(source)
    except MissingFileError as error:
        if is_function(source):
            raise
        raise MissingFileError(
            f"there is no file or folder {source}, and none of this name in {data_folder()}; correct the path"
        ) from error


def inputs_of(saved: SavedNetwork, raw: RawTable, *, names: tuple[str, ...] | None = None) -> Inputs:
    """Returns the inputs of a network from raw data, preprocessed and standardised as in the training.

    Args:
        saved: The network.
        raw: Data with the columns or arrays of the training; others are ignored.
        names: Modalities. Default: those that the network reads.

    Raises:
        DataError: A column or array does not exist, has another form than in the training, or no row can be used.
    """
    wanted = tuple(saved.inputs) if names is None else names
    chosen = {name: transform for name, transform in saved.preprocessing.transforms.items() if name in wanted}
    arrays, problems = Preprocessing(chosen).read(raw)
    return prepare(
        raw.origin,
        arrays,
        saved=saved,
        problems={problem.row: problem.message for problem in problems},
    )
