"""Routes through the streams, and the layers after the streams on a route: fusion and head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from nasfuse.nn.fusion import Fusion
from nasfuse.nn.head import Head
from nasfuse.nn.knob import Knob
from nasfuse.nn.tokens import Extent, Tokens


@dataclass(frozen=True)
class Route:
    """A route: the streams that run, and how many of their stages.

    Attributes:
        n_stages: Number of stages before the fusion, by stream. Streams that are not listed do not run.
        name: Text form of the route in the recipe.
    """

    n_stages: Mapping[str, int]
    name: str = ""


class States(Protocol):
    """The tokens of the streams of a batch."""

    def at(self, stream: str, n_stages: int) -> Tokens:
        """Returns the tokens of `stream` after its stem and `n_stages` stages."""


class Branch(nn.Module):
    """Fusion and head of one route (an expert in DynMM).

    Attributes:
        route: Streams and stages that the branch uses.
    """

    def __init__(self, route: Route, *, fusion: Fusion | None, head: Head) -> None:
        """Builds the branch from its parts; `fusion` is None for a route of one stream."""
        super().__init__()
        self.route = route
        self.fusion = fusion
        self.head = head

    @property
    def width(self) -> int:
        """Returns the number of input features of the head."""
        return self.head.width

    def features(self, states: States) -> Tensor:
        """Returns the (b, width) features before the head."""
        tokens = {name: states.at(name, n_stages) for name, n_stages in self.route.n_stages.items()}
        if self.fusion is None:
            (only,) = tokens.values()
            return only.vector()
        fused: Tensor = self.fusion(tokens)
        return fused

    def forward(self, states: States) -> Tensor:
        """Returns logits (b, n_outputs); real numbers for a regression."""
        logits: Tensor = self.head(self.features(states))
        return logits

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the settings of the fusion and the head that can be changed after training."""
        return (*(() if self.fusion is None else self.fusion.knobs()), *self.head.knobs())

    def macs(self, extents: Mapping[str, Extent]) -> int:
        """Returns the multiply-accumulates after the streams, for tokens of `extents`."""
        return (0 if self.fusion is None else self.fusion.macs(extents)) + self.head.macs()
