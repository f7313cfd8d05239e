"""One search from start to end: data, space, ledger, workers, and the files of the run."""

from collections.abc import Callable
from typing import Protocol

import optuna
import torch
from optuna.samplers import RandomSampler

from nasfuse.config.measurement import Measurements
from nasfuse.config.metric import get_metric
from nasfuse.config.recipe import Recipe
from nasfuse.config.study import StudyConfig
from nasfuse.cost import count_parameters, expected_macs
from nasfuse.data import Dataset
from nasfuse.errors import InvalidInputError, NasfuseError
from nasfuse.experiment.macs_check import check_front
from nasfuse.experiment.objective import Objective, Training, cached_dataset
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.nn import RoutedNetwork, build_network
from nasfuse.search.ledger import Assignment, Ledger
from nasfuse.search.progress import Progress, summarise
from nasfuse.search.space import Space
from nasfuse.search.storage import open_storage, quieten_optuna
from nasfuse.seeds import derive_seed
from nasfuse.train.metrics import score

_DRAWS = 128

#: Reference values of the costs that cannot be known before a network runs: a second, a gibibyte.
_MEASURED_COSTS = {"latency_s": 1.0, "peak_bytes": float(2**30)}


class Display(Protocol):
    """Shows a search while it runs."""

    def ready(self, dataset: Dataset, *, workers: int, progress: Progress, seconds: float) -> None:
        """The workers are up; trials start now. Earlier sessions took `seconds`."""

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
        RunFolderError: The folder holds another study, or another search is writing to it.
        Exhausted: No candidate may be trained.
    """
    get_metric(study.metric, study.data.task)
    folder.check(study)
    dataset = cached_dataset(study.data.model_dump_json())
    space = make_space(study, dataset)
    _check_limit(study, space, dataset)
    with folder.locked():
        storage = open_storage(folder.storage_url(study))  # first, so that a wrong address claims no folder
        folder.claim(study)
        ledger = Ledger(
            storage,
            study,
            space,
            macs_of=lambda recipe: macs_of(recipe, dataset),
            reference=lambda: _reference(study, space, dataset),
            fingerprint=dataset.fingerprint,
        )
        if ledger.wants_more(running=0):
            _run(study, folder, ledger, dataset, display=display, address=address, objective=objective)
        progress = summarise(ledger.trials(), ledger.objectives)
        if objective is None:
            check_front(folder, progress.front, dataset)
        return progress


def _run(
    study: StudyConfig,
    folder: RunFolder,
    ledger: Ledger,
    dataset: Dataset,
    *,
    display: Display,
    address: str | None,
    objective: Objective | None,
) -> None:
    from nasfuse.experiment.tune_runner import Workers, cluster_workers, ray_session, run_trials

    resources = study.resources
    with ray_session(address):
        fitting = cluster_workers(resources.cpus_per_trial, resources.gpus_per_trial)
        if fitting == 0 and address is None:  # a cluster may still grow
            raise InvalidInputError(
                f"resources: this machine has not the {resources.cpus_per_trial} cores and "
                f"{resources.gpus_per_trial:g} GPUs that one trial needs; ask for less per trial"
            )
        count = resources.workers or max(fitting, 1)
        ledger.fix_lag(workers=count)
        workers = Workers(count, resources.cpus_per_trial, resources.gpus_per_trial)
        watcher = _Watcher(ledger, folder, display)
        display.ready(dataset, workers=count, progress=watcher.progress, seconds=ledger.seconds)
        default = Training(threads=resources.cpus_per_trial, on_cuda=resources.gpus_per_trial > 0)
        try:
            run_trials(
                ledger,
                objective or default,
                workers=workers,
                folder_of=folder.trial,
                scratch=folder.root / ".tune",
                watcher=watcher,
            )
        except KeyboardInterrupt:
            ledger.release()
            raise
        finally:
            folder.drop_scratch()


class _Watcher:
    """Keeps the progress up to date and the display informed."""

    def __init__(self, ledger: Ledger, folder: RunFolder, display: Display) -> None:
        self._ledger = ledger
        self._folder = folder
        self._display = display
        self.progress = self._summarise()

    def started(self, assignment: Assignment) -> None:
        self._display.started(assignment)

    def finished(self, number: int, measurements: Measurements) -> None:
        self.progress = self._summarise()
        self._display.changed(self.progress, self._ledger.seconds, number=number)

    def stopped(self, number: int, epoch: int) -> None:
        self.progress = self._summarise()
        self._folder.drop_resume_file(number)
        self._display.changed(self.progress, self._ledger.seconds, number=number, stopped_after=epoch)

    def failed(self, number: int, reason: str) -> None:
        self.progress = self._summarise()
        self._display.changed(self.progress, self._ledger.seconds, number=number, failure=reason)

    def _summarise(self) -> Progress:
        return summarise(self._ledger.trials(), self._ledger.objectives)


def make_space(study: StudyConfig, dataset: Dataset) -> Space:
    """Returns the study's space, written out for the modalities of its data."""
    base = {"metric": study.metric, "data": study.data.to_plain()}
    return Space(
        study.space, dataset.modalities, base=base, fixed=study.fixed, source=f"the space of study {study.name}"
    )


def macs_of(recipe: Recipe, dataset: Dataset, *, route: int = 0) -> int:
    """Returns the expected MACs of a recipe without training it, or making room for its weights.

    Of a routed network, those of its cheapest route (the least it can cost), or of another `route`.
    """
    return _on_meta(recipe, dataset, lambda network: expected_macs(network, dataset, route=route))


def route_macs_of(recipe: Recipe, dataset: Dataset) -> dict[str, int]:
    """Returns route to the MACs of a full-length sample that takes it, the router's included; empty for static."""
    with torch.device("meta"):
        network = build_network(recipe.network, dataset.modalities, dataset.task)
    return network.full_route_macs() if isinstance(network, RoutedNetwork) else {}


def _on_meta(recipe: Recipe, dataset: Dataset, figure: Callable[..., int]) -> int:
    with torch.device("meta"):
        network = build_network(recipe.network, dataset.modalities, dataset.task)
    return figure(network)


def _costs_of_draws(study: StudyConfig, space: Space, figure: Callable[[Recipe], int]) -> list[int]:
    """Returns a figure of the baselines and of some random networks of the space.

    Raises:
        InvalidInputError: None of them is a valid network.
    """
    quieten_optuna()
    draws = optuna.create_study(sampler=RandomSampler(seed=derive_seed(study.seed, "reference")))
    parameters = [*space.baselines.values(), *(space.suggest(draws.ask()) for _ in range(_DRAWS))]
    costs: list[int] = []
    first: NasfuseError | None = None
    for one in parameters:
        try:
            costs.append(figure(space.recipe(one)))
        except NasfuseError as error:
            first = first or error
    if not costs:
        raise InvalidInputError(
            f"none of {len(parameters)} networks drawn from the space of study {study.name} is valid; "
            f"the first: {first}"
        )
    return costs


def _check_limit(study: StudyConfig, space: Space, dataset: Dataset) -> None:
    if study.max_macs is None:
        return
    cheapest = min(_costs_of_draws(study, space, lambda recipe: macs_of(recipe, dataset)))
    if cheapest > study.max_macs:
        raise InvalidInputError(
            f"max_macs: no network of the space was found below {study.max_macs} MACs, the cheapest of {_DRAWS} draws "
            f"and the baselines has {cheapest}; raise it"
        )


def _reference(study: StudyConfig, space: Space, dataset: Dataset) -> tuple[float, float]:
    """Returns (metric of a constant prediction, cost of the costliest of some random networks)."""
    if study.cost in _MEASURED_COSTS:
        return constant_metric(dataset, study.metric), _MEASURED_COSTS[study.cost]
    if study.cost == "macs":
        costs = _costs_of_draws(study, space, lambda recipe: macs_of(recipe, dataset, route=-1))
    else:
        costs = _costs_of_draws(study, space, lambda recipe: _on_meta(recipe, dataset, count_parameters))
    return constant_metric(dataset, study.metric), float(max(costs))


def constant_metric(dataset: Dataset, metric: str) -> float:
    """Returns what always predicting the training set's most frequent class (or median) scores on val."""
    train, val = dataset.train.targets, dataset.val.targets
    if dataset.task.kind == "multiclass":
        logits = torch.bincount(train, minlength=dataset.task.n_outputs).float()
    elif dataset.task.kind == "multilabel":
        logits = train.mean(dim=0) - 0.5
    else:
        logits = train.median(dim=0).values
    return score(metric, logits.expand(len(val), -1), val, task=dataset.task.kind)
