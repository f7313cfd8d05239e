"""What a trained router can do: one pass over a split, then every threshold for the price of a lookup."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.data.dataset import Scale
from nasfuse.domain.modality import Task
from nasfuse.nn.routing.calibration import REACH, Calibration
from nasfuse.nn.routing.exits import ExitCalibration
from nasfuse.tasks import task_kind
from nasfuse.train.metrics import score

#: Share of the samples on one route from which a router is called static.
STATIC_FROM = 0.99


@dataclass(frozen=True)
class Routed:
    """What one setting of the threshold gives on a split.

    Attributes:
        threshold: The setting.
        metric: Of the chosen outputs.
        macs: Mean per sample, the router's included where it runs.
        usage: Share of the samples on each route, cheapest first.
        static: Number of the route that every sample takes as a static network; None where samples decide.
    """

    threshold: float
    metric: float
    macs: float
    usage: tuple[float, ...]
    static: int | None = None


@dataclass(frozen=True, kw_only=True)
class RouteTable(ABC):
    """All routes of one network on one split, computed once, and how the network chooses between them.

    Attributes:
        names: Of the routes, cheapest first.
        outputs: (n, n_routes, n_outputs).
        macs: (n, n_routes) of each sample on each route, with all that runs for the choice; equilibria with the mean
            steps of the split, see `sample_macs_about_mean`.
        static_macs: (n, n_routes) of the routes as static networks.
        targets: Of the split; standardised ones of a regression, as its outputs are.
        metric: Name of the metric.
        task: What is predicted.
        target_scale: By which the targets of a regression are standardised.
        calibration: What a threshold means.
    """

    names: tuple[str, ...]
    outputs: Tensor
    macs: Tensor
    static_macs: Tensor
    targets: Tensor
    metric: str
    task: Task
    target_scale: Scale | None = None
    calibration: Calibration | ExitCalibration

    @abstractmethod
    def chosen(self, threshold: float) -> Tensor:
        """Returns the (n,) route of each sample."""

    @abstractmethod
    def only_route(self, threshold: float) -> int | None:
        """Returns the route that every sample takes as a static network at `threshold`; None where samples decide."""

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the table are."""
        return bool(torch.isfinite(self.outputs).all())

    def at(self, threshold: float) -> Routed:
        """Returns metric, expected MACs and usage at `threshold`."""
        chosen, only = self.chosen(threshold), self.only_route(threshold)
        usage = torch.bincount(chosen, minlength=len(self.names)).double() / len(chosen)
        return Routed(threshold, self.metric_of(chosen), self._expected(chosen, only), tuple(usage.tolist()), only)

    def metric_of(self, chosen: Tensor) -> float:
        """Returns the metric where sample i takes route `chosen[i]`."""
        rows = torch.arange(len(chosen))
        outputs = self.outputs[rows, chosen]
        return score(self.metric, outputs, self.targets, task=self.task.kind, target_scale=self.target_scale)

    def _expected(self, chosen: Tensor, only: int | None) -> float:
        table = self.macs if only is None else self.static_macs
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
        return self._expected(self.chosen(threshold), self.only_route(threshold))

    def even_curve(self, n_points: int) -> list[Routed]:
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

    @abstractmethod
    def rows(self, rows: Tensor) -> Self:
        """Returns the table of the samples `rows` (k,)."""

    def _of_rows(self, rows: Tensor) -> dict[str, Any]:
        """Returns the fields of every table for the samples `rows`."""
        names = ("outputs", "macs", "static_macs", "targets")
        return {name: getattr(self, name)[rows] for name in names}

    @abstractmethod
    def calibrated(self) -> Self:
        """Returns the table with the calibration that suits its samples best."""

    @abstractmethod
    def record(self, routed: Routed) -> dict[str, Any]:
        """Returns what the choice does at a setting, for the trial's record: collapse must be visible."""

    def usage_record(self, routed: Routed, *, is_static: bool = False) -> dict[str, Any]:
        """Returns what is recorded of every choice.

        `usage` by route, `entropy` of the usage in nats, `effective_routes` (its exponential), `static_as`, the route
        that a collapsed choice amounts to (if nearly all samples take it, or `is_static`), `threshold`, and `best`, the
        share of the samples for which each route is the best.
        """
        usage = torch.tensor(routed.usage, dtype=torch.float64)
        shared = float(entropy(usage))
        largest = int(usage.argmax())
        return {
            "usage": self.by_route(usage),
            "entropy": round(shared, 4),
            "effective_routes": round(math.exp(shared), 4),
            "static_as": self.names[largest] if is_static or routed.usage[largest] >= STATIC_FROM else None,
            "threshold": routed.threshold,
            "best": self.by_route(F.one_hot(self.best_routes(), len(self.names)).double().mean(dim=0)),
        }

    def by_route(self, values: Tensor) -> dict[str, float]:
        """Returns route to its value, rounded for records."""
        return {name: round(value, 4) for name, value in zip(self.names, values.tolist(), strict=True)}


def entropy(shares: Tensor) -> Tensor:
    """Returns the entropy in nats of distributions (..., k)."""
    result: Tensor = torch.special.xlogy(shares, shares).sum(dim=-1)
    return 0.0 - result
