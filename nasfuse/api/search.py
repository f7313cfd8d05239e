"""`nasfuse.search`: a search from Python."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from nasfuse.api.draft import drafted, raw_of, source_of
from nasfuse.api.run import SearchRun, load_run
from nasfuse.api.wording import errors_in_python, in_python
from nasfuse.backends.outcome import Outcome
from nasfuse.cli.console import doing, new_console
from nasfuse.cli.data_bar import data_bar
from nasfuse.cli.live import LiveDisplay
from nasfuse.data import Dataset
from nasfuse.data.raw_table import RawTable
from nasfuse.data.sources.registry import READERS
from nasfuse.errors import InvalidInputError, RunFolderWarning, listed
from nasfuse.experiment.damaged_part import read_part
from nasfuse.experiment.free_folder import check_free
from nasfuse.experiment.handed_over_data import data_kept, kept_data_file
from nasfuse.experiment.macs_check import read_checks
from nasfuse.experiment.no_result import no_result
from nasfuse.experiment.run import Display, run_search
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.run_reader import read_run
from nasfuse.experiment.started_ahead import started_ahead
from nasfuse.report.run_files import write_run_files
from nasfuse.search.assignment import Assignment
from nasfuse.search.progress import Progress
from nasfuse.spec.study import StudyConfig


def search(
    study: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    data: Any = None,
    target: str | Sequence[str] | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    max_macs: int | None = None,
    workers: int | None = None,
    seed: int | None = None,
    output: str | os.PathLike[str] | None = None,
    address: str | None = None,
    progress: bool = True,
) -> SearchRun:
    """Runs a search and returns its results; called again with the same arguments, it continues.

    Args:
        study: Path of a study file, name of a shipped study, or a mapping with the content of a study file. What a
            mapping does not say of `data` is as in `draft_study`. Default: the study that `draft_study` returns.
        data: Data in place of those of the study; see `draft_study`. Objects are written into the folder of the search.
        target: Column or array of the target of data that the study does not describe, or a list of several.
        trials: Maximum number of trainings; `trials` and `minutes` replace the budget of the study.
        minutes: Maximum time in minutes. Trainings that run then end with the epochs that fit in, or are stopped.
        max_macs: Largest number of MACs per sample of a network that is trained.
        workers: Maximum number of parallel trainings. Default: as many as fit.
        seed: Seed of suggestions and trainings.
        output: Folder of the search. Default: `runs/<name of the study>`.
        address: Address of a Ray cluster. Default: this machine.
        progress: Whether to print progress to standard error.

    Raises:
        InvalidInputError: There is neither a study nor data, or nothing can be trained.
        ConfigError: The study is invalid; the error has all its problems.
        DataError: The data violate the data format.
        RunFolderError: The folder holds another study, another search is writing to it, or it cannot be written.
        NoResultError: The search ended without a finished training.

    Example:
        run = nasfuse.search(data={"photo": photos, "notes": notes, "y": labels}, minutes=10)
        run.front
        network = run.network(pick="knee")
    """
    with errors_in_python():
        asked, raw = _asked(study, data, target=target, output=output)
        asked = asked.replaced(trials=trials, minutes=minutes, max_macs=max_macs, workers=workers, seed=seed)
        folder = RunFolder(Path(output) if output is not None else Path("runs") / asked.name)
        if raw is not None:
            file = kept_data_file(folder, raw)
            asked = asked.model_copy(update={"data": asked.data.model_copy(update={"source": str(file)})})
            check_free(folder, asked)
        with (
            nullcontext() if raw is None else data_kept(folder, raw),
            _display(asked, folder, shown=progress) as display,
            started_ahead(asked, folder, address=address) as ahead,
        ):
            found = run_search(asked, folder, display=display, address=address, ahead=ahead)
        if found.best is None:
            raise no_result(found, asked)
        for one in read_part(read_checks, folder) or []:
            if one.check.failed:
                _warn(f"fault of nasfuse: trial {one.label}: {one.check}")
        with doing(new_console(stderr=True), "writing the report") if progress else nullcontext():
            lost = write_run_files(read_run(folder))
        for path, reason in lost.items():
            _warn(f"{path} was not written: {reason}")
        return load_run(folder.root)


def _asked(
    study: str | os.PathLike[str] | Mapping[str, Any] | None,
    data: Any,
    *,
    target: str | Sequence[str] | None,
    output: str | os.PathLike[str] | None,
) -> tuple[StudyConfig, RawTable | None]:
    """Returns the study, and the data that are to be written to a file; None if they are in one."""
    if study is None and data is None:
        raise InvalidInputError("search needs a study, data or both; give one of them")
    _check_no_data(study)
    raw = None if data is None else raw_of(data)
    in_memory = None if data is None or isinstance(data, str | os.PathLike) else raw
    if isinstance(study, str | os.PathLike):
        config = StudyConfig.load(Path(study))
        if target is not None:
            raise InvalidInputError("target is for data without a study file, which names its own; leave it out")
        return (
            config if data is None else config.model_copy(update={"data": config.data.at(source_of(data))})
        ), in_memory
    values = dict(study or {})
    if "data" in values or raw is None:
        if target is not None:
            raise InvalidInputError("target is for data that the study does not describe; set its data.target instead")
        if raw is not None and isinstance(values["data"], Mapping):
            values["data"] = {**values["data"], "source": source_of(data)}
        return StudyConfig.of(values), in_memory
    name = Path(output).name if output is not None else None
    first = drafted(raw, source=source_of(data), target=target, name=name)
    return StudyConfig.of({**first, **values}), in_memory


def _check_no_data(study: Any) -> None:
    """Checks that what was given as the study is not data.

    Raises:
        InvalidInputError: It is a file of data, an object that holds data, or a mapping from names to arrays.
    """
    write = "write nasfuse.search(data=...) for data"
    if isinstance(study, str | os.PathLike):
        if Path(study).suffix.lower() in READERS and Path(study).exists():
            raise InvalidInputError(f"{os.fspath(study)} holds data, and the first argument is a study; {write}")
    elif isinstance(study, Mapping):
        arrays = [str(name) for name, value in study.items() if hasattr(value, "__array__")]
        if arrays:
            raise InvalidInputError(f"the first argument is a study, got arrays called {listed(arrays)}; {write}")
    elif study is not None:
        kind = type(study).__name__
        raise InvalidInputError(f"the first argument is a path, a name or a mapping of a study, got {kind}; {write}")


@contextmanager
def _display(study: StudyConfig, folder: RunFolder, *, shown: bool) -> Iterator[Display]:
    if not shown:
        yield _Silent()
        return
    console = new_console(stderr=True)
    with LiveDisplay(console, study, folder, wording=in_python) as display, data_bar(console):
        yield display


class _Silent:
    """Display that shows nothing."""

    def phase(self, text: str) -> None:
        """Does nothing."""

    def ready(self, dataset: Dataset, *, workers: int, progress: Progress, seconds: float) -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""

    def started(self, assignment: Assignment) -> None:
        """Does nothing."""

    def ended(self, number: int, outcome: Outcome, *, progress: Progress, seconds: float) -> None:
        """Does nothing."""


def _warn(text: str) -> None:
    warnings.warn(text, RunFolderWarning, stacklevel=3)
