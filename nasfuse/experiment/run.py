"""One search from start to end: data, space, scheduler, workers, and the files of the run."""

from typing import Protocol

import numpy as np
import torch

from nasfuse.backends.base import Objective
from nasfuse.data import Dataset
from nasfuse.data.sources.registry import data_file
from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import get_metric
from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import InvalidInputError, RecurringFailureError
from nasfuse.experiment.idle_settings import warn_of_idle_settings
from nasfuse.experiment.objective import Training, cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.space_survey import SpaceSurvey, macs_of, parameters_of
from nasfuse.search.front import candidates_of, contenders
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.scheduler import Assignment, Scheduler
from nasfuse.search.space import Space
from nasfuse.search.storage import open_storage
from nasfuse.spec.study import ResourcesConfig, StudyConfig
from nasfuse.train import check_training, saved_epochs
from nasfuse.train.metrics import score


class Display(Protocol):
    """Shows a search while it runs."""

    def ready(self, dataset: Dataset, *, workers: int, progress: Progress, seconds: float) -> None:
        """The workers are up; trials start now. Earlier sessions took `seconds`."""

    def note(self, text: str) -> None:
        """Something about the search as a whole that its user should know."""

    def started(self, assignment: Assignment) -> None:
        """A trial was handed to a worker."""

    def changed(
        self,
        progress: Progress,
        seconds: float,
        *,
        number: int,
        failure: str | None = None,
        stopped_after: int | None = None,
    ) -> None:
        """Trial `number` ended, with a result, with the reason why it has none, or stopped after an epoch."""


def run_search(
    study: StudyConfig,
    folder: RunFolder,
    *,
    display: Display,
    address: str | None = None,
    objective: Objective | None = None,
) -> Progress:
    """Runs `study` in `folder` until its budget is spent; continues what is there.

    Args:
        study: What was asked.
        folder: A new folder, or one that holds the same study.
        display: Shown what happens.
        address: Of a Ray cluster; None runs on this machine.
        objective: What a trial does; training, where left out.

    Raises:
        DataError: The data breaks the data contract.
        ConfigError: The space does not fit the recipe or the data.
        InvalidInputError: No network of the space can be trained on the data, or none is below `max_macs`.
        RunFolderError: The folder holds another study, or another search is writing to it.
        Exhausted: No candidate may be trained.
        RecurringFailureError: One training after another failed.

    Warns:
        DataWarning: A setting has no effect in any of many networks drawn from the space.
    """
    get_metric(study.metric, study.data.task)
    folder.check(study)
    dataset = cached_dataset(study.data.model_dump_json())
    space = make_space(study, dataset)
    survey = SpaceSurvey(study, space, dataset)
    warn_of_idle_settings(survey.recipes, dataset)
    with folder.locked():
        storage = open_storage(folder.storage_url(study))  # first, so that a wrong address claims no folder
        scheduler = Scheduler(
            storage,
            study,
            space,
            macs_of=lambda recipe: macs_of(recipe, dataset),
            reference=lambda: _reference(study, survey, dataset),
            check=lambda recipe: check_training(recipe, dataset),
            fingerprint=dataset.fingerprint,
            saved_epochs=lambda number: saved_epochs(folder.trial(number) / "resume.pt"),
        )
        folder.claim(study)  # after the scheduler has seen that these are the data of the study
        if scheduler.wants_more(running=0):
            if survey.left_out:
                display.note(_left_out(survey))
            _run(study, folder, scheduler, dataset, display=display, address=address, objective=objective)
        progress = summarise(scheduler.trials(), scheduler.objectives)
        if not study.inherit:  # a later session needs the donors
            folder.drop_checkpoints_except({member.trial for member in progress.front})
        return progress


def _run(
    study: StudyConfig,
    folder: RunFolder,
    scheduler: Scheduler,
    dataset: Dataset,
    *,
    display: Display,
    address: str | None,
    objective: Objective | None,
) -> None:
    from nasfuse.backends.base import Workers
    from nasfuse.backends.ray import run_trials
    from nasfuse.backends.ray_session import cluster_workers, ray_session

    resources = study.resources
    with ray_session(address):
        fitting = cluster_workers(resources.cpus_per_trial, resources.gpus_per_trial)
        if fitting == 0 and address is None:  # a cluster may still grow
            raise InvalidInputError(
                f"resources: this machine has not the {resources.cpus_per_trial} cores and "
                f"{resources.gpus_per_trial:g} GPUs that one trial needs; ask for less per trial"
            )
        count = _n_workers(resources, fitting, scheduler, display)
        workers = Workers(count, resources.cpus_per_trial, resources.gpus_per_trial)
        watcher = _Watcher(scheduler, folder, display, study=study)
        display.ready(dataset, workers=count, progress=watcher.progress, seconds=scheduler.seconds)
        default = Training(
            threads=resources.cpus_per_trial,
            on_cuda=resources.gpus_per_trial > 0,
            data_file=data_file(study.data),
        )
        try:
            run_trials(
                scheduler,
                objective or default,
                workers=workers,
                folder_of=folder.trial,
                scratch=folder.root / ".tune",
                watcher=watcher,
            )
        except KeyboardInterrupt:
            scheduler.release()
            raise
        except RecurringFailureError as error:
            raise RecurringFailureError(
                f"{error} (its folder: {folder.trial(error.trial)})", trial=error.trial
            ) from error
        finally:
            folder.drop_scratch()
        if scheduler.exhausted:
            display.note(
                "every network of the space that may be trained was trained: the search ends before its budget"
            )


def _left_out(survey: SpaceSurvey) -> str:
    groups = [f"{', '.join(names)} ({reason})" for reason, names in survey.left_out.items()]
    return f"left out, as their training would fail at its start: {'; '.join(groups)}"


def _n_workers(resources: ResourcesConfig, fitting: int, scheduler: Scheduler, display: Display) -> int:
    """Returns how many trials run at a time: not more than fit, and not more than the study allows.

    A cluster that has no room yet is expected to grow to what was asked for.
    """
    count = resources.workers or max(fitting, 1)
    if 0 < fitting < count:
        display.note(
            f"workers: {count} were asked for, and {fitting} trials of {resources.cpus_per_trial} cores and "
            f"{resources.gpus_per_trial:g} GPUs run at a time here; {fitting} workers are used"
        )
        count = fitting
    scheduler.fix_visibility_lag(workers=count)
    if scheduler.visibility_lag < count:
        display.note(
            f"workers: {count} are available, and this study has at most {scheduler.visibility_lag} trainings under "
            f"way, as it was started with fewer workers; {scheduler.visibility_lag} are used, more need a new study "
            "(-o)"
        )
    return min(count, scheduler.visibility_lag)


class _Watcher:
    """Keeps the progress up to date, the checkpoints few and the display informed."""

    def __init__(self, scheduler: Scheduler, folder: RunFolder, display: Display, *, study: StudyConfig) -> None:
        self._scheduler = scheduler
        self._folder = folder
        self._display = display
        self._study = study
        self._running: set[int] = set()
        self.progress = self._summarise()

    def started(self, assignment: Assignment) -> None:
        self._running.add(assignment.number)
        self._display.started(assignment)

    def finished(self, number: int, measurements: Measurements) -> None:
        self._running.discard(number)
        self.progress = self._summarise()
        if not self._study.inherit:  # or any of them may be a donor
            self._drop_checkpoints()
        self._display.changed(self.progress, self._scheduler.seconds, number=number)

    def _drop_checkpoints(self) -> None:
        candidates = candidates_of(self._scheduler.trials())
        kept = contenders(candidates, self._scheduler.objectives, repeats=self._study.budget.repeats)
        # A running trial may have written its network already, and its result is on the way.
        self._folder.drop_checkpoints_except(kept | self._running)

    def stopped(self, number: int, epoch: int) -> None:
        self._running.discard(number)
        self.progress = self._summarise()
        self._folder.drop_resume_file(number)
        self._display.changed(self.progress, self._scheduler.seconds, number=number, stopped_after=epoch)

    def failed(self, number: int, reason: str) -> None:
        self._running.discard(number)
        self.progress = self._summarise()
        self._display.changed(self.progress, self._scheduler.seconds, number=number, failure=reason)

    def _summarise(self) -> Progress:
        return summarise(self._scheduler.trials(), self._scheduler.objectives)


def make_space(study: StudyConfig, dataset: Dataset) -> Space:
    """Returns the study's space, written out for the modalities of its data."""
    base = {"metric": study.metric, "data": study.data.to_plain()}
    return Space(
        study.space, dataset.modalities, base=base, fixed=study.fixed, source=f"the space of study {study.name}"
    )


def _reference(study: StudyConfig, survey: SpaceSurvey, dataset: Dataset) -> tuple[float, float]:
    """Returns (metric of a constant prediction, cost of the costliest of the surveyed networks)."""
    metric = constant_metric(dataset, study.metric)
    fixed = COSTS[study.cost].reference
    if fixed is not None:
        return metric, fixed
    if study.cost == "macs":
        return metric, float(max(macs_of(recipe, dataset, route=-1) for recipe in survey.recipes))
    return metric, float(max(parameters_of(recipe, dataset) for recipe in survey.recipes))


def constant_metric(dataset: Dataset, metric: str) -> float:
    """Returns what the best constant prediction for the training set scores on val.

    That is the most frequent class, the labels of at least half of the samples, the mean for r2 and the median for
    mae: 0 skill, in the unit of the metric.
    """
    train, val = dataset.train.targets, dataset.val.targets
    if dataset.task.kind == "multiclass":
        logits = torch.bincount(train, minlength=dataset.task.n_outputs).float()
    elif dataset.task.kind == "multilabel":
        logits = train.mean(dim=0) - 0.5
    elif metric == "r2":
        logits = train.mean(dim=0)
    else:
        logits = torch.from_numpy(np.median(train.numpy(), axis=0))
    constant = logits.expand(len(val), -1)
    return score(metric, constant, val, task=dataset.task.kind, target_scale=dataset.target_scale)
