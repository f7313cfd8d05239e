"""What a trained router can do: one pass over a split, then every threshold for the price of a lookup."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.cost.closed_form import sample_macs
from nasfuse.data.dataset import Batch, Dataset, Scale, Split
from nasfuse.domain.modality import Task
from nasfuse.nn.equilibrium import Solved, equilibrium_layers, listening, saved_macs
from nasfuse.nn.routing.calibration import REACH, Calibration
from nasfuse.nn.routing.gate import choose
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.tasks import task_kind
from nasfuse.train.calibration import fit_calibration
from nasfuse.train.inference import run_split
from nasfuse.train.metrics import score

#: Share of the samples on one route from which a router is called static.
STATIC_FROM = 0.99

#: Nats that a sample must tell about its route, on average, for the router not to be called static.
_LEAST_INFORMATION = 0.01


@dataclass(frozen=True)
class Routed:
    """What one setting of the threshold gives on a split.

    Attributes:
        threshold: The setting.
        metric: Of the chosen outputs.
        macs: Mean per sample, the router's included where it runs.
        usage: Share of the samples on each route, cheapest first.
        static: Number of the route that every sample takes without the router; None where the router runs.
    """

    threshold: float
    metric: float
    macs: float
    usage: tuple[float, ...]
    static: int | None = None


@dataclass(frozen=True)
class RouteTable:
    """Router and routes of one network on one split, computed once.

    Attributes:
        names: Of the routes, cheapest first.
        gate: (n, n_routes) logits of the router, not calibrated.
        outputs: (n, n_routes, n_outputs).
        macs: (n, n_routes) of each sample on each route, router included; equilibria with the mean steps of the split.
        static_macs: (n, n_routes) of the routes as static networks.
        relative_costs: (n_routes,) from 0 to 1.
        targets: Of the split; standardised ones of a regression, as its outputs are.
        metric: Name of the metric.
        task: What is predicted.
        calibration: Of the router; without one, logits and thresholds are as they are.
        target_scale: By which the targets of a regression are standardised.
    """

    names: tuple[str, ...]
    gate: Tensor
    outputs: Tensor
    macs: Tensor
    static_macs: Tensor
    relative_costs: Tensor
    targets: Tensor
    metric: str
    task: Task
    calibration: Calibration = field(default_factory=lambda: Calibration.identity(1))
    target_scale: Scale | None = None

    def chosen(self, threshold: float) -> Tensor:
        """Returns the (n,) route of each sample."""
        logits, price = self.calibration.apply(self.gate), self.calibration.price_at(threshold)
        return choose(logits, self.relative_costs, price=price)

    def at(self, threshold: float) -> Routed:
        """Returns metric, expected MACs and usage at `threshold`."""
        chosen, price = self.chosen(threshold), self.calibration.price_at(threshold)
        usage = torch.bincount(chosen, minlength=len(self.names)).double() / len(chosen)
        return Routed(
            threshold,
            self.metric_of(chosen),
            self._expected(chosen, price),
            tuple(usage.tolist()),
            static=(len(self.names) - 1 if price < 0 else 0) if math.isinf(price) else None,
        )

    def metric_of(self, chosen: Tensor) -> float:
        """Returns the metric where sample i takes route `chosen[i]`."""
        rows = torch.arange(len(chosen))
        outputs = self.outputs[rows, chosen]
        return score(self.metric, outputs, self.targets, task=self.task.kind, target_scale=self.target_scale)

    def _expected(self, chosen: Tensor, price: float) -> float:
        table = self.static_macs if math.isinf(price) else self.macs
        return float(table.gather(1, chosen[:, None]).double().mean())

    def threshold_for(self, macs: float) -> float:
        """Returns the threshold that spends as much as possible without exceeding `macs` per sample.

        Half way between the two settings at which a sample changes its route, so that rounding changes none.
        1, the cheapest route for all, where nothing is cheap enough; 0 and 1 wherever the router does not run.
        """
        if float(self.static_macs.double().mean(dim=0)[-1]) <= macs:
            return 0.0
        enough = self._first(lambda cost: cost <= macs)
        if enough is None:
            return 1.0
        cost = self._cost(enough)
        further = self._first(lambda other: other < cost)
        between = (enough + (REACH if further is None else further)) / 2
        # At their true lengths routes may stand in another order, and cost may rise on the way.
        log_odds = between if self._cost(between) <= macs else enough
        threshold = 1 / (1 + math.exp(-log_odds))
        static = self.at(threshold).static
        return threshold if static is None else float(static == 0)

    def _first(self, holds: Any) -> float | None:
        """Returns the smallest log odds of a threshold at which `holds(cost)`; cost never rises with them."""
        low, high = -REACH, REACH
        if holds(self._cost(low)):
            return low
        if not holds(self._cost(high)):
            return None
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if holds(self._cost(middle)) else (middle, high)
        return high

    def _cost(self, log_odds: float) -> float:
        threshold = 1 / (1 + math.exp(-log_odds))
        return self._expected(self.chosen(threshold), self.calibration.price_at(threshold))

    def sweep(self, n_points: int) -> list[Routed]:
        """Returns points spread evenly in cost, from the cheapest route for all to the costliest for all."""
        return self.curve([step / (n_points - 1) for step in range(n_points)])

    def curve(self, shares: Sequence[float]) -> list[Routed]:
        """Returns a point for each share of the cost between the cheapest route for all (0) and the costliest (1)."""
        ends = self.static_macs.double().mean(dim=0)
        cheap, full = float(ends[0]), float(ends[-1])
        inner = {share: self.threshold_for(cheap + (full - cheap) * share) for share in shares if 0 < share < 1}
        return [self.at({0.0: 1.0, 1.0: 0.0, **inner}[share]) for share in shares]

    def errors(self) -> Tensor:
        """Returns (n, n_routes): how wrong each route is, the `errors` of the kind of task."""
        return task_kind(self.task.kind).errors(self.outputs, self.targets)

    def best_routes(self) -> Tensor:
        """Returns the (n,) cheapest route of those that are least wrong: what an oracle would take.

        Routes whose errors differ by no more than the kind of task calls `equally_wrong` are equally wrong.
        """
        errors = self.errors()
        largest = errors.amin(dim=1, keepdim=True) + task_kind(self.task.kind).equally_wrong
        return (errors <= largest).int().argmax(dim=1)

    def calibrated(self) -> "RouteTable":
        """Returns the table with the calibration that is fitted to its best routes, see `fit_calibration`."""
        return replace(self, calibration=fit_calibration(self.gate, self.best_routes(), self.relative_costs))

    def record(self, routed: Routed) -> dict[str, Any]:
        """Returns how the router behaves at a setting, for the trial's record: collapse must be visible.

        `usage` by route, `entropy` of the usage in nats, `effective_routes` (its exponential), `decisiveness`
        (mean entropy of a sample's uncalibrated gate, 0 is sure), `information` (entropy of the mean gate minus
        that: what a sample tells about its route), `static_as`, the route that a collapsed router amounts to,
        `calibrated` (mean calibrated probability that a route is the best), `best` (share of the samples for which it
        is) and `calibration`, how the fit of one to the other ended.
        """
        gate = F.softmax(self.gate.double(), dim=1)
        mean_entropy = float(_entropy(gate).mean())
        information = float(_entropy(gate.mean(dim=0))) - mean_entropy
        entropy = float(_entropy(torch.tensor(routed.usage, dtype=torch.float64)))
        largest = max(range(len(self.names)), key=lambda number: routed.usage[number])
        is_static = routed.usage[largest] >= STATIC_FROM or information < _LEAST_INFORMATION
        return {
            "usage": self._by_route(torch.tensor(routed.usage, dtype=torch.float64)),
            "entropy": round(entropy, 4),
            "effective_routes": round(math.exp(entropy), 4),
            "decisiveness": round(mean_entropy, 4),
            "information": round(information, 4),
            "static_as": self.names[largest] if is_static else None,
            "threshold": routed.threshold,
            "calibrated": self._by_route(F.softmax(self.calibration.apply(self.gate), dim=1).mean(dim=0)),
            "best": self._by_route(F.one_hot(self.best_routes(), len(self.names)).double().mean(dim=0)),
            "calibration": self.calibration.status.meaning,
        }

    def _by_route(self, values: Tensor) -> dict[str, float]:
        return {name: round(value, 4) for name, value in zip(self.names, values.tolist(), strict=True)}


def _saved_by_route(network: RoutedNetwork, solves: Sequence[Solved], n_samples: int) -> Tensor:
    """Returns (n_samples, n_routes): how far the equilibria of each route stay below their caps, in MACs."""
    layers = [equilibrium_layers(branch) for branch in network.branches]
    by_route = [[solved for solved in solves if solved.layer in own] for own in layers]
    return torch.stack([saved_macs(own, n_samples) for own in by_route], dim=1)


def _entropy(shares: Tensor) -> Tensor:
    result: Tensor = torch.special.xlogy(shares, shares).sum(dim=-1)
    return 0.0 - result


def tabulate_routes(
    network: RoutedNetwork, split: Split, dataset: Dataset, *, metric: str, device: torch.device
) -> RouteTable:
    """Returns every route's outputs on `split`, and the router's logits: one dense pass."""

    def everything(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        with listening(equilibrium_layers(network)) as solves:
            routes = network.all_routes(batch.inputs, batch.masks)
        saved = _saved_by_route(network, solves, len(batch.targets))
        return routes.gate.float().cpu(), routes.outputs.float().cpu(), saved

    gate, outputs, saved = map(torch.cat, zip(*run_split(network, split, everything, device=device), strict=True))
    static_saved = saved.mean(dim=0).round().long()
    routed_saved = static_saved.clone()
    if network.router.runs_cheap_route:
        routed_saved[1:] += static_saved[0]
    return RouteTable(
        names=network.route_names,
        gate=gate,
        outputs=outputs,
        macs=sample_macs(network.route_macs, network, split, dataset) - routed_saved,
        static_macs=sample_macs(network.static_macs, network, split, dataset) - static_saved,
        relative_costs=network.relative_costs.cpu(),
        targets=split.targets,
        metric=metric,
        task=dataset.task,
        calibration=network.calibration.cpu(),
        target_scale=split.target_scale,
    )
