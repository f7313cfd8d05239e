"""The implementation of each loss."""

from collections.abc import Mapping
from pkgutil import resolve_name

from nasfuse.domain.loss import get_loss
from nasfuse.tasks.losses.base import TrainingLoss
from nasfuse.tasks.registry import task_kind


def training_loss(task: str, name: str | None = None, *, options: Mapping[str, float]) -> TrainingLoss:
    """Returns the loss called `name` (`nasfuse.domain.loss.LOSSES`) of a kind of task.

    Args:
        task: Kind of task.
        name: Name of the loss; None is the default of the task.
        options: Values of `nasfuse.domain.loss.LOSS_OPTIONS`, of which the loss takes its own.

    Raises:
        InvalidInputError: There is no such task or loss, or the loss does not apply to the task.
    """
    kind, entry = task_kind(task), get_loss(name, task)
    loss: TrainingLoss = resolve_name(entry.implementation)(kind, **{key: options[key] for key in entry.options})
    return loss
