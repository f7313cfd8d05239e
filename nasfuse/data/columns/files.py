"""Reading of the files that a column of paths names."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.columns.base import Problem, Rows
from nasfuse.data.progress import tracked
from nasfuse.data.raw_table import RawTable, missing, texts
from nasfuse.errors import DataError

T = TypeVar("T")


class UnknownContentError(Exception):
    """A file is not of its kind; the message is the kind, for example `image`."""


#: Threads that decode files; decoders release the interpreter lock.
_N_THREADS = 4

#: What was read of the files of some rows, by path, until all rows are read in the same way.
_KEPT: ContextVar[dict[Hashable, dict[Path, Any]] | None] = ContextVar("kept", default=None)


@contextmanager
def files_read_once() -> Iterator[None]:
    """Keeps what is read of files for the fit of a transform, until the transform reads them in this context."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def read_files(
    raw: RawTable,
    column: str,
    where: str,
    *,
    load: Callable[[Path], T],
    rows: Rows | None,
    way: Hashable = None,
    check: Callable[[T], None] | None = None,
) -> list[T | Problem | None]:
    """Returns what `load` returns for the file of each row, the problem of a row, or None where the path is missing.

    A file that several rows name is read once. Relative paths are those of `raw.folder`.

    Args:
        raw: Table with the column of paths.
        column: Name of the column.
        where: Key of the configuration that names the column.
        load: Reads a file.
        rows: (k,) rows to read; None: all.
        way: Names what `load` returns, so that `files_read_once` can tell that a file was read in this way; None if no
            file is read again.
        check: Raises an error where what was read cannot be used, as `load` may.

    Raises:
        DataError: There is no such column, or it holds no text.
    """
    values = raw.column(column, where)
    if missing(values).all():
        values = np.full(len(values), None)
    if values.ndim != 1 or values.dtype.kind not in "OU":
        raise DataError(f"{raw.place(column)} must hold paths of files, got {values.dtype}; name another column")
    named = texts(values)
    chosen = range(len(named)) if rows is None else rows.tolist()
    paths = sorted({named[row] for row in chosen} - {""})
    kept = _KEPT.get()
    before: dict[Path, T | Exception] = {}
    if kept is not None and way is not None:
        before = kept.setdefault(way, {}) if rows is not None else kept.pop(way, {})

    def found(path: str) -> T | Exception:
        file = raw.folder / path
        known = before.get(file) if rows is not None else before.pop(file, None)
        known = _attempt(load, file) if known is None else known
        if rows is not None:
            before[file] = known
        return _checked(known, check)

    with ThreadPoolExecutor(_N_THREADS) as pool:
        reading = pool.map(found, paths)
        results = dict(zip(paths, tracked(f"reading {column}", reading, total=len(paths)), strict=True))
    return [_result(raw, column, row, named[row], results) for row in chosen]


def place_of_file(raw: RawTable, column: str, row: int) -> str:
    """Returns the column, the row and the file that it names, for messages."""
    (path,) = texts(raw.columns[column][row : row + 1])
    return f"{raw.place(column, row)}: {raw.folder / path}"


def present_of(cells: Sequence[object]) -> NDArray[np.bool_] | None:
    """Returns the (n,) mask of cells that are not None; None if there are none of these."""
    present = np.array([cell is not None for cell in cells], bool)
    return None if present.all() else present


def _attempt(load: Callable[[Path], T], path: Path) -> T | Exception:
    if not path.is_file():
        return FileNotFoundError(str(path))
    try:
        return load(path)
    except Exception as error:  # decoders raise errors of many kinds for damaged files
        return error


def _checked(found: T | Exception, check: Callable[[T], None] | None) -> T | Exception:
    if check is None or isinstance(found, Exception):
        return found
    try:
        check(found)
    except ValueError as error:
        return error
    return found


def _result(
    raw: RawTable, column: str, row: int, path: str, results: Mapping[str, T | Exception]
) -> T | Problem | None:
    if not path:
        return None
    found = results[path]
    if isinstance(found, FileNotFoundError):
        place = raw.place(column, row)
        return Problem(row, column, f"{place}: there is no file {raw.folder / path}; correct the path")
    if isinstance(found, UnknownContentError):
        place = place_of_file(raw, column, row)
        return Problem(row, column, f"{place} is no {found} that can be read; replace the file")
    if isinstance(found, Exception):
        reason = str(found).splitlines()[0] if str(found) else type(found).__name__
        return Problem(row, column, f"{place_of_file(raw, column, row)} cannot be read: {reason}; replace the file")
    return found
