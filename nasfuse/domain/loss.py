"""Losses of trainings: names, and the kinds of task they apply to, without torch."""

from dataclasses import dataclass

from nasfuse.domain.task import TASKS
from nasfuse.errors import InvalidInputError, nearest


@dataclass(frozen=True)
class LossEntry:
    """A loss as recipes name it in `training.loss`.

    Attributes:
        name: Name in recipes.
        tasks: Kinds of task it applies to.
        implementation: `module:class` of its `nasfuse.tasks.losses.base.TrainingLoss`, imported where it is needed.
        options: Fields of the training that it has as keyword arguments.
    """

    name: str
    tasks: tuple[str, ...]
    implementation: str
    options: tuple[str, ...] = ()


def _own_losses() -> list[LossEntry]:
    """Returns the losses that the kinds of task have by themselves."""
    tasks: dict[str, tuple[str, ...]] = {}
    for task in TASKS.values():
        tasks[task.loss] = (*tasks.get(task.loss, ()), task.name)
    return [LossEntry(loss, of_loss, "nasfuse.tasks.losses.own:OwnLoss") for loss, of_loss in tasks.items()]


#: Losses by name. The first one of a task is its default, that of the task itself.
LOSSES: dict[str, LossEntry] = {
    loss.name: loss
    for loss in (
        *_own_losses(),
        LossEntry(
            "focal",
            ("multiclass", "multilabel", "segmentation"),
            "nasfuse.tasks.losses.focal:FocalLoss",
            ("focal_gamma",),
        ),
        LossEntry(
            "ranked_probability",
            ("multiclass",),
            "nasfuse.tasks.losses.ranked_probability:RankedProbabilityLoss",
        ),
        LossEntry("l1", ("regression",), "nasfuse.tasks.losses.l1:L1Loss"),
        LossEntry("squared", ("regression",), "nasfuse.tasks.losses.squared:SquaredLoss"),
    )
}

#: Fields of the training that belong to one loss.
LOSS_OPTIONS: tuple[str, ...] = tuple(option for loss in LOSSES.values() for option in loss.options)


def losses_of(task: str) -> tuple[str, ...]:
    """Returns the names of the losses of a kind of task, the default first.

    >>> losses_of("regression")
    ('huber', 'l1', 'squared')
    """
    assert task in TASKS, "checked by the recipe"
    return tuple(loss.name for loss in LOSSES.values() if task in loss.tasks)


def get_loss(name: str | None, task: str) -> LossEntry:
    """Returns the loss called `name`; None is the default of `task`.

    Raises:
        InvalidInputError: There is no such loss, or it does not apply to `task`.
    """
    fitting = losses_of(task)
    if name is None:
        return LOSSES[fitting[0]]
    if name not in LOSSES:
        raise InvalidInputError(f"{name!r} is not known; {nearest(name, LOSSES)}")
    if name not in fitting:
        raise InvalidInputError(f"{name} does not apply to a {task} task; use {' or '.join(fitting)}")
    return LOSSES[name]
