"""Interface of the losses of trainings."""

from abc import ABC, abstractmethod

from torch import Tensor

from nasfuse.tasks.base import TaskKind


class TrainingLoss(ABC):
    """What a training minimises, one number per batch.

    Attributes:
        kind: Kind of task.
    """

    def __init__(self, kind: TaskKind) -> None:
        """Stores the kind of task."""
        self.kind = kind

    @abstractmethod
    def __call__(
        self, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> Tensor:
        """Returns the mean loss of a batch, a scalar; for the arguments see `nasfuse.tasks.TaskKind.loss`."""
