"""Fields of a recipe, and choices of them, that depend on the kind of task."""

from collections.abc import Sequence
from typing import Any

from nasfuse.domain.loss import losses_of
from nasfuse.domain.task import TASKS

#: Fields of tasks with classes.
_OF_CLASSES = ("training.label_smoothing", "training.class_weights", "training.focal_gamma")

#: Prefix of the fields of tasks with label maps.
_OF_LABEL_MAPS = "network.decoder."

#: The fusion that keeps the map of an image.
_OF_MAPS = "sites"


def is_field_of(path: str, task: str) -> bool:
    """Returns whether a space for `task` has the field; others are left out of it."""
    if path in _OF_CLASSES:
        return TASKS[task].has_classes
    return TASKS[task].is_dense or not path.startswith(_OF_LABEL_MAPS)


def choices_of(path: str, choices: Sequence[Any], task: str) -> list[Any]:
    """Returns the choices of a field that networks for `task` can have."""
    if path == "training.loss":
        return [choice for choice in choices if choice in losses_of(task)]
    if path == "network.fusion.kind" and TASKS[task].is_dense:
        return [choice for choice in choices if choice == _OF_MAPS]
    return list(choices)
