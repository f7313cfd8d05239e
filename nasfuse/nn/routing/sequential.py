"""Sequential networks, in which a sample runs routes in turn until one is confident enough."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nasfuse.errors import InvalidInputError
from nasfuse.nn.branch import Branch
from nasfuse.nn.decoder import Decoder
from nasfuse.nn.routing.exits import ExitCalibration, confidence, levels_at
from nasfuse.nn.routing.network import AllRoutes, RoutedNetwork
from nasfuse.nn.sites.sites import Sites
from nasfuse.nn.states import StreamStates
from nasfuse.nn.stream import Stream
from nasfuse.tasks import task_kind


class SequentialNetwork(RoutedNetwork):
    """A routed network without a router, in which each route extends the one before.

    After each route but the last, samples stop if their confidence is at least the level of that exit. The others
    continue as a smaller batch with the tokens that have been computed. A network of this kind for images is MSDNet
    (Huang et al., 2018); here exits also differ in the streams that they read, and the levels of all exits are chosen
    together (see `nasfuse.train.exits`).

    Attributes:
        threshold: Threshold of the exits, see `ExitCalibration.levels_at`.
        exit_temperatures: Divisors of the outputs before the confidence is computed, shape (n_routes - 1,).
        exit_levels: Smallest confidence at which a sample stops at an exit, at each of
            `nasfuse.nn.routing.calibration.THRESHOLDS`, shape (101, n_routes - 1).
    """

    calibration_type = ExitCalibration
    exit_temperatures: Tensor
    exit_levels: Tensor

    def __init__(
        self,
        streams: Mapping[str, Stream],
        branches: Sequence[Branch],
        *,
        task: str,
        lengths: Mapping[str, int],
        threshold: float,
        sites: Sites | None = None,
    ) -> None:
        """Builds the network from its parts.

        Args:
            streams: Streams of all routes.
            branches: Branches in the order in which they run; each route has all streams of the one before.
            task: Kind of task, which defines the confidence of outputs.
            lengths: Full lengths of the sequences, for the comparison of the costs of routes.
            threshold: Initial threshold.
            sites: Sites at which the main stream takes in others; None without any.

        Raises:
            InvalidInputError: Outputs of this kind of task have no confidence.
        """
        super().__init__(streams, branches, needs={}, lengths=lengths, threshold=threshold, sites=sites)
        self.task = task_kind(task)
        head = branches[0].head
        one_pixel = (1, 1) if isinstance(head, Decoder) else ()
        outputs = torch.zeros(1, head.n_outputs, *one_pixel, device="cpu")  # slow without weights, on the meta device
        if self.task.confidence(outputs) is None:
            raise InvalidInputError(
                f"network.router.kind: a sequential router stops where a route is sure, and outputs of a {task} do not "
                "say how sure they are; use kind: gate"
            )
        self._measure_costs()
        identity = ExitCalibration.identity(len(branches))
        self.register_buffer("exit_temperatures", identity.temperatures)
        self.register_buffer("exit_levels", identity.levels)

    @property
    def calibration(self) -> ExitCalibration:
        """Copy of the calibration of the exits."""
        return ExitCalibration(self.exit_temperatures.clone(), self.exit_levels.clone())

    def calibrate(self, calibration: ExitCalibration) -> None:
        """Sets the calibration."""
        self.exit_temperatures.copy_(calibration.temperatures)
        self.exit_levels.copy_(calibration.levels)

    def run_route(
        self,
        number: int,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Returns the logits of route `number` and those of the routes before it, the latest first."""
        states = self.states(inputs, masks, present)
        outputs = [branch(states) for branch in self._branches()[: number % len(self.branches) + 1]]
        return tuple(reversed(outputs))

    def _only_route_at_threshold(self) -> int | None:
        """Returns the last route at threshold 0 and the first at 1, see `RoutedNetwork`."""
        if 0 < float(self.threshold) < 1:
            return None
        return 0 if float(self.threshold) >= 1 else len(self.branches) - 1

    def _choose_and_run(
        self,
        states: StreamStates,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        chosen: Tensor | None,
    ) -> Tensor:
        outputs, routes = self._run_exits(states, chosen)
        if self.listener is not None:
            self.listener(routes)
        return outputs

    def _run_exits(self, states: StreamStates, chosen: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns logits (b, n_outputs, ...), and the route at which each sample stopped (b,)."""
        *exits, last = self._branches()
        levels = levels_at(float(self.threshold), self.exit_levels)
        outputs: Tensor | None = None
        rows: Tensor | None = None  # samples that have not stopped; None: all samples
        routes: Tensor | None = None
        for number, branch in enumerate(exits):
            logits: Tensor = branch(states)
            if chosen is None:
                stops = confidence(logits, self.exit_temperatures[number], self.task) >= levels[number]
            else:
                stops = (chosen if rows is None else chosen[rows]) <= number
            if not bool(stops.any()):
                continue
            if rows is None:
                if bool(stops.all()):
                    return logits, torch.full((len(logits),), number)
                outputs, rows = torch.empty_like(logits), torch.arange(len(logits), device=logits.device)
                routes = torch.full_like(rows, len(exits))
            assert outputs is not None and routes is not None
            outputs[rows[stops]] = logits[stops]
            routes[rows[stops]] = number
            rows = rows[~stops]
            if not len(rows):
                return outputs, routes
            states = states.rows((~stops).nonzero()[:, 0])
        logits = last(states)
        if rows is None or outputs is None or routes is None:
            return logits, torch.full((len(logits),), len(exits))
        outputs[rows] = logits
        return outputs, routes

    def all_routes(
        self,
        inputs: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
    ) -> AllRoutes:
        """Returns the outputs of all routes for all samples; streams run once for all routes."""
        states = self.states(inputs, masks, present)
        return AllRoutes(None, torch.stack([branch(states) for branch in self._branches()], dim=1))

    def run_before(self) -> list[list[int]]:
        """Returns all earlier branches for each route, see `RoutedNetwork`."""
        return [list(range(number)) for number in range(len(self.branches))]
