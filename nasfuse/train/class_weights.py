"""Weights of classes in the training loss."""

from collections.abc import Callable

from torch import Tensor

from nasfuse.domain.modality import Task
from nasfuse.tasks import TaskKind, task_kind


def _root(weights: Tensor | None) -> Tensor | None:
    return None if weights is None else weights.sqrt()


_RULES: dict[str, Callable[[TaskKind, Tensor, int], Tensor | None]] = {
    "none": lambda kind, targets, n_outputs: None,
    "balanced": lambda kind, targets, n_outputs: kind.balanced_weights(targets, n_outputs),
    "root_balanced": lambda kind, targets, n_outputs: _root(kind.balanced_weights(targets, n_outputs)),
    "median_frequency": lambda kind, targets, n_outputs: kind.median_frequency_weights(targets, n_outputs),
}


def class_weights(rule: str, targets: Tensor, task: Task) -> Tensor | None:
    """Returns the weights of the classes of a training; None if all are 1.

    Args:
        rule: `training.class_weights` of a recipe.
        targets: Targets of the training samples.
        task: Task of the data, to which the rule applies.
    """
    return _RULES[rule](task_kind(task.kind), targets, task.n_outputs)
