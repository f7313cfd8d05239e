"""Validation of output files before anything is computed."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from nasfuse.errors import InvalidInputError, MissingFileError


def check_output(path: Path | None, option: str, *, suffixes: Collection[str], inputs: Iterable[Path] = ()) -> None:
    """Checks that `path` is in an existing folder, has one of `suffixes` and is no input; None is accepted.

    Missing folders are not created, because a mistyped path would create them in unexpected places.

    Args:
        path: The output file.
        option: Option that names it, for messages.
        suffixes: Endings of the formats that can be written.
        inputs: Files that the command reads, which it must not overwrite.

    Raises:
        InvalidInputError: The path is a folder or one of `inputs`, its suffix is not in `suffixes`, or its folder
            cannot be written.
        MissingFileError: The folder of the file does not exist.
    """
    if path is None:
        return
    known = ", ".join(suffixes)
    if path.is_dir():
        raise InvalidInputError(f"{option} {path} is a folder; give the name of a file ({known})")
    if path.suffix.lower() not in suffixes:
        raise InvalidInputError(f"{option} {path}: the suffix must be one of {known}; change it")
    if not path.parent.is_dir():
        raise MissingFileError(f"{option} {path}: there is no folder {path.parent}; create it first")
    _check_writable(path, option)
    if path.exists() and any(file.exists() and path.samefile(file) for file in inputs):
        raise InvalidInputError(f"{option} {path} is a file that is read and would be overwritten; give another name")


def check_empty_folder(path: Path, option: str) -> None:
    """Checks that `path` can become a folder of new files: it is new or empty, and its parent exists.

    Args:
        path: The folder.
        option: Option that names it, for messages.

    Raises:
        InvalidInputError: The path is a file, or a folder with files, or cannot be created.
        MissingFileError: The parent folder does not exist.
    """
    if path.is_file():
        raise InvalidInputError(f"{option} {path} is a file; give the name of a folder, or of a file with a suffix")
    if path.is_dir() and any(path.iterdir()):
        raise InvalidInputError(f"{option} {path} is not empty; give a new folder, or remove that one")
    if not path.parent.is_dir():
        raise MissingFileError(f"{option} {path}: there is no folder {path.parent}; create it first")
    _check_writable(path, option)


def _check_writable(path: Path, option: str) -> None:
    if not os.access(path.parent, os.W_OK):
        raise InvalidInputError(f"{option} {path}: the folder {path.parent} cannot be written; name another one")
