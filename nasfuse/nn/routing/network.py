"""Routed networks, which compute one of several routes for each sample."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nasfuse.domain.knob import CHOICE_KNOBS
from nasfuse.errors import InvalidInputError
from nasfuse.nn.branch import Branch
from nasfuse.nn.knob import Knob, knobs_as_trained, settings_of
from nasfuse.nn.network import Network, StreamNetwork, knobs_of
from nasfuse.nn.per_stream import PerStream
from nasfuse.nn.places import places_macs, streams_at, with_sources
from nasfuse.nn.routing.calibration import Calibration
from nasfuse.nn.routing.exits import ExitCalibration
from nasfuse.nn.sites.sites import Sites
from nasfuse.nn.states import StreamStates
from nasfuse.nn.stream import Stream
from nasfuse.nn.tracing import refuse_tracing


@dataclass(frozen=True)
class AllRoutes:
    """Outputs of a batch on every route.

    Attributes:
        gate: Uncalibrated logits of the router, shape (b, n_routes); None in a network without a router.
        outputs: Outputs of the routes, shape (b, n_routes, n_outputs), for label maps (b, n_routes, n_outputs, H, W).
    """

    gate: Tensor | None
    outputs: Tensor


class RoutedNetwork(StreamNetwork):
    """Streams shared by several routes, and a branch (fusion and head) for each.

    `forward` computes only what the route of each sample needs, in training and in inference mode. `all_routes`
    computes all routes for all samples, for training.

    A calibration belongs to the values of the knobs other than `CHOICE_KNOBS`. Calibrations at several values are kept,
    so that these can be set again without data.

    Attributes:
        branches: Branches in the order of their costs, including everything that runs for the choice, cheapest first.
        threshold: Knob from 0 (costliest route) to 1 (cheapest route).
        always: Number of the route that all samples take, whatever the threshold; None where the threshold decides.
        relative_costs: Multiply-accumulates of the routes at full lengths on a scale from 0 (cheapest) to 1, shape
            (n_routes,).
        listener: Called with the (b,) numbers of the routes of a batch; see `listening_to_routes`.
        calibration_type: Class of the calibrations.
    """

    calibration_type: ClassVar[type[Calibration] | type[ExitCalibration]]
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
        sites: Sites | None = None,
    ) -> None:
        """Builds the network from its parts; subclasses call `_measure_costs` at the end of their constructor.

        Args:
            streams: Streams of all routes.
            branches: Branches, the cheapest first.
            needs: Stream to the number of stages that run for all samples before the choice.
            lengths: Full lengths of the sequences, for the comparison of the costs of routes.
            threshold: Initial threshold.
            sites: Sites at which the main stream takes in others; None without any.
        """
        super().__init__()
        self.streams = PerStream(streams)
        self.sites = sites
        self.branches = nn.ModuleList(branches)
        read = [place for branch in branches for place in branch.places]
        self._stops = with_sources([*streams_at(needs), *read], sites)
        self._full_lengths = dict(lengths)
        self._kept: dict[frozenset[tuple[str, float]], Calibration | ExitCalibration] = {}
        self.listener: Callable[[Tensor], None] | None = None
        self.always: int | None = None
        self.register_buffer("relative_costs", torch.zeros(len(branches), dtype=torch.float64))
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float64))

    def _measure_costs(self) -> None:
        """Sets `relative_costs`."""
        # The costs in training must not depend on settings for inference.
        with knobs_as_trained(knobs_of(self.streams, self._branches())):
            costs = list(self.full_route_macs().values())
        least, span = min(costs), max(max(costs) - min(costs), 1)
        self.relative_costs.copy_(torch.tensor([(cost - least) / span for cost in costs], dtype=torch.float64))

    @property
    def route_names(self) -> tuple[str, ...]:
        """Names of the routes, cheapest first."""
        return tuple(branch.route.name for branch in self._branches())

    def cost_shares(self) -> dict[str, float]:
        """Returns route to its multiply-accumulates, including the router, divided by those of the costliest route.

        They are those of a sample of full length with the settings of training for all knobs.
        """
        with knobs_as_trained(self.knobs()):
            macs = self.full_route_macs()
        return {name: cost / max(macs.values()) for name, cost in macs.items()}

    def full_route_macs(self) -> dict[str, int]:
        """Returns route to the multiply-accumulates of a full-length sample on it, including the router."""
        return dict(zip(self.route_names, self.route_macs(self._full_lengths), strict=True))

    def parts(self) -> nn.ModuleList:
        """Returns streams, sites and branches, without the router."""
        return nn.ModuleList([self.streams, *([] if self.sites is None else [self.sites]), self.branches])

    def knobs(self) -> tuple[Knob, ...]:
        """Returns the knobs of the streams and of all branches, the threshold, and the route that is always taken.

        The value of the last one is the number of the route, or -1 where the threshold decides.
        """
        threshold = Knob("threshold", get=lambda: float(self.threshold), set=self.set_threshold)
        always = Knob("always", get=lambda: -1.0 if self.always is None else float(self.always), set=self._set_always)
        return (*knobs_of(self.streams, self._branches()), threshold, always)

    def set_threshold(self, threshold: float) -> None:
        """Sets the threshold."""
        self.threshold.fill_(threshold)

    def _set_always(self, number: float) -> None:
        self.always = None if number < 0 else int(number)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        chosen: Tensor | int | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Returns logits, see `Network.forward`.

        Args:
            inputs: Modality name to its batch.
            masks: Sequence name to its mask (b, T); no entry if all steps are real.
            chosen: Route of each sample, shape (b,), or the number of one route for all samples, instead of the choice
                of the network. Everything that is needed for the choice runs nevertheless.
            present: Modality name to the samples (b,) that have it; no entry if all have it.

        Raises:
            TracingError: The network is traced or exported, and the route depends on the sample. A single route can be
                traced: `chosen` as a number, `always`, or a threshold of 0 or 1.
        """
        if isinstance(chosen, int):
            return self.run_route(chosen, inputs, masks, present=present)[0]
        states = self.states(inputs, masks, present)
        # An export cannot read the threshold.
        only = self.always if torch.compiler.is_exporting() else self.only_route()
        if chosen is None and only is not None:
            logits: Tensor = self._branches()[only](states)
            if self.listener is not None:
                self.listener(torch.full((len(logits),), only))
            return logits
        refuse_tracing(
            "the route of a sample depends on its values",
            "trace one route, by its number as chosen or as the attribute always, or by set_threshold(0) or "
            "set_threshold(1), or run the network as it is",
        )
        return self._choose_and_run(states, inputs, masks, chosen)

    @property
    @abstractmethod
    def calibration(self) -> Calibration | ExitCalibration:
        """Copy of the calibration."""

    @abstractmethod
    def calibrate(self, calibration: Any) -> None:
        """Sets the calibration: a `Calibration` for a router, an `ExitCalibration` for exits."""

    def keep_calibration(self, calibration: Calibration | ExitCalibration) -> None:
        """Keeps a calibration for the present values of the knobs other than `CHOICE_KNOBS`."""
        self._kept[self._other_settings()] = calibration.cpu()

    def recall_calibration(self) -> None:
        """Sets the calibration that was kept for the present values of the knobs other than `CHOICE_KNOBS`.

        Raises:
            InvalidInputError: None was kept for these values.
        """
        settings = self._other_settings()
        if settings not in self._kept:
            shown = ", ".join(f"{name} {value:.6g}" for name, value in sorted(settings))
            raise InvalidInputError(
                f"the router has no calibration at {shown or 'these settings'}; choose an operating point that was "
                "measured after the training"
            )
        self.calibrate(self._kept[settings])

    def kept_calibrations(self) -> list[dict[str, Any]]:
        """Returns the kept calibrations as plain values and tensors, for `load_calibrations`."""
        return [{"settings": dict(settings), "calibration": one.state()} for settings, one in self._kept.items()]

    def load_calibrations(self, kept: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the kept calibrations by those of `kept_calibrations`."""
        self._kept = {
            frozenset(one["settings"].items()): self.calibration_type.from_state(one["calibration"]) for one in kept
        }

    def _other_settings(self) -> frozenset[tuple[str, float]]:
        settings = settings_of(self.knobs())
        return frozenset((name, value) for name, value in settings.items() if name not in CHOICE_KNOBS)

    @abstractmethod
    def run_route(
        self,
        number: int,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Returns the logits of route `number`, followed by all other results that samples on it need."""

    def only_route(self) -> int | None:
        """Returns the number of the route if all samples take the same one as the network is set; None otherwise.

        The route then runs as a static network, without the computations for the choice.
        """
        return self._only_route_at_threshold() if self.always is None else self.always

    @abstractmethod
    def _only_route_at_threshold(self) -> int | None:
        """Returns the number of the route if all samples take the same one at the threshold; None otherwise."""

    @abstractmethod
    def _choose_and_run(
        self,
        states: StreamStates,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        chosen: Tensor | None,
    ) -> Tensor:
        """Returns logits (b, n_outputs), those of the routes `chosen` (b,) unless it is None."""

    @abstractmethod
    def all_routes(
        self,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> AllRoutes:
        """Returns logits of the router and outputs of all routes for all samples; streams run once for all routes."""

    def all_routes_macs(self, lengths: Mapping[str, int]) -> int:
        """Returns the MACs of `all_routes` without the router; `lengths` as in `static_macs`."""
        return self._macs(range(len(self.branches)), lengths)

    @abstractmethod
    def run_before(self) -> list[list[int]]:
        """Returns for each route the numbers of the other branches that run for its samples."""

    def inputs_by_route(self, *, is_static: bool = False) -> list[frozenset[str]]:
        """Returns the modalities that are read for the samples of each route, see `Network.inputs_by_route`."""
        own = [frozenset(branch.route.n_stages) for branch in self._branches()]
        if is_static:
            return own
        return [
            self._inputs_of_choice().union(own[number], *(own[other] for other in before))
            for number, before in enumerate(self.run_before())
        ]

    def _inputs_of_choice(self) -> frozenset[str]:
        """Returns the modalities that the router reads of every sample, beside those of branches."""
        return frozenset()

    def route_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns the MACs of each route including those of the choice; `lengths` as in `static_macs`."""
        return [self._macs([*before, number], lengths) for number, before in enumerate(self.run_before())]

    def cascade_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns the MACs of each route after the cheapest one, which runs for all samples, without the router."""
        return [self._macs([0, number] if number else [0], lengths) for number in range(len(self.branches))]

    def static_macs(self, lengths: Mapping[str, int]) -> list[int]:
        """Returns the MACs of each route as a static network, see `Network.static_macs`."""
        return [self._macs([number], lengths) for number in range(len(self.branches))]

    def _macs(self, numbers: Sequence[int], lengths: Mapping[str, int], needs: Mapping[str, int] | None = None) -> int:
        """Returns the multiply-accumulates of the branches `numbers`, with shared stages and sites counted once."""
        branches = [self._branches()[number] for number in numbers]
        read = [place for branch in branches for place in branch.places]
        total, extents = places_macs(self.streams, [*streams_at(needs or {}), *read], lengths, sites=self.sites)
        return total + sum(branch.macs(extents) for branch in branches)

    def _branches(self) -> list[Branch]:
        return list(self.branches)  # type: ignore[arg-type]

    def states(
        self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor], present: Mapping[str, Tensor] | None
    ) -> StreamStates:
        """Returns the states of a batch, of which nothing has been computed yet; arguments as in `forward`."""
        return StreamStates(self.streams, inputs, masks, stops=self._stops, sites=self.sites, present=present)


@contextmanager
def listening_to_routes(network: Network) -> Iterator[list[Tensor]]:
    """Yields a list to which the (b,) routes of the samples of every batch inside the block are appended.

    It stays empty if the network has no routes.
    """
    heard: list[Tensor] = []
    if not isinstance(network, RoutedNetwork):
        yield heard
        return
    network.listener = heard.append
    try:
        yield heard
    finally:
        network.listener = None
