"""Files that are written atomically: a reader sees what was there before, or all that is written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nasfuse.errors import InvalidInputError


def write_text(path: Path, text: str) -> None:
    """Writes a file atomically and creates its parent folders; see `replacing`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary file that replaces `path` after the block, so that `path` is never incomplete.

    Raises:
        InvalidInputError: The path is a folder.
        OSError: The file cannot be written. The error names `path`, also for a full disk.
    """
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder; give the name of a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # its folder cannot be written either, which the error above tells with the right name
            temporary.unlink(missing_ok=True)
