"""The fusion network: streams along a route, fusion, head."""

from collections.abc import Mapping

from torch import Tensor, nn

from nasfuse.nn.fusion import Fusion
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.route import Route
from nasfuse.nn.stream import Stream


class Head(nn.Module):
    """Layer norm, dropout and a linear layer to the outputs. MACs: d c."""

    def __init__(self, width: int, *, n_outputs: int, dropout: float) -> None:
        """Builds the head for features of `width`."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Returns (b, n_outputs) for features (b, d)."""
        result: Tensor = self.out(self.dropout(self.norm(features)))
        return result

    def macs(self) -> int:
        """Returns d c."""
        return self.out.in_features * self.out.out_features


class FusionNetwork(nn.Module):
    """Runs every stream of the route to its last stage, fuses them and predicts.

    Attributes:
        route: What runs.
    """

    def __init__(self, streams: Mapping[str, Stream], *, route: Route, fusion: Fusion | None, head: Head) -> None:
        """Joins the parts; `fusion` is None for a route of one stream."""
        super().__init__()
        self.streams = PerStream(streams)
        self.route = route
        self.fusion = fusion
        self.head = head

    def forward(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Returns logits (b, n_outputs); real numbers for a regression.

        Args:
            inputs: Modality name to its batch (`nasfuse.data.Batch.inputs`).
            masks: Sequence name to (b, T); absent where every step is real.
        """
        states = {
            name: self.streams[name](inputs[name], masks.get(name), n_stages=n_stages)
            for name, n_stages in self.route.n_stages.items()
        }
        if self.fusion is None:
            (tokens,) = states.values()
            features = tokens.mean()
        else:
            features = self.fusion(states)
        logits: Tensor = self.head(features)
        return logits

    def macs(self, lengths: Mapping[str, int]) -> int:
        """Returns the multiply-accumulates of one sample in closed form.

        Args:
            lengths: Steps of each sequence of the sample; other kinds need no entry.
        """
        total, extents = 0, {}
        for name, n_stages in self.route.n_stages.items():
            cost, extents[name] = self.streams[name].macs(lengths.get(name, 0), n_stages=n_stages)
            total += cost
        if self.fusion is not None:
            total += self.fusion.macs(extents)
        return total + self.head.macs()
