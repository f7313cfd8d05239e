"""Objective of a search: the training and measurement of a recipe in a worker."""

import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from nasfuse import __version__
from nasfuse.backends.beginning import begun
from nasfuse.backends.objective import Report
from nasfuse.cost.outside import outside_macs
from nasfuse.data import Dataset, Table, load_table
from nasfuse.data.mapped_table import map_table
from nasfuse.data.sources.registry import data_file, divided
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.experiment.fold_training import train_folds
from nasfuse.experiment.stall_watch import StallWatch, watching
from nasfuse.experiment.training_files import Fold, without_damage, write_curve
from nasfuse.nn import Network
from nasfuse.nn.knob import set_knobs
from nasfuse.prediction import save_network
from nasfuse.seeds import derive_seed
from nasfuse.spec.data import DataConfig, ValidationConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.train import (
    Epoch,
    measure,
    measure_folds,
    train_network,
)
from nasfuse.train.deadline import Deadline
from nasfuse.train.deployed_latency import with_deployed_latency
from nasfuse.train.point_metric import metric_of_folds, metric_of_network, of_each_network
from nasfuse.train.reported_metric import with_reported_metric
from nasfuse.train.robust_metric import with_robust_metric
from nasfuse.train.sweep import set_network


@dataclass(frozen=True)
class Training:
    """Objective that trains a recipe and measures the network on validation data.

    Attributes:
        threads: Number of torch threads.
        on_cuda: Whether to train on the GPU of the worker.
        shared_table: Absolute path of the folder with the data as `share_table` wrote them; None reads the data of the
            recipe.
        select_by: Metric of the operating points and of the reports, beside which that of the recipe is reported; None
            for that of the recipe.
        without_each: Whether points are also measured without each modality, for their `robust_metric`.
        epoch_s: Longest time of an epoch in seconds, after which the process is ended; None for that of `watching`.
        deployed_latency: Whether the latency of points is that of their ONNX graphs instead of eager PyTorch, which
            takes some seconds more.
    """

    threads: int = 1
    on_cuda: bool = False
    shared_table: Path | None = None
    select_by: str | None = None
    without_each: bool = False
    epoch_s: float | None = None
    deployed_latency: bool = False

    def __call__(
        self,
        recipe: Recipe,
        *,
        seed: int,
        division: int,
        folder: Path,
        report: Report,
        weight_sources: Mapping[str, Path],
        rungs: Sequence[int] = (),
        ends_s: float | None = None,
    ) -> Measurements:
        """Returns the operating points of the trained recipe; writes `metrics.jsonl` and `model.pt`.

        A training ends in `ends_s` seconds, whether or not all its epochs fit in; a cross-validation takes its time.
        A training that is stopped leaves `metrics.jsonl` of its epochs, and `resume.pt` if it ran for long. With
        `data.validation`, there is a folder `fold0`, `fold1` and so on with `metrics.jsonl` and `model.pt` for each
        fold; see `train_folds` for which folds are trained together, and for what is reported.
        """
        torch.set_num_threads(self.threads)
        device = torch.device("cuda" if self.on_cuda else "cpu")
        started = time.perf_counter()
        deadline = None if ends_s is None else Deadline(ends_s)
        validation = recipe.data.validation
        with ExitStack() as stack:
            watch = stack.enter_context(watching(folder, limit_s=self.epoch_s))
            first = self._load(recipe.data, division if validation is None else division * validation.n_trainings)
            stack.enter_context(begun(folder))  # with the data in memory, a death may be the fault of the network
            if validation is None:
                points, details = self._train(
                    recipe,
                    first,
                    seed=seed,
                    division=division,
                    folder=folder,
                    report=report,
                    weight_sources=weight_sources,
                    deadline=deadline,
                    device=device,
                    watch=watch,
                )
            else:
                points, details = self._cross_validate(
                    recipe,
                    validation,
                    seed=seed,
                    division=division,
                    folder=folder,
                    rungs=rungs,
                    report=report,
                    device=device,
                    watch=watch,
                )
        record = {
            **details,
            "seed": seed,
            "division": division,
            "recipe_hash": recipe.hash,
            "nasfuse": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": torch.cuda.get_device_name() if self.on_cuda else "cpu",
            "threads": self.threads,
            "latency_of": "onnxruntime" if self.deployed_latency else "torch",
            "wall_s": round(time.perf_counter() - started, 3),
        }
        return Measurements(points, record)

    def _train(
        self,
        recipe: Recipe,
        dataset: Dataset,
        *,
        seed: int,
        division: int,
        folder: Path,
        report: Report,
        weight_sources: Mapping[str, Path],
        deadline: Deadline | None,
        device: torch.device,
        watch: StallWatch,
    ) -> tuple[tuple[OperatingPoint, ...], dict[str, Any]]:
        curve: list[Epoch] = []

        def note(epoch: Epoch) -> None:
            watch.goes_on()
            curve.append(epoch)
            write_curve(folder / "metrics.jsonl", curve)
            assert epoch.val_metric is not None, "there are validation samples"
            report(epoch.epoch, epoch.val_metric)

        resume_file = without_damage(folder / "resume.pt")
        metric = self.select_by or recipe.metric
        trained = train_network(
            recipe.model_copy(update={"metric": metric}),
            dataset,
            seed=seed,
            device=device,
            report=note,
            resume_file=resume_file,
            weight_sources=weight_sources,
            deadline=deadline,
        )
        write_curve(folder / "metrics.jsonl", trained.curve)  # the last epoch before a deadline is not reported
        outside = dataset.preprocessing.outside_macs
        points, more = measure(trained, dataset, metric=metric, device=device, outside=outside)
        more_of = partial(self._measure_more, dataset=dataset, metric=metric, reported=recipe.metric, device=device)
        points = of_each_network(points, trained, more_of)
        if self.select_by is not None:
            trained = replace(trained, chosen=replace(trained.chosen, val_metric=points[0].reported_metric))
        save_network(folder / "model.pt", trained, recipe, dataset, seed=seed, division=division, points=points)
        resume_file.unlink(missing_ok=True)  # not before: a training that is killed while it is measured is resumed
        return points, {
            "status": trained.status,
            "epochs": len(trained.curve),
            "epochs_asked": recipe.training.epochs,
            "chosen_epoch": trained.chosen.epoch,
            "data_fingerprint": dataset.fingerprint,
            **more,
        }

    def _measure_more(
        self,
        points: tuple[OperatingPoint, ...],
        network: Network,
        *,
        dataset: Dataset,
        metric: str,
        reported: str,
        device: torch.device,
    ) -> tuple[OperatingPoint, ...]:
        """Returns points of a network with what the study asks for beside metric and costs."""
        if self.deployed_latency:
            points = with_deployed_latency(points, network, dataset, set_to=set_network)
        if self.without_each:
            names = [modality.name for modality in dataset.modalities]
            with metric_of_network(network, dataset, metric=metric, device=device) as metric_at:
                points = with_robust_metric(points, network, names, metric=metric, metric_at=metric_at)
        if self.select_by is not None:
            with metric_of_network(network, dataset, metric=reported, device=device) as metric_at:
                points = with_reported_metric(points, metric_at)
        return points

    def _cross_validate(
        self,
        recipe: Recipe,
        validation: ValidationConfig,
        *,
        seed: int,
        division: int,
        folder: Path,
        rungs: Sequence[int],
        report: Report,
        device: torch.device,
        watch: StallWatch,
    ) -> tuple[tuple[OperatingPoint, ...], dict[str, Any]]:
        """Trains one network per fold; cross-validations with different `division` have different folds."""
        metric, n_folds = self.select_by or recipe.metric, validation.folds

        def load(k: int) -> Fold:
            number = division * validation.n_trainings + k
            dataset = self._load(recipe.data, number)
            return Fold(dataset, folder / f"fold{k}", seed=derive_seed(seed, "fold", k), division=number)

        folds = train_folds(
            recipe,
            load,
            folder,
            metric=metric,
            rungs=rungs,
            device=device,
            report=report,
            goes_on=watch.goes_on,
        )
        points, more = measure_folds(folds, n_folds=n_folds, metric=metric, device=device)
        first = folds[0].network
        outside = outside_macs(first, folds[0].dataset.preprocessing.outside_macs)
        points = tuple(replace(point, outside_macs=outside) for point in points)
        if self.deployed_latency:
            points = with_deployed_latency(
                points, first, folds[0].dataset, set_to=lambda network, settings: set_knobs(network.knobs(), settings)
            )
        if self.without_each:
            names = [modality.name for modality in folds[0].dataset.modalities]
            metric_at = metric_of_folds(folds, n_folds=n_folds, metric=metric, device=device)
            points = with_robust_metric(points, first, names, metric=metric, metric_at=metric_at)
        if self.select_by is not None:
            metric_at = metric_of_folds(folds, n_folds=n_folds, metric=recipe.metric, device=device)
            points = with_reported_metric(points, metric_at)
        return points, {
            "status": "complete",
            "epochs": recipe.n_epochs,
            "epochs_asked": recipe.n_epochs,
            "data_fingerprint": folds[0].dataset.fingerprint,
            **more,
        }

    def _load(self, config: DataConfig, division: int) -> Dataset:
        if self.shared_table is None:
            return cached_dataset(config.model_dump_json(), division)
        return _shared_dataset(self.shared_table, config.model_dump_json(), division)


def cached_dataset(config: str, division: int | None = 0) -> Dataset:
    """Returns the data set of a `DataConfig` in JSON, from a cache. For `division` see `registry.divided`.

    A process reads a file again only after it has changed. All divisions into train and val share the values.
    """
    return _dataset(config, _file_state(config), division)


@lru_cache(maxsize=64)
def _dataset(config: str, state: tuple[int, int] | None, division: int | None) -> Dataset:
    return divided(_table(config, state), DataConfig.model_validate_json(config), division=division)


@lru_cache(maxsize=1)
def _table(config: str, state: tuple[int, int] | None) -> Table:
    return load_table(DataConfig.model_validate_json(config))


def cached_table(config: str) -> Table:
    """Returns the table of the data sets that `cached_dataset` returns."""
    return _table(config, _file_state(config))


@lru_cache(maxsize=64)
def _shared_dataset(folder: Path, config: str, division: int) -> Dataset:
    return divided(_mapped_table(folder), DataConfig.model_validate_json(config), division=division)


@lru_cache(maxsize=1)
def _mapped_table(folder: Path) -> Table:
    return map_table(folder)


def _file_state(config: str) -> tuple[int, int] | None:
    """Returns modification time in nanoseconds and size in bytes of the data file; None for a named data set."""
    file = data_file(DataConfig.model_validate_json(config))
    if file is None:
        return None
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size
