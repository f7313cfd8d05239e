"""The kinds of task, by name: what a recipe may ask for, without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskEntry:
    """A kind of task as recipes name it.

    Attributes:
        name: As `data.task` has it.
        implementation: `module:class` of its `nasfuse.tasks.base.TaskKind`, imported where it is needed.
        smooths_labels: Whether `training.label_smoothing` can be applied to its targets.
    """

    name: str
    implementation: str
    smooths_labels: bool


TASKS: dict[str, TaskEntry] = {
    task.name: task
    for task in (
        TaskEntry("multiclass", "nasfuse.tasks.multiclass:Multiclass", smooths_labels=True),
        TaskEntry("multilabel", "nasfuse.tasks.multilabel:Multilabel", smooths_labels=True),
        TaskEntry("regression", "nasfuse.tasks.regression:Regression", smooths_labels=False),
    )
}
