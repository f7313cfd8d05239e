"""A table in files that processes map into their memory, so that all trainings on a machine share one copy of it."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nasfuse.data.table import Table
from nasfuse.errors import MissingFileError

_REST = "table.pkl"
_TARGETS = "targets.npy"


def share_table(table: Table, folder: Path) -> None:
    """Writes a table to `folder`, and replaces its values in memory by maps of the files, also in its data sets.

    Targets are in the files, too, because label maps may be as large as the inputs.

    Raises:
        OSError: A file cannot be written, for example because the disk is full.
    """
    shutil.rmtree(folder, ignore_errors=True)  # never written in place: workers of a killed search may still map it
    folder.mkdir(parents=True)
    rest = {}
    for number, (name, storage) in enumerate(table.storages.items()):
        _save(_values_file(folder, number), storage.values)
        storage.values.data = _mapped(_values_file(folder, number))  # in place, because data sets hold the same tensor
        rest[name] = replace(storage, values=torch.empty(0))
    _save(folder / _TARGETS, table.targets)
    table.targets.data = _mapped(folder / _TARGETS)
    (folder / _REST).write_bytes(pickle.dumps(replace(table, storages=rest, targets=torch.empty(0))))


def map_table(folder: Path) -> Table:
    """Returns the table that `share_table` wrote; its values are maps of the files.

    Raises:
        MissingFileError: The files cannot be read, for example on another machine that does not see the folder.
    """
    try:
        rest: Table = pickle.loads((folder / _REST).read_bytes())
        storages = {
            name: replace(storage, values=_mapped(_values_file(folder, number)))
            for number, (name, storage) in enumerate(rest.storages.items())
        }
        targets = _mapped(folder / _TARGETS)
    except OSError as error:
        raise MissingFileError(
            f"the data of the search cannot be read from {folder}: {error.strerror}; the run folder must be on a file "
            "system that every node can access"
        ) from error
    return replace(rest, storages=storages, targets=targets)


def _values_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.npy"


def _save(file: Path, values: torch.Tensor) -> None:
    """Writes an array. `numpy.save` does not always notice a full disk, and does not say so in words."""
    array = np.ascontiguousarray(values.numpy())
    try:
        with file.open("wb") as opened:
            np.lib.format.write_array_header_2_0(opened, np.lib.format.header_data_from_array_1_0(array))
            opened.write(array.data)
    except OSError as error:
        error.filename = str(file)
        raise


def _mapped(file: Path) -> torch.Tensor:
    try:
        # Copy-on-write, because torch has no read-only tensors; nothing is written, so that nothing is copied.
        return torch.from_numpy(np.load(file, mmap_mode="c"))
    except ValueError:  # an empty array cannot be mapped
        return torch.from_numpy(np.load(file))
