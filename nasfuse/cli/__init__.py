"""The command line. Heavy packages are imported inside the commands that need them."""

import atexit
import errno
import gc
import sys
import warnings
from typing import TextIO

#: Errors of the operating system that are caused by a wrong path from the user.
_WRONG_PATH = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)

#: Error numbers of failed writing, which Python reports without a file name.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Runs `nasfuse`. Exit code: 0 on success, 1 if the run failed, 2 if the user can correct the input."""
    from nasfuse.cli.app import app
    from nasfuse.cli.console import explain, program
    from nasfuse.errors import DataWarning, NasfuseError, RunFolderWarning

    atexit.register(gc.freeze)  # else the interpreter looks through all objects several times while it ends
    try:
        with warnings.catch_warnings():  # restores warnings.showwarning
            for category in (DataWarning, RunFolderWarning):
                warnings.filterwarnings("always", category=category)
            warnings.showwarning = _ShowWarning()
            app(prog_name=program())
    except NasfuseError as error:
        explain(str(error))
        sys.exit(error.exit_code)
    except OSError as error:  # for example no permission, a file in the place of a folder, or a full disk
        if error.filename is None and error.errno not in _FULL:
            raise
        explain(f"{error.filename}: {error.strerror}" if error.filename is not None else f"{error.strerror}")
        sys.exit(2 if isinstance(error, _WRONG_PATH) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


_show_other_warning = warnings.showwarning


class _ShowWarning:
    """Prints warnings about data and run folders in one line without their location in the code, others as Python does.

    Each text of these is printed once. The filter "once" of Python forgets texts whenever a filter is changed, as
    pandas and others do while data are read.
    """

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        from nasfuse.cli.console import warn
        from nasfuse.errors import DataWarning, RunFolderWarning

        if not issubclass(category, DataWarning | RunFolderWarning):
            _show_other_warning(message, category, filename, lineno, file, line)
        elif str(message) not in self._shown:
            self._shown.add(str(message))
            warn(str(message))
