"""Baselines of a router (static routes, a random mix, a confidence cascade), and its upper bound, the oracle."""

import torch

from nasfuse.cost.network_macs import sample_macs_about_mean
from nasfuse.data.dataset import Dataset, Split
from nasfuse.domain.metric import METRICS
from nasfuse.errors import InvalidInputError
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.tasks import task_kind
from nasfuse.train.route_table import RouteTable


def static_routes(table: RouteTable) -> list[tuple[float, float]]:
    """Returns (MACs, metric) of each route if all samples take it, without a router."""
    macs = table.static_macs.double().mean(dim=0).tolist()
    everyone = torch.ones(len(table.targets), dtype=torch.int64)
    return [(cost, table.metric_of(number * everyone)) for number, cost in enumerate(macs)]


def random_mix(table: RouteTable, macs: float, *, seed: int, n_draws: int = 20) -> tuple[float, float]:
    """Returns (mean, standard deviation) of the metric if routes are chosen at random, at `macs` per sample.

    Samples are divided between the two static routes whose mix is best at this cost; there is no router, and its MACs
    are not counted. `macs` is clipped to the range of the costs of the routes.
    """
    points = static_routes(table)
    sign = METRICS[table.metric].sign
    macs = min(max(macs, min(cost for cost, _ in points)), max(cost for cost, _ in points))
    pairs = [
        (low, high)
        for low, (cheap, _) in enumerate(points)
        for high, (full, _) in enumerate(points)
        if cheap <= macs <= full
    ]

    def value(pair: tuple[int, int]) -> float:
        return sign * (points[pair[0]][1] + (points[pair[1]][1] - points[pair[0]][1]) * share_of(pair))

    def share_of(pair: tuple[int, int]) -> float:
        cheap, full = points[pair[0]][0], points[pair[1]][0]
        return (macs - cheap) / (full - cheap) if full > cheap else 0.0

    low, high = min(pairs, key=value)
    share = share_of((low, high))
    generator = torch.Generator().manual_seed(seed)
    n_samples = len(table.targets)
    values = []
    for _ in range(n_draws):
        up = torch.randperm(n_samples, generator=generator) < round(share * n_samples)
        values.append(table.metric_of(torch.where(up, high, low)))
    drawn = torch.tensor(values, dtype=torch.float64)
    return float(drawn.mean()), float(drawn.std())


def oracle(table: RouteTable) -> tuple[float, float]:
    """Returns (MACs, metric) if every sample takes the cheapest of its routes of least error; needs the targets."""
    best = table.best_routes()
    macs = float(table.static_macs.gather(1, best[:, None]).double().mean())
    return macs, table.metric_of(best)


def clairvoyant(table: RouteTable) -> tuple[float, float]:
    """Returns (MACs, metric) where every sample takes the cheapest route that predicts what the costliest one does.

    It needs no target, but the outputs of all routes, so it is no rule that could be run. Beside `oracle` it shows how
    much of that is knowledge of the targets. Numbers that differ by less than the kind of task calls `equally_wrong`
    are equal.

    Raises:
        InvalidInputError: The table has no outputs, only digests.
    """
    kind = task_kind(table.task.kind)
    if not kind.keeps_outputs:
        raise InvalidInputError(
            f"where two routes predict the same is not known of a {table.task.kind}, whose outputs are not kept; leave "
            "out the clairvoyant"
        )
    differ = kind.errors(table.digests, kind.predict(table.digests[:, -1]).to(table.targets.dtype))
    first = (differ <= kind.equally_wrong).int().argmax(dim=1)
    return float(table.static_macs.gather(1, first[:, None]).double().mean()), table.metric_of(first)


def confidence_cascade(
    table: RouteTable, network: RoutedNetwork, split: Split, dataset: Dataset, *, n_points: int, upper: int = -1
) -> list[tuple[float, float]]:
    """Returns (MACs, metric) of a cascade: all samples take the cheapest route, the least confident also another one.

    The confidence of a sample is defined by the kind of task; there are no points for a kind without confidence.

    Args:
        table: Table of `network` on `split`.
        network: Network with the routes.
        split: Split of `dataset`.
        dataset: Data set, for the lengths of its sequences.
        n_points: Shares of samples from none to all, evenly.
        upper: Number of the other route, by default the costliest.
    """
    upper = range(len(table.names))[upper]
    sure = task_kind(table.task.kind).digest_confidence(table.digests[:, 0])
    if sure is None:
        return []
    macs = sample_macs_about_mean(network.cascade_macs, network, split, dataset)
    order = sure.argsort(stable=True)
    points = []
    for step in range(n_points):
        n_up = round(step * len(order) / (n_points - 1))
        chosen = torch.zeros(len(order), dtype=torch.int64)
        chosen[order[:n_up]] = upper
        points.append((float(macs.gather(1, chosen[:, None]).mean()), table.metric_of(chosen)))
    return points
