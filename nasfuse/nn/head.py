"""Heads: from the features of a stream or a fusion to the outputs of the network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from nasfuse.nn.knob import Knob
from nasfuse.nn.packing import Packing, Packings, prefixed
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.tokens import Tokens


class Head(nn.Module, ABC):
    """Layers from features to outputs.

    Attributes:
        width: Number of input features.
        n_outputs: Number of outputs.
    """

    width: int
    n_outputs: int

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Returns (b, n_outputs) for features (b, width)."""

    @abstractmethod
    def macs(self) -> int:
        """Returns the multiply-accumulates per sample."""

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the settings that can be changed after training."""
        return ()

    def packings(self, read: Packing) -> Packings:
        """Returns the packings of the weights that read the features, which are packed as `read`."""
        return {}


class LinearHead(Head):
    """Layer norm, dropout and a linear layer. MACs: d c."""

    def __init__(self, width: int, *, n_outputs: int, dropout: float) -> None:
        """Builds the head for features of `width`."""
        super().__init__()
        self.width, self.n_outputs = width, n_outputs
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Returns (b, n_outputs) for features (b, width)."""
        result: Tensor = self.out(self.dropout(self.norm(features)))
        return result

    def macs(self) -> int:
        """Returns the multiply-accumulates per sample, d c."""
        return self.out.in_features * self.out.out_features

    def packings(self, read: Packing) -> Packings:
        """Returns the packings of norm and linear layer."""
        return {"norm.weight": {0: read}, "norm.bias": {0: read}, "out.weight": {1: read}}


class IdentityHead(Head):
    """Passes features that are outputs already. MACs: 0."""

    def __init__(self, n_outputs: int) -> None:
        """Keeps the number of outputs."""
        super().__init__()
        self.width = self.n_outputs = n_outputs

    def forward(self, features: Tensor) -> Tensor:
        """Returns the features."""
        return features

    def macs(self) -> int:
        """Returns 0."""
        return 0


class StreamHeads(nn.Module):
    """One head per stream."""

    def __init__(self, heads: Mapping[str, Head]) -> None:
        """Keeps the heads by stream."""
        super().__init__()
        self.heads = PerStream(heads)

    def forward(self, states: Mapping[str, Tokens]) -> dict[str, Tensor]:
        """Returns the outputs (b, n_outputs) of each stream for its tokens."""
        return {name: self.heads[name](states[name].vector()) for name in self.heads}

    def packings(self, read: Mapping[str, Packing]) -> Packings:
        """Returns the packings of the heads of streams whose features are packed as `read`."""
        found: Packings = {}
        for name in self.heads:
            found |= prefixed(f"heads.{self.heads.key(name)}", self.heads[name].packings(read[name]))
        return found

    def macs(self) -> int:
        """Returns the multiply-accumulates of all heads per sample."""
        return sum(self.heads[name].macs() for name in self.heads)

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the settings of the heads that can be changed after training."""
        return tuple(knob for name in self.heads for knob in self.heads[name].knobs())
