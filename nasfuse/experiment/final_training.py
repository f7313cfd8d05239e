"""Final training of a recipe: several seeds, each of which is evaluated on the test split once, at the end."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nasfuse.cost import MacsCheck, check_macs
from nasfuse.data import Dataset
from nasfuse.errors import ConfigError, RunFolderError
from nasfuse.experiment.atomic_files import write_text
from nasfuse.experiment.checkpoint_evaluation import outside_macs_of, spent_macs
from nasfuse.experiment.ensemble_training import train_ensemble
from nasfuse.experiment.folder_format import FORMAT_FILE, check_folder_format, write_format
from nasfuse.experiment.idle_settings import data_warnings_once, warn_of_idle_settings
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.space_survey import macs_of, route_macs_of
from nasfuse.experiment.starting_point import StartingPoint
from nasfuse.experiment.training_files import write_curve
from nasfuse.prediction import read_network, save_network
from nasfuse.seeds import derive_seed
from nasfuse.spec.data import DataConfig
from nasfuse.spec.ensemble import AnyRecipe, EnsembleRecipe, load_recipe
from nasfuse.train import (
    Epoch,
    check_training,
    evaluate,
    record_equilibria,
    train_network,
)


@dataclass(frozen=True)
class SeedResult:
    """Result of one training.

    Attributes:
        seed: Seed of the training, derived from that of the command.
        division: Index of the division into train and val; training number k has division k. None if the recipe has
            `data.validation`: all samples outside test are trained on.
        val: Metric on validation data at the chosen epoch; None without validation data.
        test: Metric on the test split.
        macs: Expected multiply-accumulates per sample, with the routes and solver steps of validation data, or of
            training data if there are none.
        routes: Share of test samples by route; empty for a static network.
        converged: Share of the same samples that converged, by solve of an equilibrium; empty without one.
        epochs: Number of epochs that ran.
        checkpoint: Path of the checkpoint.
        outside_macs: Expected multiply-accumulates per sample of features that were computed outside of the network, by
            frozen encoders; on the same samples as `macs`.
    """

    seed: int
    division: int | None
    val: float | None
    test: float
    macs: float
    routes: dict[str, float]
    converged: dict[str, float]
    epochs: int
    checkpoint: str
    outside_macs: int = 0


@dataclass(frozen=True)
class FinalResult:
    """Results of a recipe trained with one or more seeds.

    Attributes:
        recipe: Recipe of the trainings, of a network or of an ensemble.
        macs: Expected multiply-accumulates per sample, averaged over the seeds.
        most_macs: Multiply-accumulates per sample if all solvers reach their caps; `macs` without an equilibrium.
        route_macs: Multiply-accumulates of a full-length sample by route; empty for a static network.
        seeds: One entry per training.
        check: MACs of a full-length sample in closed form and counted, for the first network with a difference; for
            the first network if there is none.
    """

    recipe: AnyRecipe
    macs: int
    most_macs: int
    route_macs: dict[str, int]
    seeds: tuple[SeedResult, ...]
    check: MacsCheck

    def spread(self, split: str) -> tuple[float | None, float | None]:
        """Returns (mean, standard deviation) over the seeds.

        The deviation of one seed is None, and so are both for `val` if there are no validation data.
        """
        values = [getattr(result, split) for result in self.seeds]
        if None in values:
            return None, None
        return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None

    @property
    def outside_macs(self) -> int:
        """Expected multiply-accumulates per sample outside of the network, averaged over the seeds."""
        return round(statistics.fmean(result.outside_macs for result in self.seeds))

    def to_plain(self) -> dict[str, Any]:
        """Returns the result as plain mappings."""
        val, test = self.spread("val"), self.spread("test")
        return {
            "recipe_hash": self.recipe.hash,
            "summary": self.recipe.summary,
            "macs": self.macs,
            **({"outside_macs": self.outside_macs} if self.outside_macs else {}),
            **({"most_macs": self.most_macs} if self.most_macs > self.macs else {}),
            **({"route_macs": self.route_macs} if self.route_macs else {}),
            **self.check.to_plain(),
            "metric": self.recipe.metric,
            "val": {"mean": val[0], "sd": val[1]},
            "test": {"mean": test[0], "sd": test[1]},
            "seeds": [vars(result) for result in self.seeds],
        }


def train_recipe(
    recipe: AnyRecipe,
    folder: Path,
    *,
    n_seeds: int,
    seed: int,
    device: torch.device,
    report: Callable[[int, Epoch], None],
    start: StartingPoint | None = None,
    announce: Callable[[str], None] | None = None,
) -> FinalResult:
    """Trains `recipe` with `n_seeds` seeds and evaluates each network on the test split once.

    Training number k uses division k into train and val, as repetitions in a search do; with `data.validation`, all
    trainings use train and val together, for all epochs. The test split is the same for all. An interrupted training
    is resumed; a training that has a result is neither run nor evaluated again.

    Args:
        recipe: Recipe to train. With each seed, the members of an ensemble are trained one after the other.
        folder: Output folder for `recipe.yaml`, `macs.json` and a folder per seed with `model.pt` and `metrics.jsonl`;
            of an ensemble also with a folder per member.
        n_seeds: Number of trainings.
        seed: Seed from which those of the trainings are derived.
        device: Device of the trainings.
        report: Called with (training number, epoch) after every epoch.
        start: Network from which all trainings start; None: weights are drawn at random.
        announce: Called with what the trainings take from `start`, before the first one.

    Raises:
        RunFolderError: The folder holds other files, or results of another seed or start; nothing is overwritten.
        InvalidInputError: The recipe is an ensemble, or no weight agrees with those of `start`.

    Warns:
        DataWarning: A setting of the recipe has no effect; for a new folder only, as all warnings about data.
    """
    data = _Data(recipe.data, start)
    divisions = [number if recipe.data.validation is None else None for number in range(n_seeds)]
    with data_warnings_once(told=(folder / "recipe.yaml").is_file()):
        dataset = data.divided(divisions[0])
        for member in recipe.members:
            check_training(member, dataset)
        route_macs = route_macs_of(recipe, dataset)  # fails before anything is written if the network cannot be built
        if start is not None:
            text = start.summary(recipe, dataset)
            if announce is not None:
                announce(text)
        _check_folder(folder, recipe)
        warn_of_idle_settings(recipe.members, dataset, may_be_exported=True)
    seeds = [derive_seed(seed, "final", number) for number in range(n_seeds)]
    places = [folder / f"seed{number}" for number in range(n_seeds)]
    earlier = [_earlier_result(places[k], own, data.divided(divisions[k]), start) for k, own in enumerate(seeds)]
    folder.mkdir(parents=True, exist_ok=True)
    write_format(folder)
    write_text(folder / "recipe.yaml", recipe.to_yaml())  # the path of the data may have changed
    results = []
    for number, (own, place, result) in enumerate(zip(seeds, places, earlier, strict=True)):
        if result is None:
            division, advance = divisions[number], partial(report, number)
            result = _train_one(
                recipe,
                data.divided(division),
                place,
                seed=own,
                division=division,
                device=device,
                report=advance,
                start=start,
            )
        results.append(result)
    macs = round(statistics.fmean(result.macs for result in results))
    most = macs if route_macs else macs_of(recipe, dataset)
    sets = [data.divided(division) for division in divisions]
    final = FinalResult(recipe, macs, most, route_macs, tuple(results), _check(results, sets, device))
    write_text(folder / "macs.json", json.dumps(final.check.to_plain(), indent=2))
    return final


@dataclass(frozen=True)
class _Data:
    """The data of the trainings.

    Attributes:
        config: Description of the data.
        start: Network whose preprocessing is used where descriptions agree; None if there is none.
    """

    config: DataConfig
    start: StartingPoint | None

    def divided(self, division: int | None) -> Dataset:
        """Returns the data set with a division; see `nasfuse.data.sources.registry.divided`."""
        if self.start is None:
            return cached_dataset(self.config.model_dump_json(), division)
        return self.start.dataset(self.config, division=division)


def _check(results: Sequence[SeedResult], datasets: Sequence[Dataset], device: torch.device) -> MacsCheck:
    """Returns the first failed check, or the first check if none failed."""
    checks = []
    for result, dataset in zip(results, datasets, strict=True):
        checks.append(check_macs(read_network(Path(result.checkpoint), device=device).network, dataset))
    return next((check for check in checks if check.failed), checks[0])


def _train_one(
    recipe: AnyRecipe,
    dataset: Dataset,
    place: Path,
    *,
    seed: int,
    division: int | None,
    device: torch.device,
    report: Callable[[Epoch], None],
    start: StartingPoint | None,
) -> SeedResult:
    place.mkdir(exist_ok=True)
    resume_file = place / "resume.pt"
    if isinstance(recipe, EnsembleRecipe):
        trained = train_ensemble(recipe, dataset, place, seed=seed, division=division, device=device, report=report)
    else:
        trained = train_network(
            recipe,
            dataset,
            seed=seed,
            device=device,
            report=report,
            resume_file=resume_file,
            start=None if start is None else start.weights(recipe.data, dataset),
        )
    write_curve(place / "metrics.jsonl", trained.curve)
    described = dataset
    if not len(dataset.val):
        dataset = replace(dataset, val=dataset.train)  # on which MACs and solves are measured
    solves = record_equilibria(trained.network, dataset, device=device).get("solves", {})
    test, _ = evaluate(trained.network, dataset.test, metric=recipe.metric, task=dataset.task, device=device)
    macs, shares = spent_macs(trained.network, recipe, dataset.val, dataset, device)
    _, routes = spent_macs(trained.network, recipe, dataset.test, dataset, device)
    save_network(place / "model.pt", trained, recipe, described, seed=seed, division=division, test_metric=test)
    result = SeedResult(
        seed=seed,
        division=division,
        val=trained.chosen.val_metric,
        test=test,
        macs=macs,
        routes=routes,
        converged={} if _is_tied(recipe) else {name: solve["converged"] for name, solve in solves.items()},
        epochs=len(trained.curve),
        checkpoint=str(place / "model.pt"),
        outside_macs=outside_macs_of(trained.network, described.preprocessing.outside_macs, shares),
    )
    origin = {"data_fingerprint": dataset.fingerprint, **({} if start is None else {"start": start.fingerprint})}
    write_text(place / "result.json", json.dumps({**vars(result), **origin}, indent=2))
    resume_file.unlink(missing_ok=True)
    return result


def _is_tied(recipe: AnyRecipe) -> bool:
    """Returns whether a cell is a weight-tied network, which has no solver."""
    fusions = [member.network.fusion for member in recipe.members]
    return any(
        fusion is not None and fusion.kind == "equilibrium" and fusion.gradient == "unroll" for fusion in fusions
    )


def _earlier_result(place: Path, seed: int, dataset: Dataset, start: StartingPoint | None) -> SeedResult | None:
    """Returns the result of an earlier training in `place`; None if there is none.

    Raises:
        RunFolderError: It has another seed, other data or another start, or its file is damaged.
    """
    file = place / "result.json"
    if not file.is_file() or not (place / "model.pt").is_file():
        return None
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        fingerprint = held.pop("data_fingerprint")
        started_from = held.pop("start", None)
        result = SeedResult(**held)
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{file} is damaged; remove {place} to train that seed again") from error
    differs = {"another --seed": result.seed != seed, "other data": fingerprint != dataset.fingerprint}
    differing = [what for what, is_so in differs.items() if is_so]
    if differing:
        raise RunFolderError(f"{place} holds a network of {' and of '.join(differing)}; choose another -o")
    if started_from != (None if start is None else start.fingerprint):
        raise RunFolderError(f"{place} holds a network that started from other weights (--init); choose another -o")
    return replace(result, checkpoint=str(place / "model.pt"))


def _check_folder(folder: Path, recipe: AnyRecipe) -> None:
    """Checks that `folder` is empty, missing, or holds trainings of `recipe`.

    Raises:
        RunFolderError: The folder holds other files, or another version of nasfuse has written it.
    """
    held = folder / "recipe.yaml"
    if held.is_file():
        check_folder_format(folder, advice="train the recipe again in another folder (-o)")
        if not _is_of(held, recipe):
            raise RunFolderError(f"{folder} holds the networks of another recipe; choose another folder with -o")
    elif folder.exists() and {entry.name for entry in folder.iterdir()} - {FORMAT_FILE}:
        raise RunFolderError(f"{folder} exists and holds something else; choose another folder with -o")


def _is_of(held: Path, recipe: AnyRecipe) -> bool:
    try:
        return load_recipe(held).hash == recipe.hash
    except ConfigError:
        return False
