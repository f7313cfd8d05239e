"""Checks of the files that the user names for output, before anything is computed."""

from collections.abc import Collection
from pathlib import Path

from nasfuse.errors import InvalidInputError, MissingFileError


def check_output(path: Path | None, option: str, *, suffixes: Collection[str]) -> None:
    """Checks that a file of one of the formats in `suffixes` can be written to `path`; None is always right.

    Folders are not created: a mistyped path would leave them anywhere on the disk.

    Raises:
        InvalidInputError: The path is a folder, or its suffix names no format of this option.
        MissingFileError: The folder of the file does not exist.
    """
    if path is None:
        return
    known = ", ".join(suffixes)
    if path.is_dir():
        raise InvalidInputError(f"{option} {path} is a folder; give the name of a file ({known})")
    if path.suffix.lower() not in suffixes:
        raise InvalidInputError(f"{option} {path}: the suffix chooses the format, which can be {known}")
    if not path.parent.is_dir():
        raise MissingFileError(f"{option} {path}: there is no folder {path.parent}; create it first")
