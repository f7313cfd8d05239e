"""Folder of a run: paths of its files, its lock, and its study."""

import fcntl
import os
import shutil
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from nasfuse.backends.beginning import drop_mark
from nasfuse.errors import ConfigError, MissingFileError, NasfuseError, RunFolderError
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.folder_format import FORMAT_FILE, check_folder_format, write_format
from nasfuse.search.storage import sqlite_url
from nasfuse.spec.data_source import located
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.schema.yaml_file import read_document
from nasfuse.spec.study import StudyConfig

#: Folder with a folder for each of the drivers that share a study.
_DRIVERS = ".drivers"


class RunFolder:
    """Files of a run.

    Attributes:
        root: Path of the folder.
    """

    def __init__(self, root: Path) -> None:
        """Stores the path; the folder is neither read nor created."""
        self.root = root
        self._is_claimed = False

    @property
    def study_file(self) -> Path:
        """Path of the study file, in which all fields are written out."""
        return self.root / "study.yaml"

    @property
    def report_file(self) -> Path:
        """Path of the self-contained HTML report."""
        return self.root / "report.html"

    @property
    def robustness_file(self) -> Path:
        """Path of the file with the metrics of the front without each modality."""
        return self.root / "robustness.json"

    @property
    def details_file(self) -> Path:
        """Path of the file with what the points of the front do on validation data."""
        return self.root / "point_details.json"

    @property
    def latency_file(self) -> Path:
        """Path of the file with the times of the front as it is deployed."""
        return self.root / "latency.json"

    @property
    def macs_file(self) -> Path:
        """Path of the file with the MACs of the front, in closed form and counted."""
        return self.root / "macs.json"

    @property
    def plain_models_file(self) -> Path:
        """Path of the file with the validation metrics of models without a search."""
        return self.root / "plain_models.json"

    @property
    def ensembles_file(self) -> Path:
        """Path of the file with the ensembles on the front."""
        return self.root / "ensembles.json"

    def network(self, number: int) -> Path:
        """Returns the path of the checkpoint of a trial; all complete trainings have one, except cross-validations."""
        return self.trial(number) / "model.pt"

    def networks(self, number: int) -> list[Path]:
        """Returns the checkpoints of a trial that exist: its network, or those of the folds of a cross-validation."""
        if self.network(number).is_file():
            return [self.network(number)]
        folds = self.trial(number).glob("fold*/model.pt")
        return sorted(folds, key=lambda path: int(path.parent.name.removeprefix("fold")))

    def trial(self, number: int) -> Path:
        """Returns the path of the folder of a trial."""
        return self.root / "trials" / str(number)

    def recipe(self, number: int) -> Recipe:
        """Returns the recipe of a trial.

        Raises:
            MissingFileError: The run has no such trial.
        """
        return Recipe.load(self.trial(number) / "recipe.yaml")

    def storage_url(self, study: StudyConfig) -> str:
        """Returns the URL of the storage of `study`."""
        return study.storage or sqlite_url(self.root / "study.db")

    def read_study(self) -> StudyConfig:
        """Returns the study of this folder.

        Raises:
            MissingFileError: The folder is not a run folder.
            RunFolderError: Another version of nasfuse has written the folder.
            ConfigError: The study file is damaged.
        """
        if not self.study_file.is_file():
            raise MissingFileError(f"{self.root} is not a run folder: it has no study.yaml. Name the folder of a run.")
        check_folder_format(
            self.root, advice="read it with that version, or run the search again with its study.yaml and another -o"
        )
        document = read_document(self.study_file)
        return StudyConfig.parse(located(document.values, named_in=self.study_file), document=document)

    @contextmanager
    def in_place(self) -> Iterator[Callable[[], None]]:
        """Yields a check of the folder, for a search inside the block: that it is still in its place.

        The check raises RunFolderError if it was moved or removed, also if another folder is in its place. The folder
        is kept open, so that its inode has one number also where the file system makes them up.
        """
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            yield partial(self._check_in_place, os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def _check_in_place(self, before: os.stat_result) -> None:
        try:
            is_there = self.study_file.is_file() and os.path.samestat(before, self.root.stat())
        except OSError:
            is_there = False
        if not is_there:
            raise RunFolderError(
                f"{self.root} was moved or removed while its search ran, which has ended; move it back, in place of "
                "what is there now, and run the same command again, which continues it"
            )

    def check_writable(self) -> None:
        """Checks that the folder can be written or created.

        Raises:
            RunFolderError: It cannot be written, or its path is that of a file.
        """
        place = next(one for one in (self.root, *self.root.parents) if one.exists())
        if not place.is_dir():
            what = f"{place} is a file" + (
                ", not a run folder" if place == self.root else f", so {self.root} cannot be"
            )
            raise RunFolderError(f"{what}; choose another with -o")
        if not os.access(place, os.W_OK):
            raise RunFolderError(f"{place} cannot be written; choose another folder with -o")

    def check(self, study: StudyConfig) -> None:
        """Checks that the folder is new or holds `study`; writes nothing.

        Between runs of a study, only budget, resources, max_macs, ensembles and the address of the storage may change.

        Raises:
            RunFolderError: The folder holds another study or other files, or another version of nasfuse has written it.
        """
        if self.study_file.is_file():
            if not any((self.root / mark).is_file() for mark in ("lock", "study.db")):
                raise RunFolderError(
                    f"{self.root} has a study.yaml that no search has written, so it is not a run folder; "
                    "choose another with -o"
                )
            self._check_same(study)
        elif self.root.exists() and not self.is_free():
            raise RunFolderError(f"{self.root} exists and is not a run folder; choose another with -o")

    def check_storage(self, study: StudyConfig, names: Iterable[str]) -> None:
        """Checks that the storage, with studies of `names`, has the trials of this folder.

        Raises:
            RunFolderError: The folder has trials, and the storage has no study of that name.
        """
        if study.name in names or not (self.root / "trials").is_dir():
            return
        raise RunFolderError(
            f"{self.root} has trials of {study.name}, but its storage has no study of this name; correct storage, or "
            "choose another folder with -o"
        )

    def is_free(self) -> bool:
        """Returns whether the folder, which exists, holds only files of a search that ended before it claimed it."""
        names = {entry.name for entry in self.root.iterdir()}
        of_search = ("lock", "study.db", FORMAT_FILE, "data.", _DRIVERS)
        return not names or ("lock" in names and all(name.startswith(of_search) for name in names))

    def claim(self, study: StudyConfig) -> None:
        """Creates the folder and writes the study file.

        Raises:
            RunFolderError: See `check`. Nothing is overwritten.
        """
        self.check(study)
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "lock").touch()
        write_format(self.root)
        self._is_claimed = True
        write_text(self.study_file, study.to_yaml())

    def _check_same(self, study: StudyConfig) -> None:
        try:
            held = self.read_study()
        except ConfigError as error:
            raise RunFolderError(f"{self.root} holds a study.yaml that cannot be read: {error}") from error
        before, now = held.identity, study.identity
        changed = [key for key in now.keys() | before.keys() if now.get(key) != before.get(key)]
        if changed:
            verb = "differs" if len(changed) == 1 else "differ"
            raise RunFolderError(
                f"{self.root} holds another study: {', '.join(sorted(changed))} {verb}. Choose another folder with -o, "
                "or remove that one if it is not needed."
            )

    def of_driver(self, token: str) -> Path:
        """Returns the path of the folder of one of several drivers, which exists while it runs."""
        return self.root / _DRIVERS / token

    def check_unlocked(self) -> None:
        """Checks that no other search is writing to the folder; creates nothing.

        Raises:
            RunFolderError: One is.
        """
        if self.is_locked():
            raise self._locked_error()

    def _locked_error(self) -> RunFolderError:
        return RunFolderError(
            f"another search is writing to {self.root}; wait for it, or watch it with nasfuse status {self.root}"
        )

    @contextmanager
    def locked(self, *, driver: str | None = None) -> Iterator[Path]:
        """Locks the folder for a search inside the block; the lock is released when the process ends in any way.

        Yields the path of the folder for the files that are needed only while this search runs. A folder that is
        created here is removed if an error ends the block before the folder is claimed.

        Args:
            driver: Token of one of several drivers; None if this process is the only one that may write.

        Raises:
            RunFolderError: Another search is writing to it, and it is not one of several.
        """
        was_there = self.root.exists()
        self.root.mkdir(parents=True, exist_ok=True)
        own = self.root if driver is None else self.of_driver(driver)
        own.mkdir(parents=True, exist_ok=True)
        (self.root / "lock").touch()
        with (own / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise self._locked_error() from error
            try:
                try:
                    yield own
                finally:
                    if driver is not None:
                        shutil.rmtree(own, ignore_errors=True)
            except NasfuseError:
                if not was_there:
                    self.drop_unclaimed()
                raise

    def drop_unclaimed(self) -> None:
        """Removes what a search that was refused has written, if this one has not claimed the folder."""
        if self._is_claimed:
            return
        with suppress(OSError):  # another driver is in it, or there is none
            (self.root / _DRIVERS).rmdir()
        with suppress(OSError):  # the folder has been moved, or can no longer be written
            for name in ("study.db", "study.db-shm", "study.db-wal"):
                (self.root / name).unlink(missing_ok=True)
            if [entry.name for entry in self.root.iterdir()] == ["lock"]:  # which says whose the other files are
                (self.root / "lock").unlink()
                self.root.rmdir()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Waits until no other driver is inside the block, which writes what belongs to the study as a whole."""
        with (self.root / "lock").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def is_locked(self) -> bool:
        """Returns whether a search is writing to the folder."""
        return any(_is_locked(file) for file in (self.root / "lock", *(self.root / _DRIVERS).glob("*/lock")))

    def drop_dead_drivers(self, *, live: Container[str]) -> None:
        """Removes the folders of drivers that were killed; `live` are the tokens of those that were not."""
        for file in (self.root / _DRIVERS).glob("*/lock"):
            if file.parent.name not in live and not _is_locked(file):
                shutil.rmtree(file.parent, ignore_errors=True)

    def drop_progress(self, number: int) -> None:
        """Removes the progress file of a training that will not be resumed, and the networks of its finished folds."""
        folder = self.trial(number)
        drop_mark(folder)
        for file in (*folder.rglob("resume.pt"), *folder.glob("fold*/model.pt")):
            file.unlink()


def _is_locked(file: Path) -> bool:
    try:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def scratch_of(own: Path) -> Path:
    """Returns the folder of the backend's files, in what `RunFolder.locked` yields."""
    return own / ".tune"


def shared_data_of(own: Path) -> Path:
    """Returns the folder of the data that the workers of a search share, in what `RunFolder.locked` yields."""
    return own / ".data"


def drop_scratch(own: Path) -> None:
    """Removes the files of the backend, and the data that its workers share."""
    shutil.rmtree(scratch_of(own), ignore_errors=True)
    shutil.rmtree(shared_data_of(own), ignore_errors=True)
