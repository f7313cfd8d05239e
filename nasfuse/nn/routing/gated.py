"""The network with a learned router, which chooses the route of a sample once (DynMM)."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nasfuse.nn.branch import Branch
from nasfuse.nn.knob import knobs_as_trained
from nasfuse.nn.network import knobs_of
from nasfuse.nn.places import places_macs, streams_at
from nasfuse.nn.routing.calibration import Calibration, CalibrationStatus, price_at
from nasfuse.nn.routing.gate import choose
from nasfuse.nn.routing.network import AllRoutes, RoutedNetwork
from nasfuse.nn.routing.router import InputRouter, Router, RouteRouter
from nasfuse.nn.sites.sites import Sites
from nasfuse.nn.states import StreamStates
from nasfuse.nn.stream import Stream


class GatedNetwork(RoutedNetwork):
    """A routed network with a learned router (DynMM), which computes the samples of each route as one batch.

    Attributes:
        router: Router, with logits in the order of the branches.
        threshold: Threshold of the router, see `Calibration.price_at`.
        gate_scale: Calibrated scales of the logits, shape (n_routes,).
        gate_offset: Calibrated offsets of the logits, shape (n_routes,).
        gate_prices: Price of a unit of relative cost at each of `nasfuse.nn.routing.calibration.THRESHOLDS`.
        gate_status: Number of the `CalibrationStatus`.
    """

    calibration_type = Calibration
    gate_scale: Tensor
    gate_offset: Tensor
    gate_prices: Tensor
    gate_status: Tensor

    def __init__(
        self,
        streams: Mapping[str, Stream],
        branches: Sequence[Branch],
        router: Router,
        *,
        lengths: Mapping[str, int],
        threshold: float,
        sites: Sites | None = None,
    ) -> None:
        """Builds the network from its parts.

        Args:
            streams: Streams of all routes.
            branches: Branches, the cheapest first, the others in any order.
            router: Router that reads inputs, streams or the first branch.
            lengths: Full lengths of the sequences, for the comparison of the costs of routes.
            threshold: Initial threshold.
            sites: Sites at which the main stream takes in others; None without any.
        """
        super().__init__(streams, branches, needs=router.needs, lengths=lengths, threshold=threshold, sites=sites)
        self.router = router
        self._sort_branches(lengths)
        self._measure_costs()
        identity = Calibration.identity(len(branches))
        self.register_buffer("gate_scale", identity.scale)
        self.register_buffer("gate_offset", identity.offset)
        self.register_buffer("gate_prices", identity.prices)
        self.register_buffer("gate_status", torch.tensor(int(identity.status)))

    def _sort_branches(self, lengths: Mapping[str, int]) -> None:
        """Sorts all routes but the first, which the router may read, by their costs."""
        first, *others = self._branches()
        with knobs_as_trained(knobs_of(self.streams, self._branches())):
            costs = dict(zip(others, self.route_macs(lengths)[1:], strict=True))
        self.branches = nn.ModuleList([first, *sorted(others, key=costs.__getitem__)])

    @property
    def calibration(self) -> Calibration:
        """Copy of the calibration of the router."""
        return Calibration(
            self.gate_scale.clone(),
            self.gate_offset.clone(),
            self.gate_prices.clone(),
            CalibrationStatus(int(self.gate_status)),
        )

    def calibrate(self, calibration: Calibration) -> None:
        """Sets the calibration."""
        self.gate_scale.copy_(calibration.scale)
        self.gate_offset.copy_(calibration.offset)
        self.gate_prices.copy_(calibration.prices)
        self.gate_status.fill_(int(calibration.status))

    def run_route(
        self,
        number: int,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Returns the logits of route `number` and those of the router."""
        states = self.states(inputs, masks, present)
        gate, cheap = self.gate(inputs, masks, states)
        return cheap if number == 0 and cheap is not None else self._branches()[number](states), gate

    def _only_route_at_threshold(self) -> int | None:
        """Returns the number of the route that all samples take at an infinite price, see `RoutedNetwork`."""
        price = price_at(float(self.threshold), self.gate_prices)
        if not math.isinf(price):
            return None
        return len(self.branches) - 1 if price < 0 else 0

    def _choose_and_run(
        self,
        states: StreamStates,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        chosen: Tensor | None,
    ) -> Tensor:
        gate, cheap = self.gate(inputs, masks, states)
        if chosen is None:
            calibrated = gate.double() * self.gate_scale + self.gate_offset
            chosen = choose(calibrated, self.relative_costs, price=price_at(float(self.threshold), self.gate_prices))
        if self.listener is not None:
            self.listener(chosen)
        return self._by_group(states, chosen, cheap)

    def all_routes(
        self,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> AllRoutes:
        """Returns logits of the router and outputs of all routes for all samples; streams run once for all routes."""
        states = self.states(inputs, masks, present)
        gate, cheap = self.gate(inputs, masks, states)
        first = [] if cheap is None else [cheap]
        rest = [branch(states) for branch in self._branches()[len(first) :]]
        return AllRoutes(gate, torch.stack([*first, *rest], dim=1))

    def run_before(self) -> list[list[int]]:
        """Returns the cheapest branch for all other routes if the router reads it, see `RoutedNetwork`."""
        before = [0] if self.router.runs_cheap_route else []
        return [[], *([before] * (len(self.branches) - 1))]

    def _inputs_of_choice(self) -> frozenset[str]:
        return frozenset(self.router.needs) | self.router.inputs

    def route_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns the MACs of each route including the router and its inputs; `lengths` as in `static_macs`."""
        _, extents = places_macs(self.streams, streams_at(self.router.needs), lengths)
        own = self.router.macs(lengths, {place.line.stream: extent for place, extent in extents.items()})
        return [
            own + self._macs([*before, number], lengths, self.router.needs)
            for number, before in enumerate(self.run_before())
        ]

    def gate(
        self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor], states: StreamStates
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the logits before calibration, and the outputs of the cheapest route if the router reads them."""
        if isinstance(self.router, RouteRouter):
            cheap, features = self._branches()[0].run(states)
            return self.router(features, cheap), cheap
        if isinstance(self.router, InputRouter):
            return self.router(inputs, masks), None
        return self.router(states), None

    def _by_group(self, states: StreamStates, chosen: Tensor, cheap: Tensor | None) -> Tensor:
        branches = self._branches()
        if len(chosen) == 1:  # avoids the sorting, which takes a notable time for one sample
            number = int(chosen)
            return cheap if number == 0 and cheap is not None else branches[number](states)
        order = torch.argsort(chosen, stable=True)
        counts = torch.bincount(chosen, minlength=len(branches)).tolist()
        outputs: Tensor | None = None
        for number, rows in enumerate(torch.split(order, counts)):
            if not len(rows):
                continue
            everyone = len(rows) == len(chosen)
            if number == 0 and cheap is not None:
                logits = cheap if everyone else cheap[rows]
            else:
                logits = branches[number](states if everyone else states.rows(rows))
            if everyone:
                return logits
            outputs = logits.new_empty(len(chosen), *logits.shape[1:]) if outputs is None else outputs
            outputs[rows] = logits
        assert outputs is not None, "a batch has at least one sample"
        return outputs
