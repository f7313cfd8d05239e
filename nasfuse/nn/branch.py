"""Routes through the streams, and the layers after the streams on a route: fusion and head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from nasfuse.nn.decoder import Decoder
from nasfuse.nn.fusion import Fusion
from nasfuse.nn.head import Head
from nasfuse.nn.knob import Knob
from nasfuse.nn.packing import HasPackedWeights, Packing, Packings, prefixed
from nasfuse.nn.places import Place, streams_at
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

    def at(self, place: Place) -> Tokens:
        """Returns the tokens at a place: after the stem and some stages of a stream, and after sites."""


class Branch(nn.Module, HasPackedWeights):
    """Fusion and head of one route (an expert in DynMM).

    Attributes:
        route: Streams and stages that the branch uses.
        fusion: Fusion of the streams at the end of the route; None if the head reads a single place.
        head: Layers from the features to the outputs; routes of a fusion at sites share one.
        places: Places whose tokens the branch reads.
        read: Packing of the features that it reads at each of them: output vectors, or tokens.
    """

    head: Head | Decoder

    def __init__(
        self,
        route: Route,
        *,
        fusion: Fusion | None,
        head: Head | Decoder,
        read: Sequence[Packing],
        places: Sequence[Place] | None = None,
    ) -> None:
        """Builds the branch from its parts.

        Args:
            route: Streams and stages.
            fusion: None for a route of one stream, and for a fusion at sites, which has been before.
            head: Head, or a decoder for label maps.
            read: Packing of the features that the branch reads at each place.
            places: What the branch reads, if it is not each stream where the route ends.
        """
        super().__init__()
        self.route = route
        self.fusion = fusion
        self.head = head
        self.places = streams_at(route.n_stages) if places is None else tuple(places)
        self.read = tuple(read)

    @property
    def width(self) -> int:
        """Returns the number of `features`."""
        return self.head.width

    @property
    def packing(self) -> Packing:
        """Returns the packing of `features`."""
        return self.read[-1] if self.fusion is None else self.fusion.out_packing

    def run(self, states: States) -> tuple[Tensor, Tensor]:
        """Returns the outputs, see `forward`, and the features of the samples (b, width) behind them."""
        tokens = [states.at(place) for place in self.places]
        if isinstance(self.head, Decoder):
            return self.head(tokens), tokens[-1].mean()
        features = self._features(tokens)
        return self.head(features), features

    def _features(self, tokens: Sequence[Tokens]) -> Tensor:
        if self.fusion is None:
            (only,) = tokens
            return only.vector()
        fused: Tensor = self.fusion({place.line.stream: one for place, one in zip(self.places, tokens, strict=True)})
        return fused

    def forward(self, states: States) -> Tensor:
        """Returns logits (b, n_outputs), (b, n_outputs, H, W) for label maps; real numbers for a regression."""
        return self.run(states)[0]

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the settings of the fusion and the head that can be changed after training."""
        return (*(() if self.fusion is None else self.fusion.knobs()), *self.head.knobs())

    def packings(self) -> Packings:
        """Returns the packings of the weights of fusion and head; a decoder has none of its own."""
        if isinstance(self.head, Decoder):
            return {}
        if self.fusion is None:
            return prefixed("head", self.head.packings(self.read[0]))
        read = {place.line.stream: packing for place, packing in zip(self.places, self.read, strict=True)}
        return {
            **prefixed("fusion", self.fusion.packings(read)),
            **prefixed("head", self.head.packings(self.fusion.out_packing)),
        }

    def macs(self, extents: Mapping[Place, Extent]) -> int:
        """Returns the multiply-accumulates after the streams and sites, for tokens of `extents` at the places."""
        if isinstance(self.head, Decoder):
            return self.head.macs([extents[place] for place in self.places])
        own = {place.line.stream: extents[place] for place in self.places}
        return (0 if self.fusion is None else self.fusion.macs(own)) + self.head.macs()
