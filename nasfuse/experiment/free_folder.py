"""Whether a search may write to its folder and to its storage."""

from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.live_drivers import can_be_shared
from nasfuse.search.storage import check_storage
from nasfuse.spec.study import StudyConfig


def check_free(folder: RunFolder, study: StudyConfig) -> None:
    """Checks that a search of `study` may write to `folder` and to its storage; reads no data and creates no file.

    Raises:
        RunFolderError: The folder cannot be written, another search is writing to it and does not share its study, or
            the storage cannot be opened.
    """
    folder.check_writable()
    if study.storage is not None:
        check_storage(study.storage)
    if not is_shared(study):
        folder.check_unlocked()


def is_shared(study: StudyConfig) -> bool:
    """Returns whether several drivers may write to the study at a time."""
    return study.storage is not None and can_be_shared(study.storage)
