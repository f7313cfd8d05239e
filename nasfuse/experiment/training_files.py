"""Trainings with their files in folders: read if they are finished, resumed if they were interrupted."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from nasfuse.data import Dataset
from nasfuse.errors import CheckpointError
from nasfuse.experiment.atomic_files import replacing
from nasfuse.nn import Network
from nasfuse.prediction import read_network, save_network
from nasfuse.spec.recipe import Recipe
from nasfuse.train import Epoch, load_checkpoint, saved_epochs, train_network, train_stacked

_CPU = torch.device("cpu")


def train_once(
    recipe: Recipe,
    dataset: Dataset,
    place: Path,
    *,
    seed: int,
    division: int | None,
    device: torch.device,
    report: Callable[[Epoch], None] | None = None,
) -> Network:
    """Returns the network of `recipe` trained on `dataset`, as read from `place` if it is there.

    Args:
        recipe: Recipe of the network.
        dataset: Data of the training, for example with a fold as `val`.
        place: Folder of `model.pt`, `metrics.jsonl` and, during the training, `resume.pt`.
        seed: Seed of the training.
        division: Number of the division or fold, see `nasfuse.data.sources.registry.divided`.
        device: Device of the training.
        report: Called after every epoch; not for a network that is read.

    Raises:
        CheckpointError: `place` holds a damaged file, or the network of another recipe, seed or data set.
    """
    earlier = _finished(recipe, dataset, place, seed=seed, device=device)
    if earlier is not None:
        return earlier
    place.mkdir(parents=True, exist_ok=True)
    curve: list[Epoch] = []

    def note(epoch: Epoch) -> None:
        curve.append(epoch)
        write_curve(place / "metrics.jsonl", curve)
        if report is not None:
            report(epoch)

    resume_file = without_damage(place / "resume.pt")
    trained = train_network(recipe, dataset, seed=seed, device=device, report=note, resume_file=resume_file)
    save_network(place / "model.pt", trained, recipe, dataset, seed=seed, division=division)
    resume_file.unlink(missing_ok=True)
    return trained.network


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation, for its training.

    Attributes:
        dataset: Data with the fold as `val`.
        place: Folder of `model.pt` and `metrics.jsonl`.
        seed: Seed of the training.
        division: Number of the fold, see `nasfuse.data.sources.registry.divided`.
    """

    dataset: Dataset
    place: Path
    seed: int
    division: int


def train_together(
    recipe: Recipe,
    folds: Sequence[Fold],
    *,
    resume_file: Path,
    report: Callable[[int, Sequence[Tensor] | None], None],
) -> list[Network]:
    """Returns the networks of `recipe` trained on several folds as one stack on the CPU, or as read if all are there.

    Args:
        recipe: Recipe of the networks, which `reason_against` lets be stacked.
        folds: Folds with as many batches of training samples each.
        resume_file: File with the progress of all of them during the training.
        report: Called after every epoch with its number and digests as `train_stacked` reports them; not for networks
            that are read.

    Raises:
        CheckpointError: A folder holds a damaged file, or the network of another recipe, seed or data set.
    """
    earlier = [_finished(recipe, fold.dataset, fold.place, seed=fold.seed, device=_CPU) for fold in folds]
    found = [network for network in earlier if network is not None]
    if len(found) == len(folds):
        return found
    for fold in folds:
        fold.place.mkdir(parents=True, exist_ok=True)
    curves: list[list[Epoch]] = [[] for _ in folds]

    def note(epochs: Sequence[Epoch], digests: Sequence[Tensor] | None) -> None:
        for fold, curve, epoch in zip(folds, curves, epochs, strict=True):
            curve.append(epoch)
            write_curve(fold.place / "metrics.jsonl", curve)
        report(epochs[0].epoch, digests)

    together = train_stacked(
        recipe,
        [fold.dataset for fold in folds],
        seeds=[fold.seed for fold in folds],
        report=note,
        resume_file=without_damage(resume_file),
    )
    for fold, trained in zip(folds, together, strict=True):
        save_network(fold.place / "model.pt", trained, recipe, fold.dataset, seed=fold.seed, division=fold.division)
    resume_file.unlink(missing_ok=True)
    return [trained.network for trained in together]


def _finished(recipe: Recipe, dataset: Dataset, place: Path, *, seed: int, device: torch.device) -> Network | None:
    """Returns the network of a finished training in `place`; None if there is none."""
    file = place / "model.pt"
    if not file.is_file():
        return None
    saved = read_network(file, device=device)
    if (saved.recipe.hash, saved.seed, saved.data_fingerprint) != (recipe.hash, seed, dataset.fingerprint):
        raise CheckpointError(f"{file} holds the network of another recipe, seed or data set; remove {place}")
    return saved.network


def without_damage(resume_file: Path) -> Path:
    """Returns the path of a progress file, which is removed if it is damaged, so that the training starts again."""
    if resume_file.is_file():
        try:
            load_checkpoint(resume_file)
        except CheckpointError:
            resume_file.unlink()
    return resume_file


def saved_progress(folder: Path) -> int:
    """Returns the epochs that the training in the folder of a trial need not run again."""
    epochs, folds = saved_epochs(folder / "resume.pt"), list(folder.glob("fold*"))
    return sum(_saved_of_fold(fold, of_stack=epochs) for fold in folds) if folds else epochs


def _saved_of_fold(place: Path, *, of_stack: int) -> int:
    """Returns the epochs of a fold that need not run again; `of_stack` are those of the stack that is not finished."""
    if not (place / "model.pt").is_file():
        return saved_epochs(place / "resume.pt") + of_stack
    return len((place / "metrics.jsonl").read_text(encoding="utf-8").splitlines())


def write_curve(path: Path, curve: list[Epoch]) -> None:
    """Writes one JSON line per epoch, atomically."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(asdict(epoch)) + "\n" for epoch in curve), encoding="utf-8")


def read_curve(path: Path) -> list[Epoch]:
    """Returns the epochs that `write_curve` wrote."""
    return [Epoch(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
