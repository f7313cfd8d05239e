"""Training of ensembles."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from nasfuse.data import Dataset
from nasfuse.experiment.training_files import read_curve, train_once
from nasfuse.nn.ensemble import EnsembleNetwork
from nasfuse.seeds import derive_seed
from nasfuse.spec.ensemble import EnsembleRecipe
from nasfuse.train import Epoch, Trained, evaluate


def train_ensemble(
    recipe: EnsembleRecipe,
    dataset: Dataset,
    place: Path,
    *,
    seed: int,
    division: int | None,
    device: torch.device,
    report: Callable[[Epoch], None],
) -> Trained:
    """Returns the ensemble of `recipe`, with members that are trained one after the other.

    The curve has the epochs of all members, numbered on. The chosen epoch is the end of it, with the mean training loss
    of the members and the results of the ensemble on validation data.

    Args:
        recipe: Recipe of the ensemble.
        dataset: Data of the training.
        place: Folder with a folder `member0`, `member1` and so on for each member, which is trained only if it has no
            network yet.
        seed: Seed from which those of the members are derived.
        division: Index of the division of the data.
        device: Device of the training.
        report: Called after every epoch.

    Raises:
        CheckpointError: `place` holds a damaged file, or the network of another recipe, seed or data set.
    """
    networks, curve = [], list[Epoch]()
    for number, member in enumerate(recipe.members):
        own, done = place / f"member{number}", len(curve)

        def note(epoch: Epoch, done: int = done) -> None:
            report(replace(epoch, epoch=done + epoch.epoch))

        own_seed = derive_seed(seed, "member", number)
        networks.append(train_once(member, dataset, own, seed=own_seed, division=division, device=device, report=note))
        curve += [replace(epoch, epoch=done + epoch.epoch) for epoch in read_curve(own / "metrics.jsonl")]
    network = EnsembleNetwork(networks, task=dataset.task.kind).to(device)
    val_metric = val_loss = None
    if len(dataset.val):
        val_metric, val_loss = evaluate(network, dataset.val, metric=recipe.metric, task=dataset.task, device=device)
    ends = [read_curve(place / f"member{number}" / "metrics.jsonl")[-1] for number in range(len(networks))]
    chosen = Epoch(
        epoch=len(curve),
        train_loss=statistics.fmean(end.train_loss for end in ends),
        val_loss=val_loss,
        val_metric=val_metric,
        wall_s=sum(end.wall_s for end in ends),
    )
    return Trained(network.eval(), chosen, curve)
