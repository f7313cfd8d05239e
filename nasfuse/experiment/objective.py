"""Objective of a search: the training and measurement of a recipe in a worker."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import torch

from nasfuse import __version__
from nasfuse.backends.objective import Report
from nasfuse.data import Dataset, Table, load_table
from nasfuse.data.sources.registry import data_file
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.errors import DataError
from nasfuse.experiment.run_folder import write_text
from nasfuse.experiment.trained_data import scales_to_save
from nasfuse.nn.knob import settings_of
from nasfuse.spec.data import DataConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.train import Epoch, Trained, measure, save_checkpoint, train_network


@dataclass(frozen=True)
class Training:
    """Objective that trains a recipe and measures the network on validation data.

    Attributes:
        threads: Number of torch threads.
        on_cuda: Whether to train on the GPU of the worker.
        data_file: Absolute path of the data, because the working folder of a worker differs; None if `data.source` is
            the name of a data set.
        fingerprint: Required fingerprint of the data; None accepts any.
    """

    threads: int = 1
    on_cuda: bool = False
    data_file: Path | None = None
    fingerprint: str | None = None

    def __call__(
        self,
        recipe: Recipe,
        *,
        seed: int,
        division: int,
        folder: Path,
        report: Report,
        weight_sources: Mapping[str, Path],
    ) -> Measurements:
        """Returns the operating points of the trained recipe; writes `metrics.jsonl` and `model.pt`.

        A training that is stopped leaves `metrics.jsonl` of its epochs, and `resume.pt` if it ran for long.
        """
        torch.set_num_threads(self.threads)
        device = torch.device("cuda" if self.on_cuda else "cpu")
        started = time.perf_counter()
        dataset = self._load(recipe.data, division)
        folder.mkdir(parents=True, exist_ok=True)
        curve: list[Epoch] = []

        def note(epoch: Epoch) -> None:
            curve.append(epoch)
            write_curve(folder / "metrics.jsonl", curve)
            report(epoch.epoch, epoch.val_metric)

        resume_file = folder / "resume.pt"
        trained = train_network(
            recipe,
            dataset,
            seed=seed,
            device=device,
            report=note,
            resume_file=resume_file,
            weight_sources=weight_sources,
        )
        points, more = measure(trained, dataset, metric=recipe.metric, device=device)
        save_network(folder / "model.pt", trained, recipe, dataset, seed=seed, division=division, points=points)
        resume_file.unlink(missing_ok=True)  # not before: a training that is killed while it is measured is resumed
        record = {
            "status": trained.status,
            "epochs": len(trained.curve),
            "epochs_asked": recipe.training.epochs,
            "chosen_epoch": trained.chosen.epoch,
            "seed": seed,
            "division": division,
            "recipe_hash": recipe.hash,
            "data_fingerprint": dataset.fingerprint,
            "nasfuse": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": torch.cuda.get_device_name() if self.on_cuda else "cpu",
            "threads": self.threads,
            "wall_s": round(time.perf_counter() - started, 3),
            **more,
        }
        return Measurements(points, record)

    def _load(self, config: DataConfig, division: int) -> Dataset:
        if self.data_file is not None:
            config = config.model_copy(update={"source": str(self.data_file)})
        found = cached_dataset(config.model_dump_json()).fingerprint
        if self.fingerprint is not None and found != self.fingerprint:
            raise DataError(
                f"{config.source} has the fingerprint {found}, and the study was started with {self.fingerprint}; "
                "put the data of the study back"
            )
        return cached_dataset(config.model_dump_json(), division)


def cached_dataset(config: str, division: int = 0) -> Dataset:
    """Returns the data set of a `DataConfig` in JSON, from a cache.

    A process reads a file again only after it has changed. All divisions into train and val share the values.
    """
    return _dataset(config, _file_state(config), division)


@lru_cache(maxsize=16)
def _dataset(config: str, state: tuple[int, int] | None, division: int) -> Dataset:
    return _table(config, state).divided(division)


@lru_cache(maxsize=1)
def _table(config: str, state: tuple[int, int] | None) -> Table:
    return load_table(DataConfig.model_validate_json(config))


def _file_state(config: str) -> tuple[int, int] | None:
    """Returns modification time in nanoseconds and size in bytes of the data file; None for a named data set."""
    file = data_file(DataConfig.model_validate_json(config))
    if file is None:
        return None
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size


def save_network(
    path: Path,
    trained: Trained,
    recipe: Recipe,
    dataset: Dataset,
    *,
    seed: int,
    division: int,
    points: Sequence[OperatingPoint] = (),
) -> None:
    """Writes a trained network with its recipe, and with the scales and the fingerprint of its data.

    The checkpoint also has the settings of all knobs at each of `points`, of which the first is the network's own.
    A network that is loaded gets the settings of the checkpoint, which take precedence over the recipe.
    """
    own = settings_of(trained.network.knobs())
    content = {
        "recipe": recipe.to_plain(),
        "recipe_hash": recipe.hash,
        "seed": seed,
        "division": division,
        "val_metric": trained.chosen.val_metric,
        "data_fingerprint": dataset.fingerprint,
        "class_names": list(dataset.class_names),
        "points": [own, *({**own, **point.settings} for point in points[1:])],
        **scales_to_save(dataset),
        "network": {key: value.cpu() for key, value in trained.network.state_dict().items()},
    }
    save_checkpoint(path, content)


def write_curve(path: Path, curve: list[Epoch]) -> None:
    """Writes one JSON line per epoch, atomically."""
    write_text(path, "".join(json.dumps(asdict(epoch)) + "\n" for epoch in curve))
