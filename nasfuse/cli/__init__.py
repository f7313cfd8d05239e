"""The command line. Heavy packages are imported inside the verb that needs them."""

import errno
import sys
import warnings
from typing import TextIO

#: What the operating system says of a path that the user named wrongly.
_WRONG_PATH = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)

#: Said of writing, without the name of the file.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Runs `nasfuse`; exits 0 on success, 1 where running failed, 2 where the user can correct the input."""
    from nasfuse.cli.app import app
    from nasfuse.cli.console import explain
    from nasfuse.errors import DataWarning, NasfuseError

    try:
        with warnings.catch_warnings():  # restores Python's own way of showing warnings
            warnings.filterwarnings("once", category=DataWarning)
            warnings.showwarning = _show_warning
            app()
    except NasfuseError as error:
        explain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:  # no permission, a file where a folder must be, a full disk
        if error.filename is None and error.errno not in _FULL:
            raise
        explain(f"{error.filename}: {error.strerror}" if error.filename is not None else f"{error.strerror}")
        sys.exit(2 if isinstance(error, _WRONG_PATH) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


_show_other_warning = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Prints a warning about the data in one line, without the place in the code; others as Python does."""
    from nasfuse.cli.console import warn
    from nasfuse.errors import DataWarning

    if issubclass(category, DataWarning):
        warn(str(message))
    else:
        _show_other_warning(message, category, filename, lineno, file, line)
