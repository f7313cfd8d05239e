"""What a modality is, without its data: enough to expand a search space and to count MACs."""

from dataclasses import dataclass
from typing import Literal

ModalityKind = Literal["vector", "sequence", "image"]

#: Whether the padding of a sequence stands in front of its data or behind it.
PaddingSide = Literal["left", "right"]

#: The encoders each kind of modality can have; the first is the default.
ENCODERS: dict[str, tuple[str, ...]] = {
    "vector": ("mlp",),
    "sequence": ("transformer", "conv", "mlp"),
    "image": ("conv", "transformer", "mlp"),
}


@dataclass(frozen=True)
class Modality:
    """A named input.

    Attributes:
        name: How recipes and spaces call it.
        kind: `vector`, `sequence` or `image`.
        shape: Per sample: (F,) for a vector, (T, F) for a sequence with T the longest length,
            (C, H, W) for an image. A sequence of token ids has shape (T,).
        vocabulary: Number of token ids of a sequence of ids, else None.
    """

    name: str
    kind: ModalityKind
    shape: tuple[int, ...]
    vocabulary: int | None = None

    def __str__(self) -> str:
        """Shape in the words of `docs/data.md`."""
        ids = f", ids below {self.vocabulary}" if self.vocabulary else ""
        return f"{self.name}: {self.kind} {' x '.join(str(size) for size in self.shape)}{ids}"


@dataclass(frozen=True)
class Task:
    """What is predicted.

    Attributes:
        kind: `multiclass` (one of n_outputs classes), `multilabel` (n_outputs yes/no labels) or
            `regression` (n_outputs real numbers).
        n_outputs: Width of the head.
    """

    kind: str
    n_outputs: int
