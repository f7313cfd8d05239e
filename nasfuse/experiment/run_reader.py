"""Reading a run: its study, its progress and its front, while a search writes or long after."""

from dataclasses import dataclass

import optuna

from nasfuse.domain.knob import with_settings
from nasfuse.errors import RunFolderError
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.front import Candidate, Objectives, candidates_of
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.storage import open_to_read
from nasfuse.search.trial import trials_of
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Attributes:
        folder: The folder.
        study: What was asked.
        objectives: Metric, cost and reference point.
        candidates: Every measured operating point within the study's `max_macs`.
        progress: Counts, front and best.
        searching: Whether a search is writing to the folder now.
    """

    folder: RunFolder
    study: StudyConfig
    objectives: Objectives
    candidates: list[Candidate]
    progress: Progress
    searching: bool

    @property
    def why_empty(self) -> str:
        """Returns what a front without members lacks, to follow the name of the run."""
        above = self.progress.n_above_limit
        if not above:
            return "has no finished trial yet"
        return f"has no operating point of at most max_macs {self.objectives.max_macs} in its {above} finished trials"

    def recipe(self, candidate: Candidate) -> Recipe:
        """Returns the recipe of an operating point: trained, it spends what was spent there.

        Its knobs are written as what holds after training. Which samples a router sends where is learned, so a
        threshold between its ends costs something else in another training; what it costs is kept instead
        (`router.macs`), and the threshold set for that on validation data. Its data are where the study has them.

        Raises:
            MissingFileError: The trial's folder is gone.
            InvalidInputError: A knob has no place in the recipe.
        """
        settings = candidate.measured.settings
        plain = {**self.folder.recipe(candidate.trial).to_plain(), "data": self.study.data.to_plain()}
        if "threshold" in settings:
            macs = None
            if 0 < settings["threshold"] < 1 or "route" not in candidate.measured.knobs:  # static in some trainings
                del settings["threshold"]
                macs = candidate.measured.macs
            plain["network"]["router"]["macs"] = macs
        plain = with_settings(plain, settings)
        return Recipe.parse(plain, source=f"the recipe of trial {candidate.trial}")


def read_run(folder: RunFolder) -> Run:
    """Returns what `folder` holds; writes nothing.

    Raises:
        MissingFileError: The folder holds no run.
        RunFolderError: The storage is damaged, or the search has not started.
    """
    study = folder.read_study()
    url = folder.storage_url(study)
    if study.storage is None and not (folder.root / "study.db").is_file():
        raise RunFolderError(f"{folder.root} has no study.db yet; the search has not started. Run it first.")
    storage = open_to_read(url)
    try:
        stored = optuna.load_study(study_name=study.name, storage=storage)
    except KeyError as error:
        raise RunFolderError(f"{url} holds no study {study.name!r}; run the search first") from error
    objectives = Objectives.from_study(stored)
    trials = trials_of(stored)
    progress = summarise(trials, objectives)
    candidates = candidates_of(trials, max_macs=objectives.max_macs)
    return Run(folder, study, objectives, candidates, progress, folder.is_locked())
