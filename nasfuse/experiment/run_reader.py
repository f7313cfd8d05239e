"""Reading of a run (study, progress and front), during a search or after it."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import optuna
from optuna.storages import RDBStorage

from nasfuse.domain.knob import parted, with_settings
from nasfuse.domain.metric import metric_text
from nasfuse.errors import RunFolderError, counted
from nasfuse.experiment.damaged_part import read_part
from nasfuse.experiment.ensembles_file import read_ensembles
from nasfuse.experiment.plain_comparison import PlainScores, read_plain_scores
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.training_position import epochs_so_far
from nasfuse.search.front import Candidate, Objectives, allowed_candidates, best, front_of
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.storage import open_to_read
from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.trial import TrialView
from nasfuse.search.views import trials_of
from nasfuse.spec.ensemble import AnyRecipe, EnsembleRecipe, MemberConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig


@dataclass(frozen=True)
class Run:
    """Content of a run folder.

    Attributes:
        folder: Folder of the run.
        study: Configuration of the study.
        objectives: Metric, cost and reference point.
        candidates: All measured operating points within `max_macs` and `robust_metric` of the study, and the ensembles
            on the front.
        progress: Counts, front and best points.
        searching: Whether a search is writing to the folder.
        plain: Validation metrics of models without a search; None before the end of a search.
        trials: All trials of the study.
        seconds: Wall-clock time that the search has taken, over all sessions.
    """

    folder: RunFolder
    study: StudyConfig
    objectives: Objectives
    candidates: list[Candidate]
    progress: Progress
    searching: bool
    plain: PlainScores | None = None
    trials: tuple[TrialView, ...] = ()
    seconds: float = 0.0

    @property
    def epochs_under_way(self) -> int:
        """Number of epochs that trainings which run, or were interrupted, have run so far."""
        running = [trial.number for trial in self.trials if trial.is_running]
        return sum(epochs_so_far(self.folder.trial(number)) for number in running)

    @property
    def epochs_text(self) -> str:
        """Returns the epochs that were run and saved as text."""
        spent = f"{self.progress.epochs_spent} spent, {self.progress.epochs_saved} saved"
        if not self.epochs_under_way:
            return spent
        return f"{spent}, {self.epochs_under_way} in trainings that {'run' if self.searching else 'were interrupted'}"

    @property
    def why_empty(self) -> str:
        """Returns what a front without members lacks, to follow the name of the run."""
        above = self.progress.n_above_limit
        if self.candidates:
            constant = metric_text(self.objectives.reference[0])
            return f"has no point that is better than a constant prediction ({self.objectives.metric} {constant})"
        if self.progress.n_not_robust:
            limit = metric_text(self.objectives.robust_metric or 0.0)
            return (
                f"has no point whose {self.objectives.metric} reaches robust_metric {limit} without any one modality, "
                f"in {counted(self.progress.n_not_robust, 'network')}"
            )
        if not above:
            return "has no finished trial yet"
        trials = counted(above, "finished trial")
        return f"has no operating point of at most max_macs {self.objectives.max_macs} in its {trials}"

    def recipe(self, candidate: Candidate) -> AnyRecipe:
        """Returns the recipe of an operating point; a network trained with it has the cost of the point.

        Knob settings are written to the fields that apply after training. For a router, the same threshold has another
        cost in another training, so the recipe contains the cost (`router.macs`) instead of a threshold between 0 and
        1, and the threshold is determined on validation data. A route that all samples take is named
        (`router.always`). The recipe of a sub-network of an elastic network is that of a network of its size, which is
        trained alone. The data path is that of the study.

        Raises:
            MissingFileError: The recipe file of the trial does not exist.
            InvalidInputError: A knob has no field in a recipe.
        """
        if not candidate.members:
            return self._recipe_of_one(candidate)
        members = [self._recipe_of_one(member) for member in candidate.members]
        return EnsembleRecipe(
            metric=self.study.metric,
            data=self.study.data,
            ensemble=tuple(MemberConfig(network=one.network, training=one.training) for one in members),
        )

    def _recipe_of_one(self, candidate: Candidate) -> Recipe:
        elastic, others = parted(candidate.measured.settings)
        settings: dict[str, Any] = others
        recipe = self.folder.recipe(candidate.trial)
        recipe = recipe.smaller(elastic) if elastic else recipe
        plain = {**recipe.to_plain(), "data": self.study.data.to_plain()}
        if "threshold" in settings:
            macs = None
            if 0 < settings["threshold"] < 1 or "route" not in candidate.measured.knobs:  # static in some trainings
                del settings["threshold"]
                macs = candidate.measured.macs
            plain["network"]["router"]["macs"] = macs
        if "always" in settings:
            settings["always"] = None if settings["always"] < 0 else candidate.measured.knobs["route"]
        if settings.get("always") is not None:  # a limit of MACs would have no effect
            plain["network"]["router"]["macs"] = None
        plain = with_settings(plain, settings)
        return Recipe.parse(plain, source=f"the recipe of trial {candidate.trial}")


@contextmanager
def _without_collection() -> Iterator[None]:
    """Turns off the garbage collector, which would look at all trials again and again while more of them are read."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_without_collection()
def read_run(folder: RunFolder, *, with_parameters: bool = True) -> Run:
    """Returns the content of a run folder; writes nothing.

    Args:
        folder: The run folder.
        with_parameters: Whether the trials have their parameters; only the importance of parameters needs them.

    Raises:
        MissingFileError: The folder is not a run folder.
        RunFolderError: The storage is damaged, the search has not started, or the run is of another version of nasfuse.

    Warns:
        RunFolderWarning: The file of the models without a search is damaged.
    """
    study = folder.read_study()
    url = folder.storage_url(study)
    if study.storage is None and not (folder.root / "study.db").is_file():
        raise RunFolderError(f"{folder.root} has no study.db yet; the search has not started. Run it first.")
    storage = open_to_read(url, with_parameters=with_parameters)
    try:
        return _read(folder, study, url, storage)
    finally:
        storage.engine.dispose()


def _read(folder: RunFolder, study: StudyConfig, url: str, storage: RDBStorage) -> Run:
    try:
        stored = optuna.load_study(study_name=study.name, storage=storage)
    except KeyError as error:
        raise RunFolderError(f"{url} holds no study {study.name!r}; run the search first") from error
    objectives = Objectives.from_study(stored)
    StudyAttributes(stored).check_format()
    trials = trials_of(stored)
    progress = summarise(trials, objectives)
    candidates = allowed_candidates(trials, objectives)
    ensembles = read_ensembles(folder, candidates, max_macs=objectives.max_macs)
    if ensembles:
        candidates += ensembles
        progress = replace(
            progress,
            front=front_of(candidates, objectives),
            best=best(candidates, objectives),
            hypervolume=objectives.hypervolume(candidates),
        )
    plain = read_part(read_plain_scores, folder)
    searching = folder.is_locked()
    seconds = StudyAttributes(stored).seconds + (_since_last_end(trials) if searching else 0.0)
    return Run(folder, study, objectives, candidates, progress, searching, plain, tuple(trials), seconds)


def _since_last_end(trials: Sequence[TrialView]) -> float:
    """Returns the seconds since a training ended, or since the running session started if none has ended in it."""
    running = [one.frozen.datetime_start for one in trials if one.is_running and one.frozen.datetime_start]
    ended = [one.frozen.datetime_complete for one in trials if one.frozen.datetime_complete]
    if not running:
        return 0.0
    return max((datetime.now() - max([min(running), *ended])).total_seconds(), 0.0)
