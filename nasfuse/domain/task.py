"""The kinds of task, by name: what a recipe may ask for, without torch."""

from dataclasses import dataclass

#: Label of pixels without a label, in memory; data may use another number.
VOID = 255


@dataclass(frozen=True)
class TaskEntry:
    """A kind of task as recipes name it.

    Attributes:
        name: As `data.task` has it.
        implementation: `module:class` of its `nasfuse.tasks.base.TaskKind`, imported where it is needed.
        has_classes: Whether its targets are classes or labels, which can be smoothed and weighted.
        is_exclusive: Whether a sample has exactly one of the classes.
        loss: Name of its own loss (`TaskKind.loss`) in recipes, the default; kinds of task may share a name.
        is_dense: Whether a target is a map of one label per pixel, with `VOID` where there is none. Outputs are then
            (b, n_outputs, H, W) at the size of the map.
    """

    name: str
    implementation: str
    has_classes: bool
    is_exclusive: bool
    loss: str
    is_dense: bool = False


TASKS: dict[str, TaskEntry] = {
    task.name: task
    for task in (
        TaskEntry(
            "multiclass",
            "nasfuse.tasks.multiclass:Multiclass",
            has_classes=True,
            is_exclusive=True,
            loss="cross_entropy",
        ),
        TaskEntry(
            "multilabel",
            "nasfuse.tasks.multilabel:Multilabel",
            has_classes=True,
            is_exclusive=False,
            loss="cross_entropy",
        ),
        TaskEntry(
            "regression",
            "nasfuse.tasks.regression:Regression",
            has_classes=False,
            is_exclusive=False,
            loss="huber",
        ),
        TaskEntry(
            "segmentation",
            "nasfuse.tasks.segmentation:Segmentation",
            has_classes=True,
            is_exclusive=True,
            loss="cross_entropy",
            is_dense=True,
        ),
    )
}
