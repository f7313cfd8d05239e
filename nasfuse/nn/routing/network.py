"""The routed network: a router chooses one of several routes for every sample, the others are not computed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nasfuse.nn.branch import Branch
from nasfuse.nn.knob import Knob, knobs_as_trained
from nasfuse.nn.network import Network, knobs_of, streams_macs
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.routing.calibration import Calibration, CalibrationStatus, price_at
from nasfuse.nn.routing.gate import choose
from nasfuse.nn.routing.router import InputRouter, Router, RouteRouter
from nasfuse.nn.states import StreamStates
from nasfuse.nn.stream import Stream
from nasfuse.nn.tracing import refuse_tracing


@dataclass(frozen=True)
class AllRoutes:
    """What a batch gives on every route.

    Attributes:
        gate: (b, n_routes) logits of the router, uncalibrated.
        outputs: (b, n_routes, n_outputs).
    """

    gate: Tensor
    outputs: Tensor


class RoutedNetwork(Network):
    """Streams shared by several routes, a branch (fusion and head) for each, and a router (DynMM).

    In inference and training mode alike, `forward` computes for each sample what its route needs and nothing
    else: samples are grouped by route, each group runs once, results are scattered back. `all_routes` computes
    everything, which is what training needs.

    Attributes:
        branches: By cost at full lengths, all that runs before the router decides included; cheapest first.
        router: Its logits stand in the same order.
        threshold: Inference-time knob from 0 (costliest route) to 1 (cheapest), see `Calibration.price_at`.
        gate_scale: (n_routes,) What calibration multiplies the router's logits by.
        gate_offset: (n_routes,) What it adds to them.
        gate_prices: What a unit of relative cost is charged at each of `nasfuse.nn.routing.calibration.THRESHOLDS`.
        gate_status: Number of a `CalibrationStatus`.
    """

    threshold: Tensor
    gate_scale: Tensor
    gate_offset: Tensor
    gate_prices: Tensor
    gate_status: Tensor
    relative_costs: Tensor

    def __init__(
        self,
        streams: Mapping[str, Stream],
        branches: Sequence[Branch],
        router: Router,
        *,
        lengths: Mapping[str, int],
        threshold: float,
    ) -> None:
        """Joins the parts.

        Args:
            streams: Of all routes.
            branches: The cheapest first, the others in any order.
            router: Reads the streams or the first branch.
            lengths: Those of full sequences, at which the routes' costs are compared.
            threshold: See above.
        """
        super().__init__()
        self.streams = PerStream(streams)
        self.branches = nn.ModuleList(branches)
        self.router = router
        stops: dict[str, set[int]] = {name: set() for name in streams}
        for needs in [router.needs, *(branch.route.n_stages for branch in branches)]:
            for name, n_stages in needs.items():
                stops[name].add(n_stages)
        self._stops = {name: frozenset(counts) for name, counts in stops.items()}
        self._full_lengths = dict(lengths)
        with knobs_as_trained(knobs_of(self.streams, self._branches())):  # or they would decide what is trained
            self._sort_branches(lengths)
            costs = torch.tensor(self.route_macs(lengths), dtype=torch.float64)
        spread = (costs.max() - costs.min()).clamp_min(1.0)
        self.register_buffer("relative_costs", (costs - costs.min()) / spread)
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float64))
        identity = Calibration.identity(len(branches))
        self.register_buffer("gate_scale", identity.scale)
        self.register_buffer("gate_offset", identity.offset)
        self.register_buffer("gate_prices", identity.prices)
        self.register_buffer("gate_status", torch.tensor(int(identity.status)))

    def _sort_branches(self, lengths: Mapping[str, int]) -> None:
        """Sorts all routes but the first, which the router may read, by what they cost beside what always runs."""
        first, *others = self._branches()
        costs = dict(zip(others, self.route_macs(lengths)[1:], strict=True))
        self.branches = nn.ModuleList([first, *sorted(others, key=costs.__getitem__)])

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
        """Returns all that a router chooses between: streams and branches, not the router."""
        return nn.ModuleList([self.streams, self.branches])

    def knobs(self) -> tuple[Knob, ...]:
        """Returns those of the streams and of all branches, and the threshold."""
        threshold = Knob("threshold", get=lambda: float(self.threshold), set=self.set_threshold)
        return (*knobs_of(self.streams, self._branches()), threshold)

    def set_threshold(self, threshold: float) -> None:
        """Sets the inference-time knob."""
        self.threshold.fill_(threshold)

    @property
    def calibration(self) -> Calibration:
        """What makes probabilities of the router's logits, and a price of the threshold; a copy."""
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

    def forward(
        self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor], chosen: Tensor | int | None = None
    ) -> Tensor:
        """Returns logits (b, n_outputs), see `Network.forward`.

        Args:
            inputs: Modality name to its batch.
            masks: Sequence name to (b, T); absent where every step is real.
            chosen: (b,) route of each sample, or the number of one route for all of them, in the place of the router's
                choice; the router runs nevertheless.

        Raises:
            TracingError: The network is traced or exported while the route depends on the sample. Traces of one
                route are right: `chosen` as a number, or a threshold of 0 or 1.
        """
        states = self._states(inputs, masks)
        if isinstance(chosen, int):
            _, cheap = self._gate(inputs, masks, states)
            return cheap if chosen == 0 and cheap is not None else self._run(chosen, states)
        only = self._only_route()
        if chosen is None and only is not None:
            return self._run(only, states)
        refuse_tracing(
            "the route of a sample depends on its values",
            "trace one route, by its number as chosen or by set_threshold(0) or set_threshold(1), or run the network "
            "as it is",
        )
        gate, cheap = self._gate(inputs, masks, states)
        if chosen is None:
            calibrated = gate.double() * self.gate_scale + self.gate_offset
            chosen = choose(calibrated, self.relative_costs, price=price_at(float(self.threshold), self.gate_prices))
        return self._by_group(states, chosen, cheap)

    def _only_route(self) -> int | None:
        """Returns the route that the threshold gives to every sample; None where the router decides.

        None as well under `torch.export`, which cannot read the threshold.
        """
        if torch.compiler.is_exporting():
            return None
        price = price_at(float(self.threshold), self.gate_prices)
        if not math.isinf(price):
            return None
        return -1 if price < 0 else 0

    def _run(self, number: int, states: StreamStates) -> Tensor:
        logits: Tensor = self._branches()[number](states)
        return logits

    def all_routes(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> AllRoutes:
        """Returns router and logits of every route for every sample; streams run once for all routes."""
        states = self._states(inputs, masks)
        gate, cheap = self._gate(inputs, masks, states)
        first = [] if cheap is None else [cheap]
        rest = [branch(states) for branch in self._branches()[len(first) :]]
        return AllRoutes(gate, torch.stack([*first, *rest], dim=1))

    def route_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns one figure per route, router and what runs for it included; `lengths` as in `static_macs`."""
        _, extents = streams_macs(self.streams, self.router.needs, lengths)
        own = self.router.macs(lengths, extents)
        return [own + macs for macs in self._macs_after(self.router.needs, lengths, self.router.runs_cheap_route)]

    def cascade_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns one figure per route where the cheapest one runs for every sample first, without router."""
        return self._macs_after(self._branches()[0].route.n_stages, lengths, runs_cheap_route=True)

    def _macs_after(self, needs: Mapping[str, int], lengths: Mapping[str, int], runs_cheap_route: bool) -> list[int]:
        """Returns one figure per route where the states in `needs` are computed for every sample."""
        before, extents = streams_macs(self.streams, needs, lengths)
        base = before + (self._branches()[0].macs(extents) if runs_cheap_route else 0)
        figures = []
        for number, branch in enumerate(self._branches()):
            total, own = streams_macs(self.streams, branch.route.n_stages, lengths)
            for name, n_stages in branch.route.n_stages.items():
                if name in needs:  # goes on from what is there, or stopped on the way to it
                    done = min(needs[name], n_stages)
                    total -= self.streams[name].macs(lengths.get(name, 0), n_stages=done)[0]
            if not (number == 0 and runs_cheap_route):
                total += branch.macs(own)
            figures.append(base + total)
        return figures

    def static_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns one figure per route, see `Network.static_macs`."""
        figures = []
        for branch in self._branches():
            cost, extents = streams_macs(self.streams, branch.route.n_stages, lengths)
            figures.append(cost + branch.macs(extents))
        return figures

    def _branches(self) -> list[Branch]:
        return list(self.branches)  # type: ignore[arg-type]

    def _states(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> StreamStates:
        return StreamStates(self.streams, inputs, masks, stops=self._stops)

    def _gate(
        self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor], states: StreamStates
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the router's logits, and those of the cheapest route where the router needs it run."""
        if isinstance(self.router, RouteRouter):
            cheapest = self._branches()[0]
            features = cheapest.features(states)
            cheap: Tensor = cheapest.head(features)
            return self.router(features, cheap), cheap
        if isinstance(self.router, InputRouter):
            return self.router(inputs, masks), None
        return self.router(states), None

    def _by_group(self, states: StreamStates, chosen: Tensor, cheap: Tensor | None) -> Tensor:
        branches = self._branches()
        if len(chosen) == 1:  # nothing to sort: at batch 1 every small operation shows
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
            outputs = logits.new_empty(len(chosen), logits.shape[1]) if outputs is None else outputs
            outputs[rows] = logits
        assert outputs is not None, "a batch has at least one sample"
        return outputs
