"""A search from start to end: data, space, scheduler, workers and the files of the run."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from nasfuse.backends.base import Backend, OpenBackend, too_small
from nasfuse.backends.beginning import take_begun
from nasfuse.backends.interrupts import is_ending
from nasfuse.backends.objective import Objective
from nasfuse.data import Dataset
from nasfuse.data.mapped_table import share_table
from nasfuse.data.validation_classes import check_validation_classes
from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import get_metric
from nasfuse.errors import InvalidInputError, RecurringFailureError, counted
from nasfuse.experiment.affordable_designs import coarsen_designs
from nasfuse.experiment.countdown import Countdown
from nasfuse.experiment.driver import Observer, SearchDriver
from nasfuse.experiment.ensembles import update_ensembles
from nasfuse.experiment.free_folder import check_free, is_shared
from nasfuse.experiment.front_measurement import measure_front
from nasfuse.experiment.idle_settings import data_warnings_once, warn_of_idle_elastic, warn_of_idle_settings
from nasfuse.experiment.objective import Training, cached_dataset, cached_table
from nasfuse.experiment.plain_models import constant_score
from nasfuse.experiment.run_folder import RunFolder, drop_scratch, scratch_of, shared_data_of
from nasfuse.experiment.space_survey import SpaceSurvey, known_cost_of, macs_of
from nasfuse.experiment.training_files import saved_progress
from nasfuse.experiment.training_time import TimeLimit
from nasfuse.experiment.trial_files import TrialFiles
from nasfuse.search.budget import Budget, End, end_by_time, measuring_s
from nasfuse.search.hand_made_designs import LARGEST_RATIO, LONGEST_SHARE, HandMadeDesigns
from nasfuse.search.lease import leased
from nasfuse.search.live_drivers import joined, new_token
from nasfuse.search.patience import Patience
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.scheduler import Scheduler
from nasfuse.search.space import Space
from nasfuse.search.storage import open_storage
from nasfuse.spec.study import ResourcesConfig, StudyConfig
from nasfuse.train import check_training
from nasfuse.train.preconditions import ROUTER_WITH_FOLDS

if TYPE_CHECKING:
    from nasfuse.backends.workers_ahead import WorkersAhead


class Display(Observer, Protocol):
    """Shows a search while it runs."""

    def phase(self, text: str) -> None:
        """Called when a part of the search begins that trains nothing, with what is done in it ("reading the data")."""

    def ready(self, dataset: Dataset, *, workers: int, progress: Progress, seconds: float) -> None:
        """Called when the workers are up, before the first trial; earlier sessions took `seconds`."""

    def note(self, text: str) -> None:
        """Called with a message about the search as a whole."""


def run_search(
    study: StudyConfig,
    folder: RunFolder,
    *,
    display: Display,
    address: str | None = None,
    retry_failed: bool = False,
    objective: Objective | None = None,
    open_backend: OpenBackend | None = None,
    ahead: "WorkersAhead | None" = None,
) -> Progress:
    """Runs `study` in `folder` until its budget is spent; a search that is in the folder is continued.

    Args:
        study: Configuration of the study.
        folder: New folder, or folder of the same study.
        display: Output of progress and messages.
        address: Address of a Ray cluster; None starts Ray on this machine.
        retry_failed: Whether trainings that failed in earlier sessions are run again.
        objective: Function that trials call; None trains their recipes.
        open_backend: Function that starts the backend; None is Ray, at `address`.
        ahead: Workers that have started on this machine; None starts them.

    Raises:
        DataError: The data violate the data contract.
        ConfigError: The space is invalid for the recipe or the data.
        InvalidInputError: No network of the space can be trained on the data, or none is below `max_macs`, or this
            machine is too small for a trial, or `robust_metric` is set for data of one modality.
        RunFolderError: The folder holds another study, or another search is writing to it.
        Exhausted: All suggestions were rejected.
        RecurringFailureError: One training after another failed.

    Warns:
        DataWarning: A setting has no effect in all surveyed networks of the space; for a new run folder only, as all
            warnings about data.
    """
    get_metric(study.objective, study.data.task)
    check_free(folder, study)  # before anything is read
    if open_backend is None and address is None and not folder.study_file.is_file():
        check_machine(study.resources)  # a study that is refused claims no folder
    display.phase("reading the data")
    with data_warnings_once(told=folder.study_file.is_file()):
        dataset = cached_dataset(study.data.model_dump_json())
        check_validation_classes(partial(cached_dataset, study.data.model_dump_json()), study.data)
        if study.robust_metric is not None and len(dataset.modalities) < 2:
            raise InvalidInputError(
                "robust_metric: the data have one modality, and without it nothing is left; remove it"
            )
        display.phase("building networks of the space")
        space = make_space(study, dataset)
        folder.check(study)  # after the problems of the study itself
        survey = SpaceSurvey(study, space, dataset)
        warn_of_idle_settings(survey.recipes, dataset)
        warn_of_idle_elastic(space.constants.get("elastic", {}), survey.recipes)
    time_limit = TimeLimit(study, dataset, survey.recipes)
    coarser = coarsen_designs(space, time_limit, survey.designs)
    with ExitStack() as stack:
        token = new_token() if is_shared(study) else None
        own = stack.enter_context(folder.locked(driver=token))
        storage = open_storage(folder.storage_url(study))  # before `claim`, so that a wrong address claims no folder
        stack.callback(storage.engine.dispose)  # SQLite then moves its write-ahead log into the file
        folder.check_storage(study, [held.study_name for held in storage.get_all_studies()])
        check, drivers = None, None
        if token is not None:
            drivers = stack.enter_context(
                joined(storage, study.name, token=token, is_near=lambda other: folder.of_driver(other).is_dir())
            )
            check = drivers.check
            folder.drop_dead_drivers(live=drivers.live)
        elif study.storage is not None:  # other folders, on other machines, may use it, too
            check = stack.enter_context(leased(storage, study.name, note=display.note)).check
        scheduler = Scheduler(
            storage,
            study,
            space,
            macs_of=lambda recipe: macs_of(recipe, dataset),
            full_macs_of=lambda recipe: macs_of(recipe, dataset, route=-1),
            reference=lambda: _reference(study, survey, dataset),
            check=lambda recipe: check_training(recipe, dataset),
            check_macs=time_limit.check,
            seconds_of=time_limit.seconds if time_limit.is_set and study.budget.trials is None else None,
            fingerprint=dataset.fingerprint,
            saved_epochs=lambda number: saved_progress(folder.trial(number)),
            take_begun=lambda number: take_begun(folder.trial(number)),
            patience=Patience(note=display.note, is_ending=is_ending),
            retry_failed=retry_failed,
            drivers=drivers,
        )
        folder.claim(study)  # after the scheduler has checked the data of the study
        if scheduler.wants_more(running=0):
            for note in _left_out(survey):
                display.note(note)
            if study.budget.minutes is not None:
                display.note(_time_of_the_end(study))
            if coarser:
                display.note(
                    "made coarser (larger strides or fewer epochs), to fit the time: "
                    f"{counted(len(coarser), 'hand-made design')}"
                )
            if too_long := [name for name in time_limit.above(survey.designs) if name not in coarser]:
                display.note(
                    "hand-made designs that are left out, as their training would take more than a third of the time: "
                    f"{'; '.join(too_long)}"
                )
            for sentence in _postponed(scheduler.designs):
                display.note(sentence)
            opening = open_backend or _open_ray(address, ahead)
            _run(
                study,
                folder,
                scheduler,
                dataset,
                own=own,
                display=display,
                objective=objective,
                open_backend=opening,
                check=_both(stack.enter_context(folder.in_place()), check),
            )
        else:
            drop_scratch(own)  # of a search that was killed
        if objective is None:
            if drivers is not None:
                stack.enter_context(folder.ending())
            allowed_s = measuring_s(scheduler.seconds)
            display.phase(f"measuring the front, for about {allowed_s:.0f} s at most")
            countdown = Countdown(allowed_s)
            front = update_ensembles(folder, study, scheduler.trials(), scheduler.objectives)
            left_out = measure_front(folder, study, front, countdown=countdown)
            if left_out is not None:
                display.note(left_out)
        return summarise(scheduler.trials(), scheduler.objectives)


def _times_deployed(study: StudyConfig, display: Display) -> bool:
    """Returns whether trials time their networks as ONNX graphs, and says why not where latency is the cost."""
    if study.cost != "latency_s":
        return False
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if study.resources.gpus_per_trial > 0:
        display.note("cost latency_s is that of eager PyTorch on the GPU, since ONNX graphs are timed on the CPU alone")
    elif absent:
        display.note(
            f"cost latency_s is that of eager PyTorch, since {' and '.join(absent)} cannot be imported: "
            "pip install 'nasfuse[onnx]' times networks as they are deployed"
        )
    return study.resources.gpus_per_trial == 0 and not absent


def check_machine(resources: ResourcesConfig) -> None:
    """Checks that a trial fits on this machine.

    Raises:
        InvalidInputError: It needs more cores, or more GPUs, than there are.
    """
    if resources.cpus_per_trial > (os.cpu_count() or 1) or resources.gpus_per_trial > torch.cuda.device_count():
        raise too_small(resources)


def _open_ray(address: str | None, ahead: "WorkersAhead | None") -> OpenBackend:
    from nasfuse.backends.ray import open_ray  # takes seconds; imported after the checks

    return partial(open_ray, address=address, ahead=ahead)


def _run(
    study: StudyConfig,
    folder: RunFolder,
    scheduler: Scheduler,
    dataset: Dataset,
    *,
    own: Path,
    display: Display,
    objective: Objective | None,
    open_backend: OpenBackend,
    check: Callable[[], None],
) -> None:
    resources = study.resources
    shared_table = shared_data_of(own).absolute() / dataset.fingerprint  # a process maps a path only once
    default = Training(
        threads=resources.cpus_per_trial,
        on_cuda=resources.gpus_per_trial > 0,
        shared_table=shared_table,
        select_by=study.select_by,
        without_each=study.robust_metric is not None,
        epoch_s=None if resources.epoch_minutes is None else 60 * resources.epoch_minutes,
        deployed_latency=_times_deployed(study, display),
    )
    if objective is None:
        share_table(cached_table(study.data.model_dump_json()), shared_table)
    display.phase("starting workers")
    opening = open_backend(objective or default, resources=resources, folder_of=folder.trial, scratch=scratch_of(own))
    with opening as backend:
        n_workers = _n_workers(resources, backend, display)
        files = TrialFiles(folder)
        driver = _new_driver(scheduler, n_workers=n_workers, files=files, display=display, check=check)
        display.ready(dataset, workers=driver.n_workers, progress=driver.progress, seconds=scheduler.seconds)
        try:
            driver.run(backend)
        except RecurringFailureError as error:
            raise RecurringFailureError(
                f"{error} (its folder: {folder.trial(error.trial)})", trial=error.trial
            ) from error
        finally:
            drop_scratch(own)
        if scheduler.exhausted:
            display.note(
                "every network of the space that may be trained was trained: the search ends before its budget"
            )
        elif (end := end_by_time(study.budget, trainings=driver.progress.done)) is not None:
            display.note(end)


def _both(in_place: Callable[[], None], check: Callable[[], None] | None) -> Callable[[], None]:
    """Returns the check of a driver: that its run folder is `in_place`, and `check`."""

    def both() -> None:
        in_place()
        if check is not None:
            check()

    return both


def _left_out(survey: SpaceSurvey) -> Iterator[str]:
    """Yields sentences on the hand-made designs that are not trained; cross-validation has none with a router."""
    others = dict(survey.left_out)
    routed = others.pop(ROUTER_WITH_FOLDS, [])
    if routed:
        designs = counted(len(routed), "hand-made design")
        yield (
            f"networks with a router are not searched ({designs} among them): cross-validation leaves no validation "
            "samples to set a router on"
        )
    if others:
        groups = [f"{'; '.join(names)} ({reason})" for reason, names in others.items()]
        yield f"hand-made designs that cannot be trained here: {'; '.join(groups)}"


def _postponed(designs: HandMadeDesigns) -> Iterator[str]:
    """Yields a sentence for each reason for which hand-made designs are not trained before the suggestions."""
    if designs.postponed:
        costly = [f"{name} ({count:,} MACs)" for name, count in designs.postponed.items()]
        yield (
            f"not trained before the suggestions, as more than {LARGEST_RATIO:g} times as costly as the median "
            f"hand-made design: {'; '.join(costly)}"
        )
    if designs.too_long:
        long = [
            f"{name} (about {seconds:.0f} s)"
            for name, seconds in sorted(designs.too_long.items(), key=lambda one: one[1])
        ]
        yield (
            f"not trained before the suggestions, as training takes more than a {1 / LONGEST_SHARE:.0f}th of the time: "
            + (long[0] if len(long) == 1 else f"{len(long)} hand-made designs, from {long[0]} to {long[-1]}")
        )


def _time_of_the_end(study: StudyConfig) -> str:
    """Returns a sentence on what a budget in minutes limits, and when the last trainings end."""
    minutes = study.budget.minutes or 0.0
    budget, spent = Budget.from_config(study.budget), 60 * minutes
    if study.data.validation is None:
        later = budget.left_s(End.SHORTENED, seconds=spent) or 0.0
        last = f"one that would still run {later:.0f} s later ends with the epoch it is in"
    else:
        later = budget.left_s(End.STOPPED, seconds=spent) or 0.0
        last = f"one that still runs {later:.0f} s later is stopped when its fold ends"
    return (
        f"no training starts after {minutes:g} min; {last}, and then the front is measured for about "
        f"{measuring_s(spent):.0f} s at most"
    )


def _n_workers(resources: ResourcesConfig, backend: Backend, display: Display) -> int:
    """Returns the number of trials that run at a time at most: the requested number.

    It is limited to the trials that fit on this machine. A cluster may grow to the requested number.
    """
    fitting = backend.capacity
    count = resources.workers or max(fitting, 1)
    if fitting >= count:
        return count
    display.note(
        f"workers: {count} were asked for, and {counted(fitting, 'trial')} of "
        f"{counted(resources.cpus_per_trial, 'core')} and {resources.gpus_per_trial:g} GPUs can run at a time "
        + ("there now; more run when nodes join" if backend.can_grow else f"here; {counted(fitting, 'worker')} used")
    )
    return count if backend.can_grow else fitting


def _new_driver(
    scheduler: Scheduler, *, n_workers: int, files: TrialFiles, display: Display, check: Callable[[], None]
) -> SearchDriver:
    """Returns the driver; displays a note if the study uses fewer workers than `n_workers`."""
    driver = SearchDriver(scheduler, n_workers=n_workers, observers=(files, display), note=display.note, check=check)
    if driver.n_workers < n_workers:
        display.note(
            f"workers: {n_workers} are available, and this study has at most "
            f"{counted(driver.n_workers, 'training')} under way, "
            f"as it was started with fewer workers; {driver.n_workers} are used, more need a new study (-o)"
        )
    return driver


def make_space(study: StudyConfig, dataset: Dataset) -> Space:
    """Returns the search space of a study, expanded for the modalities and the number of training samples."""
    base = {"metric": study.metric, "data": study.data.to_plain()}
    return Space(
        study.space.for_samples(len(dataset.train)),
        dataset.modalities,
        base=base,
        fixed=study.fixed,
        source=f"the space of study {study.name}",
    )


def _reference(study: StudyConfig, survey: SpaceSurvey, dataset: Dataset) -> tuple[float, float]:
    """Returns the reference point: (metric of a constant prediction, largest cost of the surveyed networks)."""
    validation = study.data.validation
    data, numbers = study.data.model_dump_json(), range(1 if validation is None else validation.folds)
    metric = constant_score([cached_dataset(data, number) for number in numbers], study.objective)
    fixed = COSTS[study.cost].reference
    if fixed is not None:
        return metric, fixed
    return metric, float(max(known_cost_of(recipe, dataset, study.cost) for recipe in survey.recipes))
