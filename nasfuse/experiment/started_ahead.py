"""What a search starts before PyTorch is loaded and its data are read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nasfuse.experiment.free_folder import check_free
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.spec.study import StudyConfig

if TYPE_CHECKING:
    from nasfuse.backends.workers_ahead import WorkersAhead


@contextmanager
def started_ahead(study: StudyConfig, folder: RunFolder, *, address: str | None) -> "Iterator[WorkersAhead | None]":
    """Yields the workers of a new search on this machine.

    None is yielded for a cluster, for trials that are too large for this machine, and for a search that is continued:
    it may have spent its budget, which is seen when its trials are read.

    Args:
        study: Study of the search.
        folder: Its folder.
        address: Address of a Ray cluster; None for this machine.

    Raises:
        RunFolderError: See `check_free`.
        NasfuseError: Ray does not start on this machine.
    """
    fits = study.resources.cpus_per_trial <= (os.cpu_count() or 1)
    if address is not None or folder.study_file.is_file() or not fits:
        yield None
        return
    check_free(folder, study)
    from nasfuse.backends.workers_ahead import workers_ahead  # imports Ray

    with workers_ahead(study, modules=["nasfuse.experiment.objective", "nasfuse.train.metric_formulas"]) as ahead:
        yield ahead
