"""The fusion network: streams along one route, fusion, head."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nasfuse.nn.branch import Branch
from nasfuse.nn.knob import Knob, joined
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.states import StreamStates
from nasfuse.nn.stream import Stream
from nasfuse.nn.tokens import Extent


class Network(nn.Module, ABC):
    """What every network is: streams, and logits for a batch.

    Attributes:
        streams: By name.
    """

    streams: PerStream[Stream]

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of the modalities that the network reads."""
        return self.streams.names

    def load_stream(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Copies the weights and buffers of stream `name` from the `state_dict` of another network.

        Raises:
            RuntimeError: That network has no such stream, or one of other modules or shapes.
        """
        stream = self.streams[name]
        (path,) = (path for path, module in self.named_modules() if module is stream)
        prefix = f"{path}."
        stream.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Returns logits (b, n_outputs); real numbers for a regression.

        Args:
            inputs: Modality name to its batch (`nasfuse.data.Batch.inputs`).
            masks: Sequence name to (b, T); absent where every step is real.
        """

    @abstractmethod
    def knobs(self) -> tuple[Knob, ...]:
        """Returns what can be set after training, one knob for each name."""

    @abstractmethod
    def static_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns the multiply-accumulates of one sample on each route in closed form.

        Of the route alone, as a static network: what a router costs is not in it.

        Args:
            lengths: Steps of each sequence of the sample; other kinds need no entry.
        """


def streams_macs(
    streams: PerStream[Stream] | Mapping[str, Stream], n_stages: Mapping[str, int], lengths: Mapping[str, int]
) -> tuple[int, dict[str, Extent]]:
    """Returns the multiply-accumulates of running each stream so far, and what is left of each there."""
    total, extents = 0, {}
    for name, count in n_stages.items():
        macs, extents[name] = streams[name].macs(lengths.get(name, 0), n_stages=count)
        total += macs
    return total, extents


def knobs_of(streams: PerStream[Stream] | Mapping[str, Stream], branches: Sequence[Branch]) -> tuple[Knob, ...]:
    """Returns the knobs of streams, as far as a branch runs them, and of branches, one for each name."""
    found: list[Knob] = []
    for name in dict.fromkeys(name for branch in branches for name in branch.route.n_stages):
        n_stages = max(branch.route.n_stages.get(name, 0) for branch in branches)
        found += streams[name].knobs(name, n_stages=n_stages)
    return joined([*(knob for branch in branches for knob in branch.knobs()), *found])


class FusionNetwork(Network):
    """Runs every stream of its route, fuses them and predicts.

    Attributes:
        branch: What follows the streams.
    """

    def __init__(self, streams: Mapping[str, Stream], branch: Branch) -> None:
        """Joins the parts."""
        super().__init__()
        self.streams = PerStream(streams)
        self.branch = branch
        self._stops = {name: frozenset({n_stages}) for name, n_stages in branch.route.n_stages.items()}

    def forward(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Returns logits (b, n_outputs), see `Network.forward`."""
        logits: Tensor = self.branch(StreamStates(self.streams, inputs, masks, stops=self._stops))
        return logits

    def knobs(self) -> tuple[Knob, ...]:
        """Returns those of the streams and of the fusion."""
        return knobs_of(self.streams, [self.branch])

    def static_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns one figure, see `Network.static_macs`."""
        return [self.macs(lengths)]

    def macs(self, lengths: Mapping[str, int]) -> int:
        """Returns the multiply-accumulates of one sample in closed form."""
        total, extents = streams_macs(self.streams, self.branch.route.n_stages, lengths)
        return total + self.branch.macs(extents)
