"""Routed networks: one of several routes for every sample, the stages of the others are not computed."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasfuse.nn.branch import Branch
from nasfuse.nn.knob import Knob, knobs_as_trained
from nasfuse.nn.network import Network, knobs_of, streams_macs
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.states import StreamStates
from nasfuse.nn.stream import Stream
from nasfuse.nn.tracing import refuse_tracing


@dataclass(frozen=True)
class AllRoutes:
    """What a batch gives on every route.

    Attributes:
        gate: (b, n_routes) logits of the router, uncalibrated; None where nothing but the outputs decides.
        outputs: (b, n_routes, n_outputs).
    """

    gate: Tensor | None
    outputs: Tensor


class RoutedNetwork(Network):
    """Streams shared by several routes, and a branch (fusion and head) for each.

    In inference and training mode alike, `forward` computes for each sample what its route needs and nothing else.
    `all_routes` computes everything, which is what training needs.

    Attributes:
        branches: By cost, all that runs before the choice included; cheapest first.
        threshold: Inference-time knob from 0 (costliest route) to 1 (cheapest).
        relative_costs: (n_routes,) Multiply-accumulates of the routes at full lengths, from 0 (cheapest) to 1.
    """

    threshold: Tensor
    relative_costs: Tensor

    def __init__(
        self,
        streams: Mapping[str, Stream],
        branches: Sequence[Branch],
        *,
        needs: Mapping[str, int],
        lengths: Mapping[str, int],
        threshold: float,
    ) -> None:
        """Joins the parts; the subclass calls `_measure_costs` when it is complete.

        Args:
            streams: Of all routes.
            branches: The cheapest first.
            needs: Stages by stream that run for every sample before the choice.
            lengths: Those of full sequences, at which the routes' costs are compared.
            threshold: See above.
        """
        super().__init__()
        self.streams = PerStream(streams)
        self.branches = nn.ModuleList(branches)
        stops: dict[str, set[int]] = {name: set() for name in streams}
        for one in [needs, *(branch.route.n_stages for branch in branches)]:
            for name, n_stages in one.items():
                stops[name].add(n_stages)
        self._stops = {name: frozenset(counts) for name, counts in stops.items()}
        self._full_lengths = dict(lengths)
        self.register_buffer("relative_costs", torch.zeros(len(branches), dtype=torch.float64))
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float64))

    def _measure_costs(self) -> None:
        """Sets `relative_costs`."""
        with knobs_as_trained(knobs_of(self.streams, self._branches())):  # or they would decide what is trained
            costs = torch.tensor(list(self.full_route_macs().values()), dtype=torch.float64)
        self.relative_costs.copy_((costs - costs.min()) / (costs.max() - costs.min()).clamp_min(1.0))

    @property
    def route_names(self) -> tuple[str, ...]:
        """Names of the routes, cheapest first."""
        return tuple(branch.route.name for branch in self._branches())

    def cost_shares(self) -> dict[str, float]:
        """Returns route to its multiply-accumulates over those of the costliest, as trained, router included.

        At full lengths, with every knob at its setting of training.
        """
        with knobs_as_trained(self.knobs()):
            macs = self.full_route_macs()
        return {name: cost / max(macs.values()) for name, cost in macs.items()}

    def full_route_macs(self) -> dict[str, int]:
        """Returns route to the multiply-accumulates of a full-length sample that takes it, router included."""
        return dict(zip(self.route_names, self.route_macs(self._full_lengths), strict=True))

    def parts(self) -> nn.ModuleList:
        """Returns all that is chosen between: streams and branches, not the router."""
        return nn.ModuleList([self.streams, self.branches])

    def knobs(self) -> tuple[Knob, ...]:
        """Returns those of the streams and of all branches, and the threshold."""
        threshold = Knob("threshold", get=lambda: float(self.threshold), set=self.set_threshold)
        return (*knobs_of(self.streams, self._branches()), threshold)

    def set_threshold(self, threshold: float) -> None:
        """Sets the inference-time knob."""
        self.threshold.fill_(threshold)

    def forward(
        self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor], chosen: Tensor | int | None = None
    ) -> Tensor:
        """Returns logits (b, n_outputs), see `Network.forward`.

        Args:
            inputs: Modality name to its batch.
            masks: Sequence name to (b, T); absent where every step is real.
            chosen: (b,) route of each sample, or the number of one route for all of them, in the place of the network's
                choice; what the choice needs runs nevertheless.

        Raises:
            TracingError: The network is traced or exported while the route depends on the sample. Traces of one
                route are right: `chosen` as a number, or a threshold of 0 or 1.
        """
        if isinstance(chosen, int):
            return self.run_route(chosen, inputs, masks)[0]
        states = self._states(inputs, masks)
        only = None if torch.compiler.is_exporting() else self.only_route()  # which cannot read the threshold
        if chosen is None and only is not None:
            logits: Tensor = self._branches()[only](states)
            return logits
        refuse_tracing(
            "the route of a sample depends on its values",
            "trace one route, by its number as chosen or by set_threshold(0) or set_threshold(1), or run the network "
            "as it is",
        )
        return self._choose_and_run(states, inputs, masks, chosen)

    @abstractmethod
    def calibrate(self, calibration: Any) -> None:
        """Sets what a threshold means: a `Calibration` of a router, an `ExitCalibration` of exits."""

    @abstractmethod
    def run_route(self, number: int, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Returns the logits of route `number`, and all else that is computed for samples that take it."""

    @abstractmethod
    def only_route(self) -> int | None:
        """Returns the number of the route that the threshold gives to every sample; None where samples decide.

        That route runs as a static network, without what the choice needs.
        """

    @abstractmethod
    def _choose_and_run(
        self,
        states: StreamStates,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        chosen: Tensor | None,
    ) -> Tensor:
        """Returns logits (b, n_outputs), of `chosen` (b,) where it is given."""

    @abstractmethod
    def all_routes(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> AllRoutes:
        """Returns router and logits of every route for every sample; streams run once for all routes."""

    @abstractmethod
    def run_before(self) -> list[list[int]]:
        """Returns, for each route, the numbers of the other branches that run for samples that take it."""

    def route_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns one figure per route, all that runs for the choice included; `lengths` as in `static_macs`."""
        return [self._macs([*before, number], lengths) for number, before in enumerate(self.run_before())]

    def cascade_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns one figure per route where the cheapest one runs for every sample first, without router."""
        return [self._macs([0, number] if number else [0], lengths) for number in range(len(self.branches))]

    def static_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns one figure per route, see `Network.static_macs`."""
        return [self._macs([number], lengths) for number in range(len(self.branches))]

    def _macs(self, numbers: Sequence[int], lengths: Mapping[str, int], needs: Mapping[str, int] | None = None) -> int:
        """Returns the multiply-accumulates of branches `numbers`: what several need of a stream is computed once."""
        branches = [self._branches()[number] for number in numbers]
        most = dict(needs or {})
        for branch in branches:
            for name, n_stages in branch.route.n_stages.items():
                most[name] = max(most.get(name, 0), n_stages)
        total, _ = streams_macs(self.streams, most, lengths)
        return total + sum(
            branch.macs(streams_macs(self.streams, branch.route.n_stages, lengths)[1]) for branch in branches
        )

    def _branches(self) -> list[Branch]:
        return list(self.branches)  # type: ignore[arg-type]

    def _states(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> StreamStates:
        return StreamStates(self.streams, inputs, masks, stops=self._stops)
