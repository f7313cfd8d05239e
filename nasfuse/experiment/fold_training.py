"""Training of the folds of a cross-validation: which are trained together, and what is reported in the meantime."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import torch
from torch import Tensor

from nasfuse.backends.objective import Report
from nasfuse.data import Dataset
from nasfuse.experiment.training_files import Fold, train_once, train_together
from nasfuse.experiment.weightless import weightless_network
from nasfuse.nn import Network
from nasfuse.spec.recipe import Recipe
from nasfuse.train import FoldNetwork, digests_of_fold, metric_so_far, reason_against


def train_folds(
    recipe: Recipe,
    load: Callable[[int], Fold],
    folder: Path,
    *,
    metric: str,
    rungs: Sequence[int],
    device: torch.device,
    report: Report,
    goes_on: Callable[[], None],
) -> list[FoldNetwork]:
    """Returns a network for each fold of a cross-validation.

    Folds are trained as one stack where that is possible, and no stack goes beyond a rung, so that a training that is
    stopped there trains no further fold. An interrupted training goes on with the stack that it was in.

    Args:
        recipe: Recipe with `data.validation`.
        load: Returns a fold from its number within the cross-validation.
        folder: Folder of the trial, for the progress of a stack.
        metric: Name of the metric that is reported.
        rungs: Epochs, of all folds together, after which the training may be stopped.
        device: Device of the trainings.
        report: Called with the number of epochs and the metric of the predictions for the folds so far, after every
            stack but the last; inside of a stack each time that its epochs are those of another whole fold, with the
            networks as they are.
        goes_on: Called after every epoch.
    """
    validation, epochs = recipe.data.validation, recipe.training.epochs
    assert validation is not None, "it is cross-validated"
    done: list[FoldNetwork] = []
    digests: list[Tensor] = []  # of the outputs for each of these folds

    def tell(n_epochs: int, folds: Sequence[Dataset], of_folds: Sequence[Tensor]) -> None:
        splits, task = [fold.val for fold in folds], folds[0].task.kind
        reached = metric_so_far(of_folds, splits, n_folds=validation.folds, metric=metric, task=task)
        if reached is not None:
            report(n_epochs, reached)

    for stack in _stacks(recipe, load, rungs=rungs, device=device):
        datasets = [*(one.dataset for one in done), *(fold.dataset for fold in stack)]

        def note(
            epoch: int,
            of_stack: Sequence[Tensor] | None,
            datasets: Sequence[Dataset] = datasets,
            n_stacked: int = len(stack),
        ) -> None:
            goes_on()
            if of_stack is not None and _is_of_another_fold(epoch, epochs, n_folds=n_stacked):
                tell(len(done) * epochs + n_stacked * epoch, datasets, [*digests, *of_stack])

        if len(stack) > 1:
            networks = train_together(recipe, stack, resume_file=folder / "resume.pt", report=note)
        else:
            networks = [_train_alone(recipe, fold, device=device, goes_on=goes_on) for fold in stack]
        trained = [FoldNetwork(network, fold.dataset) for network, fold in zip(networks, stack, strict=True)]
        done.extend(trained)
        if len(done) < validation.n_trainings:  # all of them are measured together
            digests.extend(digests_of_fold(fold, {}, device=device) for fold in trained)
            tell(len(done) * epochs, datasets, digests)
    return done


def _train_alone(recipe: Recipe, fold: Fold, *, device: torch.device, goes_on: Callable[[], None]) -> Network:
    return train_once(
        recipe,
        fold.dataset,
        fold.place,
        seed=fold.seed,
        division=fold.division,
        device=device,
        report=lambda _: goes_on(),
    )


def _is_of_another_fold(epoch: int, epochs: int, *, n_folds: int) -> bool:
    """Returns whether after `epoch` of `epochs` a stack has first spent the epochs of another fold, but not of all."""
    spent, before = (n_folds * number // epochs for number in (epoch, epoch - 1))
    return before < spent < n_folds


def _stacks(
    recipe: Recipe, load: Callable[[int], Fold], *, rungs: Sequence[int], device: torch.device
) -> Iterator[list[Fold]]:
    """Yields the folds in their order, those together that are trained as one stack."""
    validation = recipe.data.validation
    assert validation is not None, "it is cross-validated"
    ends = sorted({0, *(rung // recipe.training.epochs for rung in rungs), validation.n_trainings})
    for start, end in pairwise(ends):
        folds = [load(number) for number in range(start, end)]
        network = weightless_network(recipe, folds[0].dataset)
        if device.type != "cpu" or reason_against(recipe, network, folds[0].dataset) is not None:
            yield from ([fold] for fold in folds)
            continue
        for _, alike in groupby(folds, lambda fold: math.ceil(len(fold.dataset.train) / recipe.training.batch_size)):
            yield list(alike)
