"""Opening the storage of a study: any Optuna storage URL; SQLite is tuned for one writer and many readers."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from sqlalchemy import event, make_url
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from nasfuse.errors import RunFolderError
from nasfuse.search.file_system import on_shared_file_system
from nasfuse.search.optuna_internals import TrialDatabase

_SQLITE = "sqlite:///"

#: Transactions, at most, in which Optuna creates its tables, the version of them, and that of its migrations.
_STEPS_OF_TABLES = 4

#: What to do where the driver of a database is missing, by its module.
_DRIVERS = {
    "psycopg": "pip install 'nasfuse[postgresql]'",
    "pymysql": "pip install 'nasfuse[mysql]'",
    "MySQLdb": "pip install 'nasfuse[mysql]' and let the URL begin with mysql+pymysql://",
}

_UNREADABLE = (SQLAlchemyError, OptunaError, RuntimeError, OSError, ImportError, ValueError)


def sqlite_url(path: Path) -> str:
    """Returns the storage URL of a SQLite file."""
    return f"{_SQLITE}{path.absolute()}"


def with_password(url: str) -> str:
    """Returns a storage URL whose password, if it is `$NAME`, is replaced by that environment variable.

    Raises:
        RunFolderError: The variable is not set.
    """
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        return url  # is refused when it is opened
    password = str(parsed.password or "")
    if not password.startswith("$"):
        return url
    value = os.environ.get(password[1:])
    if value is None:
        raise RunFolderError(
            f"the study's storage {parsed} takes its password from the environment variable "
            f"{password[1:]}, which is not set; export it"
        )
    return parsed.set(password=value).render_as_string(hide_password=False)


def quieten_optuna() -> None:
    """Turns off Optuna's own progress messages."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_storage(url: str) -> RDBStorage:
    """Returns the storage at `url` for writing; creates it if it does not exist. For passwords see `with_password`.

    SQLite uses its write-ahead log, so that `status`, `pareto` and optuna-dashboard can read while a search writes. A
    commit does not flush to disk: a power failure may lose the last trials, but does not damage the file. On a file
    system that machines share, SQLite uses its rollback journal and flushes.

    Raises:
        RunFolderError: The URL is not a storage, the file is damaged, or the server cannot be reached.
    """
    quieten_optuna()
    is_sqlite = url.startswith("sqlite")
    # Connections that a server has cut in the meantime are opened anew.
    options = {"connect_args": {"timeout": 60}} if is_sqlite else {"pool_pre_ping": True}
    url = with_password(url)
    try:
        storage = _connected(url, options)
        if is_sqlite:
            file = Path(make_url(url).database or "").absolute()
            event.listen(
                storage.engine, "connect", _use_journal if on_shared_file_system(file) else _use_write_ahead_log
            )
            storage.engine.dispose()  # closes open connections; the new ones are tuned
            _check_pages(storage)
        storage.get_all_studies()
    except _UNREADABLE as error:
        raise _cannot_open(url, error) from error
    return storage


def check_storage(url: str) -> None:
    """Checks that a storage can be opened; creates no file. For passwords see `with_password`.

    Raises:
        RunFolderError: The URL is not a storage, the file is damaged or its folder is missing, or the server cannot be
            reached.
    """
    file = Path(url.removeprefix(_SQLITE))
    if not url.startswith(_SQLITE) or file.is_file():
        open_storage(url).engine.dispose()
    elif not url.startswith(f"{_SQLITE}file:") and not file.parent.is_dir():  # not a URL in a URL
        raise RunFolderError(
            f"cannot open the study's storage {url}: there is no folder {file.parent}; create it or correct the URL"
        )


def _connected(url: str, options: dict[str, Any]) -> RDBStorage:
    """Returns a storage whose tables exist.

    Of drivers that create the tables at the same time, the slower ones fail, once for each step in which they are made.
    """
    for _ in range(_STEPS_OF_TABLES):
        with suppress(IntegrityError, ProgrammingError):
            return TrialDatabase(url, engine_kwargs=options)
    return TrialDatabase(url, engine_kwargs=options)


def open_to_read(url: str, *, with_parameters: bool = True) -> RDBStorage:
    """Returns the storage at `url` for reading; a SQLite file may be read-only and is not changed. See `with_password`.

    Without their parameters, trials are read in two thirds of the time.

    Raises:
        RunFolderError: The URL is not a storage, the file is damaged, or the server cannot be reached.
    """
    quieten_optuna()
    url = with_password(url)
    try:
        if not url.startswith(_SQLITE):
            storage = TrialDatabase(url)
            storage.reads_parameters = with_parameters
            return storage
        path = Path(url.removeprefix(_SQLITE))
        # In a folder without write permission SQLite cannot create its log files and must be told to do without.
        immutable = "" if os.access(path.parent, os.W_OK) else "&immutable=1"
        storage = TrialDatabase(
            f"{_SQLITE}file:{quote(str(path))}?mode=ro{immutable}&uri=true", skip_table_creation=True
        )
        storage.reads_parameters = with_parameters
        _check_pages(storage)
    except _UNREADABLE as error:
        raise _cannot_open(url, error) from error
    return storage


def _cannot_open(url: str, error: Exception) -> RunFolderError:
    cause = error.__cause__ or error
    reason = str(cause).splitlines()[0]
    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        shown = url
    if isinstance(cause, ModuleNotFoundError) and cause.name in _DRIVERS:
        return RunFolderError(f"the study's storage {shown} needs a driver: {_DRIVERS[cause.name]}")
    return RunFolderError(f"cannot open the study's storage {shown}: {reason}; check the file or the URL")


def _check_pages(storage: RDBStorage) -> None:
    with storage.engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise ValueError(f"the file is damaged: {' '.join(str(found).split())}")


def _use_write_ahead_log(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _use_journal(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=DELETE")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
