"""The mark in the folder of a trial that its training has begun, so that a death of its process may be its own fault.

The driver empties the file instead of removing it: on file systems of a network, the contents of a file that is opened
are those that were last written elsewhere, while its absence may be remembered for some time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = "begun"


@contextmanager
def begun(folder: Path) -> Iterator[None]:
    """Marks the training in the folder of a trial as begun, until it ends with a result or an error."""
    folder.mkdir(exist_ok=True)
    (folder / _NAME).write_text("begun\n", encoding="utf-8")
    try:
        yield
    finally:
        drop_mark(folder)


def take_begun(folder: Path) -> bool:
    """Returns whether the training in the folder of a trial had begun when its process died, and forgets it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _NAME).open("a+", encoding="utf-8") as file:
        file.seek(0)
        had_begun = bool(file.read())
        file.truncate(0)
    return had_begun


def drop_mark(folder: Path) -> None:
    """Removes the mark of a training that does not run."""
    (folder / _NAME).unlink(missing_ok=True)
