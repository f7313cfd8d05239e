"""Table of all routes of a network on a split, from which metric and cost at every threshold are computed."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """Results of a network with routes on a split, at one threshold.

    Attributes:
        threshold: The threshold.
        metric: Value of the metric for the outputs of the chosen routes.
        macs: Mean multiply-accumulates per sample, including those of the router where it runs.
        usage: Share of the samples on each route, cheapest first.
        static: Number of the route if all samples take the same one as a static network; None if routes differ by
            sample.
        always: The same, if the network is set to one route whatever the threshold.
    """

    threshold: float
    metric: float
    macs: float
    usage: tuple[float, ...]
    static: int | None = None
    always: int | None = None


@dataclass(frozen=True, kw_only=True)
class RouteTable(ABC):
    """Predictions and costs of all routes of a network on a split, and the rule by which the network chooses a route.

    Attributes:
        names: Names of the routes, cheapest first.
        digests: Digests of the outputs of every route, shape (n, n_routes, m); see `nasfuse.tasks.TaskKind.digest`.
        macs: Multiply-accumulates of each sample on each route, shape (n, n_routes), including everything that runs to
            make the choice. Equilibria count with the mean steps of the split, see `sample_macs_about_mean`.
        static_macs: Multiply-accumulates of the routes as static networks, shape (n, n_routes).
        targets: Targets of the split, shape (n,) or (n, k), or label maps (n, H, W); standardised for a regression.
        metric: Name of the metric.
        task: Kind of task and number of outputs.
        target_scale: Scale of the standardised targets of a regression; None for other tasks.
        calibration: Calibration that determines the choice at a threshold.
        always: Number of the route that all samples take, whatever the threshold; None where the threshold decides.
    """

    names: tuple[str, ...]
    digests: Tensor
    macs: Tensor
    static_macs: Tensor
    targets: Tensor
    metric: str
    task: Task
    target_scale: Scale | None = None
    calibration: Calibration | ExitCalibration
    always: int | None = None

    def chosen(self, threshold: float) -> Tensor:
        """Returns the (n,) route of each sample."""
        return self._chosen(threshold) if self.always is None else torch.full((len(self.targets),), self.always)

    def only_route(self, threshold: float) -> int | None:
        """Returns the route that all samples take as a static network; None if routes differ by sample."""
        return self._only_route(threshold) if self.always is None else self.always

    @abstractmethod
    def _chosen(self, threshold: float) -> Tensor:
        """Returns the (n,) route of each sample where the threshold decides."""

    @abstractmethod
    def _only_route(self, threshold: float) -> int | None:
        """Returns the route that all samples take at the threshold as a static network, see `only_route`."""

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the table are finite."""
        return bool(torch.isfinite(self.digests).all())

    def at(self, threshold: float) -> Routed:
        """Returns metric, expected MACs and usage at `threshold`."""
        chosen, only = self.chosen(threshold), self.only_route(threshold)
        usage = torch.bincount(chosen, minlength=len(self.names)).double() / len(chosen)
        metric, macs = self.metric_of(chosen), self._expected(chosen, only)
        return Routed(threshold, metric, macs, tuple(usage.tolist()), only, self.always)

    def set_to(self, always: int | None) -> Self:
        """Returns the table of the network that is set to one route for all samples, or to its threshold (None)."""
        return replace(self, always=always)

    def inner_routes(self) -> list[Routed]:
        """Returns what each route between the cheapest and the costliest one does for all samples, cheapest first.

        The other two are the ends of the curve of thresholds.
        """
        return [self.set_to(number).at(0.0) for number in range(1, len(self.names) - 1)]

    def metric_of(self, chosen: Tensor) -> float:
        """Returns the metric where sample i takes route `chosen[i]`."""
        digests = self.digests_of(chosen)
        return score(self.metric, digests, self.targets, task=self.task.kind, target_scale=self.target_scale)

    def digests_of(self, chosen: Tensor) -> Tensor:
        """Returns the digests (n, m) of the outputs where sample i takes route `chosen[i]`."""
        return self.digests[torch.arange(len(chosen)), chosen]

    def _expected(self, chosen: Tensor, only: int | None) -> float:
        table = self.macs if only is None else self.static_macs
        return float(table.gather(1, chosen[:, None]).double().mean())

    def threshold_for(self, macs: float) -> float:
        """Returns the threshold with the largest mean cost of at most `macs` per sample.

        The threshold is halfway between two thresholds at which a sample changes its route, so that rounding does not
        change any route. It is 1 (the cheapest route for all samples) if no threshold is cheap enough, and exactly 0 or
        1 wherever the router does not run.
        """
        if float(self.static_macs.double().mean(dim=0)[-1]) <= macs:
            return 0.0
        enough = self._first(lambda cost: cost <= macs)
        if enough is None:
            return 1.0
        cost = self._cost(enough)
        further = self._first(lambda other: other < cost)
        between = (enough + (REACH if further is None else further)) / 2
        # At the true lengths of samples, another route may be the cheapest, and the cost may rise with the threshold.
        log_odds = between if self._cost(between) <= macs else enough
        threshold = 1 / (1 + math.exp(-log_odds))
        static = self.at(threshold).static
        return threshold if static is None else float(static == 0)

    def _first(self, holds: Any) -> float | None:
        """Returns the smallest log odds of a threshold at which `holds(cost)`; the cost does not increase with them."""
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
        """Returns points at even distances in cost, from the cheapest route for all samples to the costliest one."""
        return self.curve([step / (n_points - 1) for step in range(n_points)])

    def curve(self, shares: Sequence[float]) -> list[Routed]:
        """Returns a point for each share of the cost between the cheapest route for all (0) and the costliest (1)."""
        ends = self.static_macs.double().mean(dim=0)
        cheap, full = float(ends[0]), float(ends[-1])
        inner = {share: self.threshold_for(cheap + (full - cheap) * share) for share in shares if 0 < share < 1}
        return [self.at({0.0: 1.0, 1.0: 0.0, **inner}[share]) for share in shares]

    def errors(self) -> Tensor:
        """Returns the error of each route on each sample, shape (n, n_routes), by the `errors` of the kind of task."""
        return task_kind(self.task.kind).errors(self.digests, self.targets)

    def best_routes(self) -> Tensor:
        """Returns the choice of an oracle, shape (n,): the cheapest of the routes with the smallest error for a sample.

        Errors are equal if they differ by at most the `equally_wrong` of the kind of task.
        """
        errors = self.errors()
        largest = errors.amin(dim=1, keepdim=True) + task_kind(self.task.kind).equally_wrong
        return (errors <= largest).int().argmax(dim=1)

    @abstractmethod
    def rows(self, rows: Tensor) -> Self:
        """Returns the table of the samples `rows` (k,)."""

    def _of_rows(self, rows: Tensor) -> dict[str, Any]:
        """Returns the fields of every table for the samples `rows`."""
        names = ("digests", "macs", "static_macs", "targets")
        return {name: getattr(self, name)[rows] for name in names}

    @abstractmethod
    def calibrated(self) -> Self:
        """Returns the table with a calibration that is fitted to its samples."""

    @abstractmethod
    def record(self, routed: Routed) -> dict[str, Any]:
        """Returns statistics of the choice at a threshold for the record of a trial, in which a collapse is visible."""

    def usage_record(self, routed: Routed, *, is_static: bool = False) -> dict[str, Any]:
        """Returns the statistics that all kinds of choice have.

        `usage`: share of the samples by route. `entropy`: entropy of the usage in nats. `effective_routes`: exponential
        of the entropy. `static_as`: the route that nearly all samples take (or the most frequent one, if `is_static`),
        None otherwise. `threshold`: the threshold. `best`: share of the samples for which each route is the best.
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
