"""Descriptions of modalities and tasks, without data: sufficient to expand a search space and to count MACs."""

from dataclasses import dataclass
from typing import Literal

ModalityKind = Literal["vector", "sequence", "image"]

#: Side of the padding of a sequence: before its data (`left`) or after it (`right`).
PaddingSide = Literal["left", "right"]

#: Encoders by kind of modality; the first one is the default.
ENCODERS: dict[str, tuple[str, ...]] = {
    "vector": ("mlp", "linear", "maxout"),
    "sequence": ("transformer", "conv", "mlp", "linear", "random_conv"),
    "image": ("conv", "transformer", "mlp", "linear", "random_conv", "resnet"),
}


@dataclass(frozen=True)
class Modality:
    """A named input.

    Attributes:
        name: Name in recipes and spaces.
        kind: `vector`, `sequence` or `image`.
        shape: Shape of a sample: (F,) for a vector; (T, F) for a sequence, where T is the largest length; (T,) for a
            sequence of token ids; (C, H, W) for an image.
        vocabulary: Number of distinct ids of a sequence of token ids; None for other modalities.
        padding: Side on which sequences with lengths are padded in the data.
        can_be_absent: Whether samples of the data lack it.
    """

    name: str
    kind: ModalityKind
    shape: tuple[int, ...]
    vocabulary: int | None = None
    padding: PaddingSide = "right"
    can_be_absent: bool = False

    def __str__(self) -> str:
        """Returns name, kind and shape in the notation of `docs/data.md`."""
        ids = f", ids below {self.vocabulary}" if self.vocabulary else ""
        return f"{self.name}: {self.kind} {' x '.join(str(size) for size in self.shape)}{ids}"


@dataclass(frozen=True)
class Task:
    """The prediction task.

    Attributes:
        kind: Name of the kind, one of `nasfuse.domain.task.TASKS`.
        n_outputs: Number of outputs of the network, for every pixel if the task has label maps.
        size: (H, W) of the label maps of a task with one label per pixel; None for other tasks.
    """

    kind: str
    n_outputs: int
    size: tuple[int, int] | None = None
