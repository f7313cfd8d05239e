"""Checkpoints, which are written atomically and read without executing code."""

import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from nasfuse.domain.file_format import FORMAT, check_format
from nasfuse.errors import CheckpointError, MissingFileError

#: Errors raised when a damaged file is read, by the archive and by the pickle in it.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` (tensors and plain values) to `path`. An existing file is replaced only by a complete one."""
    path.parent.mkdir(exist_ok=True)  # without its parents: a run folder that was moved is not created again
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the content that `save_checkpoint` wrote, with tensors on the CPU.

    Raises:
        MissingFileError: The file does not exist.
        CheckpointError: The file is damaged, was not written by nasfuse, or has another format.
    """
    if not path.is_file():
        raise MissingFileError(f"no such checkpoint: {path}. Give the path of a model.pt that nasfuse wrote.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch does not check the checksums
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if path.suffix != ".pt":
            raise CheckpointError(f"{path} is no checkpoint; give the path of a model.pt that nasfuse wrote") from error
        raise CheckpointError(f"{path} is damaged or cut off; copy it again, or train the recipe again") from error
    if not isinstance(content, dict) or "format" not in content:
        raise CheckpointError(f"{path} is not a nasfuse checkpoint; train the recipe again")
    check_format(path, content["format"], advice="train the recipe again", error=CheckpointError)
    return content
