"""Data that were handed over in Python, kept in the folder of a run."""

from pathlib import Path

from nasfuse.data import RawTable
from nasfuse.data.sources.handed_over import file_name, keep
from nasfuse.errors import RunFolderError
from nasfuse.experiment.run_folder import RunFolder


def kept_data_file(folder: RunFolder, raw: RawTable) -> Path:
    """Returns the path of the file with the data, which `keep_data` writes."""
    return folder.root.absolute() / file_name(raw)


def keep_data(folder: RunFolder, raw: RawTable) -> None:
    """Writes data from Python into the folder of a run, for the workers of a search and for later commands.

    Raises:
        RunFolderError: The folder holds other files.
        DataError: A study in the folder has other data, or a column cannot be stored.
    """
    has_study = folder.study_file.is_file()
    if not has_study and folder.root.exists() and not folder.is_free():
        raise RunFolderError(f"{folder.root} exists and is not a run folder; choose another folder for the search")
    folder.root.mkdir(parents=True, exist_ok=True)
    (folder.root / "lock").touch()
    keep(raw, kept_data_file(folder, raw), overwrite=not has_study)
