"""Reading of the files that a column of paths names."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.columns.base import Problem, Rows
from nasfuse.data.raw_table import RawTable, missing, texts
from nasfuse.errors import DataError

T = TypeVar("T")


class UnknownContentError(Exception):
    """A file is not of its kind; the message is the kind, for example `image`."""


#: Threads that decode files; decoders release the interpreter lock.
_N_THREADS = 4


def read_files(
    raw: RawTable, column: str, where: str, *, load: Callable[[Path], T], rows: Rows | None
) -> list[T | Problem | None]:
    """Returns what `load` returns for the file of each row, the problem of a row, or None where the path is missing.

    A file that several rows name is read once. Relative paths are those of `raw.folder`.

    Args:
        raw: Table with the column of paths.
        column: Name of the column.
        where: Key of the configuration that names the column.
        load: Reads a file.
        rows: (k,) rows to read; None: all.

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
    with ThreadPoolExecutor(_N_THREADS) as pool:
        results = dict(zip(paths, pool.map(lambda path: _attempt(load, raw.folder / path), paths), strict=True))
    return [_result(raw, column, row, named[row], results) for row in chosen]


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


def _result(
    raw: RawTable, column: str, row: int, path: str, results: Mapping[str, T | Exception]
) -> T | Problem | None:
    if not path:
        return None
    place = raw.place(column, row)
    found = results[path]
    if isinstance(found, FileNotFoundError):
        return Problem(row, column, f"{place}: there is no file {raw.folder / path}; correct the path")
    if isinstance(found, UnknownContentError):
        return Problem(row, column, f"{place}: {raw.folder / path} is no {found} that can be read; replace the file")
    if isinstance(found, Exception):
        reason = str(found).splitlines()[0] if str(found) else type(found).__name__
        return Problem(row, column, f"{place}: {raw.folder / path} cannot be read: {reason}; replace the file")
    return found
