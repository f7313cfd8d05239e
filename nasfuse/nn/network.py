"""Networks: the base classes, and the static network of one route (streams, fusion and head)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nasfuse.nn.branch import Branch
from nasfuse.nn.knob import Knob, joined
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.places import places_macs, with_sources
from nasfuse.nn.sites.sites import Sites
from nasfuse.nn.states import StreamStates
from nasfuse.nn.stream import Stream


class Network(nn.Module, ABC):
    """Base class of networks, which map a batch to logits."""

    @property
    @abstractmethod
    def stream_names(self) -> tuple[str, ...]:
        """Names of the modalities that the network reads."""

    def inputs_by_route(self, *, is_static: bool = False) -> list[frozenset[str]]:
        """Returns the modalities that are read for the samples of each route; a network without a router has one route.

        Args:
            is_static: Whether every route is a static network of its own, without what is read for the choice.
        """
        return [frozenset(self.stream_names)]

    @property
    @abstractmethod
    def placeholders(self) -> frozenset[str]:
        """Names of the modalities that a learned placeholder stands for in samples that lack them."""

    @abstractmethod
    def forward(
        self,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Returns logits (b, n_outputs), (b, n_outputs, H, W) for label maps; real numbers for a regression.

        Args:
            inputs: Modality name to its batch (`nasfuse.data.Batch.inputs`).
            masks: Sequence name to its mask (b, T), true for real steps; absent if no step is padding.
            present: Modality name to the samples (b,) that have it; no entry if all have it. Inputs of the others are
                as `nasfuse.data.Batch.without` makes them.
        """

    @abstractmethod
    def knobs(self) -> tuple[Knob, ...]:
        """Returns the settings that can be changed after training, one knob per name."""

    @abstractmethod
    def static_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns the multiply-accumulates of one sample on each route in closed form.

        Each route is counted as a static network, without the router.

        Args:
            lengths: Number of steps of the sample by sequence; other kinds of modalities have no entry.
        """


class StreamNetwork(Network):
    """Base class of networks that are trained as a whole, with one stream per modality.

    Attributes:
        streams: Streams by name.
        sites: Sites at which the main stream takes in others, shared by all routes; None without any.
    """

    streams: PerStream[Stream]
    sites: Sites | None

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of the modalities that the network reads."""
        return self.streams.names

    @property
    def placeholders(self) -> frozenset[str]:
        """Names of the streams with a placeholder."""
        return frozenset(name for name in self.streams if self.streams[name].placeholder is not None)

    def load_stream(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Copies the weights and buffers of stream `name` from the `state_dict` of another network.

        A placeholder that this stream has not is left out, and one that the other has not starts anew.

        Raises:
            RuntimeError: The other network does not have the stream, or its modules or shapes differ.
        """
        stream = self.streams[name]
        (path,) = (path for path, module in self.named_modules() if module is stream)
        prefix = f"{path}."
        own = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        if stream.placeholder is None:
            own = {key: value for key, value in own.items() if not key.startswith("placeholder.")}
        stream.load_state_dict(own)


def knobs_of(streams: PerStream[Stream] | Mapping[str, Stream], branches: Sequence[Branch]) -> tuple[Knob, ...]:
    """Returns the knobs of the branches and of the stages that they run, one knob per name."""
    found: list[Knob] = []
    for name in dict.fromkeys(name for branch in branches for name in branch.route.n_stages):
        n_stages = max(branch.route.n_stages.get(name, 0) for branch in branches)
        found += streams[name].knobs(name, n_stages=n_stages)
    return joined([*(knob for branch in branches for knob in branch.knobs()), *found])


class FusionNetwork(StreamNetwork):
    """Runs every stream of its route, fuses them and predicts.

    Attributes:
        branch: Fusion and head.
    """

    def __init__(self, streams: Mapping[str, Stream], branch: Branch, *, sites: Sites | None = None) -> None:
        """Builds the network from its parts."""
        super().__init__()
        self.streams = PerStream(streams)
        self.sites = sites
        self.branch = branch
        self._stops = with_sources(branch.places, sites)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Returns logits (b, n_outputs); see `Network.forward`."""
        states = StreamStates(self.streams, inputs, masks, stops=self._stops, sites=self.sites, present=present)
        logits: Tensor = self.branch(states)
        return logits

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the knobs of the streams and of the fusion."""
        return knobs_of(self.streams, [self.branch])

    def static_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns the multiply-accumulates of the only route; see `Network.static_macs`."""
        return [self.macs(lengths)]

    def macs(self, lengths: Mapping[str, int]) -> int:
        """Returns the multiply-accumulates of one sample in closed form."""
        total, extents = places_macs(self.streams, self.branch.places, lengths, sites=self.sites)
        return total + self.branch.macs(extents)
