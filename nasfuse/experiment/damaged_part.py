"""Parts of a run that a result can do without, read from files that may be damaged."""

import warnings
from collections.abc import Callable
from typing import TypeVar

from nasfuse.errors import RunFolderError, RunFolderWarning
from nasfuse.experiment.run_folder import RunFolder

T = TypeVar("T")


def read_part(read: Callable[[RunFolder], T], folder: RunFolder) -> T | None:
    """Returns what `read` returns for a run folder, None where the file of this part is damaged.

    Warns:
        RunFolderWarning: The file is damaged; the message is that of the error, which names the file.
    """
    try:
        return read(folder)
    except RunFolderError as error:
        warnings.warn(f"{error}; it is left out here", RunFolderWarning, stacklevel=2)
        return None
