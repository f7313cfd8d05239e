"""The study's storage: any Optuna storage URL, SQLite tuned for one writer and many readers."""

from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from nasfuse.errors import RunFolderError


def sqlite_url(path: Path) -> str:
    """Returns the storage URL of a SQLite file."""
    return f"sqlite:///{path.absolute()}"


def open_storage(url: str) -> RDBStorage:
    """Returns the storage at `url`, made if it is not there.

    SQLite is put in write-ahead mode, so that status, pareto and optuna-dashboard can read while a search
    writes, and a commit costs no disk flush (a power cut may lose the last trials, never the file).

    Raises:
        RunFolderError: Not a storage, damaged, or out of reach.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    is_sqlite = url.startswith("sqlite")
    options = {"connect_args": {"timeout": 60}} if is_sqlite else {}
    try:
        storage = RDBStorage(url, engine_kwargs=options)
        if is_sqlite:
            event.listen(storage.engine, "connect", _use_write_ahead_log)
            storage.engine.dispose()  # so that every connection from now on is tuned
            _check_pages(storage)
        storage.get_all_studies()
    except (SQLAlchemyError, OptunaError, RuntimeError, OSError, ImportError, ValueError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise RunFolderError(f"cannot open the study's storage {url}: {reason}; check the file or the URL") from error
    return storage


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
