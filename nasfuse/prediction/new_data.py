"""New data without targets, as inputs of a saved network."""

import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from nasfuse.data.columns import Transform
from nasfuse.data.columns.image_files import ImageFiles
from nasfuse.data.label_maps import unaligned_rows
from nasfuse.data.preprocessing import Preprocessing
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.function import as_raw
from nasfuse.data.sources.registry import data_folder, load_raw
from nasfuse.errors import DataWarning, MissingFileError, counted, listed
from nasfuse.prediction.inputs import Inputs, prepare
from nasfuse.prediction.saved_network import SavedNetwork
from nasfuse.spec.data_source import is_function

#: Part of the warning of categories that a network does not tell apart.
UNKNOWN_CATEGORIES = "has categories that were rare or absent in the training, which are treated as unknown"


def new_data(data: Any, *, columns: Collection[str] = ()) -> RawTable:
    """Returns raw data from a file, a folder, a function, or an object from Python.

    Args:
        data: A path or another source (`nasfuse.data.sources.registry.load_raw`), or an object
            (`nasfuse.data.sources.function.as_raw`).
        columns: Columns that a network reads; see `nasfuse.data.sources.registry.load_raw`.

    Raises:
        MissingFileError: There is no such file.
        DataError: The file is damaged, or the object is none of these.
    """
    if not isinstance(data, str | os.PathLike):
        return as_raw(data, name="the data")
    source = os.fspath(data)
    try:
        return load_raw(source, columns=columns)
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
        raw: Data with the columns or arrays of the training; others are ignored. Rows may lack a modality
            for which the network has a placeholder, and all lack one of which the data have no column.
        names: Modalities. Default: those that the network reads.

    Raises:
        DataError: A column or array does not exist, has another form than in the training, or no row can be used.
    """
    raw = replace(raw, expected={column for one in saved.preprocessing.transforms.values() for column in one.columns})
    wanted = tuple(saved.inputs) if names is None else names
    chosen = {name: transform for name, transform in saved.preprocessing.transforms.items() if name in wanted}
    lacking = _lacking(saved, raw, chosen)
    there = {name: transform for name, transform in chosen.items() if name not in lacking}
    arrays, problems = Preprocessing(there).read(raw, filled=there.keys() - saved.can_be_absent)
    unaligned: dict[int, str] = {}
    if saved.task.size is not None:
        files = [one.columns[0] for one in there.values() if isinstance(one, ImageFiles)]
        unaligned = unaligned_rows(raw, files, saved.task.size)
    return prepare(
        raw.origin,
        arrays,
        saved=saved,
        problems={**unaligned, **{problem.row: problem.message for problem in problems}},
        lacking={name: transform.has_lengths for name, transform in lacking.items()},
    )


def warn_of_unknown(saved: SavedNetwork, raw: RawTable) -> None:
    """Warns of categories in columns of `raw` that the network does not tell apart, with the number of rows by column.

    Columns that do not exist are left to `inputs_of`.
    """
    counts: dict[str, int] = {}
    for name, transform in saved.preprocessing.transforms.items():
        if name in saved.inputs and all(column in raw.columns for column in transform.columns):
            counts |= transform.unknown(raw)
    if counts:
        columns = ", ".join(f"{listed([column])} in {counted(count, 'row')}" for column, count in counts.items())
        warnings.warn(
            f"{raw.origin} {UNKNOWN_CATEGORIES}: {columns}",
            DataWarning,
            stacklevel=3,
        )


def _lacking(saved: SavedNetwork, raw: RawTable, chosen: Mapping[str, Transform]) -> dict[str, Transform]:
    """Returns the modalities that all rows lack: those with a placeholder of which the data have no column.

    There are none if the data have no other modality either, so that the first column that does not exist is named.
    """
    found = {
        name: transform
        for name, transform in chosen.items()
        if name in saved.network.placeholders and not any(column in raw.columns for column in transform.columns)
    }
    if len(found) == len(chosen):
        return {}
    for name, transform in found.items():
        warnings.warn(
            f"{raw.origin} has no {raw.noun} {' or '.join(map(repr, transform.columns))}; all rows lack the modality "
            f"{name}",
            DataWarning,
            stacklevel=3,
        )
    return found
