"""Base classes of fusion operators, which map the tokens of the streams to one vector per sample."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from nasfuse.nn.knob import Knob
from nasfuse.nn.packing import Packing, Packings, prefixed
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.residual_mlp import ResidualMlp
from nasfuse.nn.tokens import Extent, Tokens


class Fusion(nn.Module, ABC):
    """Fusion of the streams of a route, followed by the joint stages.

    Attributes:
        out_width: Features of the fused vector.
        fuses_outputs: Whether the operator fuses outputs of the network: it is built with a head for each stream, in
            the place of widths and joint stages, and its result is the output.
    """

    fuses_outputs: ClassVar[bool] = False
    out_width: int

    @abstractmethod
    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""

    @abstractmethod
    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates for one sample with these tokens."""

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the settings that can be changed after training."""
        return ()

    @property
    def out_packing(self) -> Packing:
        """Returns the packing of the fused vector."""
        return ((self.out_width,),)

    def packings(self, read: Mapping[str, Packing]) -> Packings:
        """Returns the packings of the weights that read the streams, whose features are packed as `read`."""
        found: Packings = {}
        for name, child in self.named_children():
            if isinstance(child, Projections):
                found |= prefixed(name, child.packings(read))
        return found


class VectorFusion(Fusion):
    """Fusion of one pooled vector per stream, followed by residual MLP stages."""

    def __init__(self, *, width: int, n_joint: int, expansion: int, dropout: float) -> None:
        """Builds `n_joint` joint stages of `width`."""
        super().__init__()
        self.out_width = width
        self.joint = nn.ModuleList(
            ResidualMlp(width, hidden=expansion * width, dropout=dropout) for _ in range(n_joint)
        )

    def forward(self, states: Mapping[str, Tokens]) -> Tensor:
        """Returns the fused (b, out_width) for the tokens of each stream."""
        fused = self.merge({name: tokens.vector() for name, tokens in states.items()})
        for block in self.joint:
            fused = block(fused)
        return fused

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates of merging and of the joint stages."""
        return self.merge_macs() + self.joint_macs()

    def joint_macs(self) -> int:
        """Returns the multiply-accumulates of the joint stages."""
        blocks: list[ResidualMlp] = list(self.joint)  # type: ignore[arg-type]
        return sum(block.macs(1) for block in blocks)

    @abstractmethod
    def merge(self, features: Mapping[str, Tensor]) -> Tensor:
        """Returns (b, width) for one (b, d_m) per stream."""

    @abstractmethod
    def merge_macs(self) -> int:
        """Returns the multiply-accumulates of `merge` for one sample."""


class Projections(PerStream[nn.Module]):
    """Linear layers to the fused width; streams that already have this width are passed unchanged."""

    def __init__(self, widths: Mapping[str, int], width: int) -> None:
        """Builds the layers for streams of `widths`."""
        super().__init__(
            {name: nn.Linear(own, width) if own != width else nn.Identity() for name, own in widths.items()}
        )
        self.macs_per_token = {name: own * width if own != width else 0 for name, own in widths.items()}

    def packings(self, read: Mapping[str, Packing]) -> Packings:
        """Returns the packings of the layers for streams whose features are packed as `read`."""
        return {f"{self.key(name)}.weight": {1: read[name]} for name in self if isinstance(self[name], nn.Linear)}
