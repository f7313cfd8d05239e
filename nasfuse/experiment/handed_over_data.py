"""Data that were handed over in Python, kept in the folder of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasfuse.data import RawTable
from nasfuse.data.sources.handed_over import file_name, keep
from nasfuse.errors import NasfuseError, RunFolderError
from nasfuse.experiment.run_folder import RunFolder


def kept_data_file(folder: RunFolder, raw: RawTable) -> Path:
    """Returns the path of the file with the data, which `data_kept` writes."""
    return folder.root.absolute() / file_name(raw)


@contextmanager
def data_kept(folder: RunFolder, raw: RawTable) -> Iterator[None]:
    """Writes data from Python into the folder of a run, for the workers of a search and for later commands.

    A folder that is created for them is removed if an error ends the block before a search claims it.

    Raises:
        RunFolderError: The folder holds other files, or cannot be written.
        DataError: A study in the folder has other data, or a column cannot be stored.
    """
    was_there = folder.root.exists()
    try:
        _keep(folder, raw)
        yield
    except NasfuseError:
        if not was_there and not folder.study_file.exists() and not folder.is_locked():
            kept_data_file(folder, raw).unlink(missing_ok=True)
            folder.drop_unclaimed()
        raise


def _keep(folder: RunFolder, raw: RawTable) -> None:
    has_study = folder.study_file.is_file()
    if not has_study and folder.root.exists() and not folder.is_free():
        raise RunFolderError(f"{folder.root} exists and is not a run folder; choose another folder for the search")
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        (folder.root / "lock").touch()
        keep(raw, kept_data_file(folder, raw), overwrite=not has_study)
    except OSError as error:
        raise RunFolderError(
            f"{folder.root} cannot be written ({error.strerror}); name another folder with output"
        ) from error
