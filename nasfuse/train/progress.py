"""Progress of trainings that are not finished, in files from which they are resumed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nasfuse.errors import CheckpointError, MissingFileError
from nasfuse.train.checkpoint import load_checkpoint, save_checkpoint

#: Largest share of the time of a training that writing its progress may take, and longest time between two writings.
_LARGEST_SHARE = 0.01
_LONGEST_INTERVAL_S = 10.0


class ProgressFile:
    """File with the progress of a training, or of several that are trained together.

    It is written after the first epoch, and then as often as takes about a hundredth of the time of the training, at
    least every 10 s: a process that is killed within seconds has still made progress.
    """

    def __init__(self, path: Path | None) -> None:
        """Keeps the path of the file; without a path, nothing is written."""
        self._path = path
        self._next_at = 0.0

    def read(self, *, identity: str) -> dict[str, Any] | None:
        """Returns the state that was written; None if the file does not exist.

        Args:
            identity: That of the training, which is `identity` of its state.

        Raises:
            CheckpointError: The file is damaged or belongs to another training.
        """
        if self._path is None or not self._path.is_file():
            return None
        try:
            state = load_checkpoint(self._path)
        except CheckpointError as error:
            raise CheckpointError(
                f"{self._path} cannot be resumed; remove it to start that training again: {error}"
            ) from error
        if state.get("identity") != identity:
            raise CheckpointError(
                f"{self._path} holds the progress of another recipe, seed or data set; "
                "remove it or choose another folder with -o"
            )
        return state

    def write(self, state: Callable[[], dict[str, Any]]) -> None:
        """Writes the state of a training, if it is time for it; for calls after every epoch."""
        start = time.perf_counter()
        if self._path is None or start < self._next_at:
            return
        save_checkpoint(self._path, state())
        end = time.perf_counter()
        self._next_at = end + min((end - start) / _LARGEST_SHARE, _LONGEST_INTERVAL_S)


def saved_epochs(path: Path) -> int:
    """Returns the number of epochs after which the trainings of a progress file go on; 0 if it cannot be read."""
    try:
        state = load_checkpoint(path)
    except (MissingFileError, CheckpointError):
        return 0
    first, *_ = state.get("members", [state])
    return len(first["curve"])
