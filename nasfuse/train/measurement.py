"""Measuring a trained network: its operating points."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from nasfuse.cost import measure_costs, measure_latency
from nasfuse.cost.outside import outside_macs
from nasfuse.data.dataset import Batch, Dataset
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.nn.elastic import Setting
from nasfuse.nn.knob import knobs_at
from nasfuse.nn.network import Network
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.train.equilibrium import measured_macs, record_equilibria
from nasfuse.train.evaluation import evaluate
from nasfuse.train.route_table import STATIC_FROM, Routed
from nasfuse.train.router_baselines import random_mix
from nasfuse.train.sub_network_search import front_of_parts, tries_of
from nasfuse.train.sweep import N_CURVE, SweptPoint, sweep, sweep_routed, sweep_settings
from nasfuse.train.tabulate import tabulate_routes
from nasfuse.train.trained import Trained

_MEMORY_ROWS = 8


def measure(
    trained: Trained,
    dataset: Dataset,
    *,
    metric: str,
    device: torch.device,
    outside: Mapping[str, int] | None = None,
) -> tuple[tuple[OperatingPoint, ...], dict[str, Any]]:
    """Returns the operating points of a trained network on validation data, and what its record should have.

    The first point is the network as its recipe sets it, the others are the network at other settings of its knobs, see
    `nasfuse.train.sweep`, and the sub-networks of an elastic network that `nasfuse.train.sub_network_search` finds. The
    record has `routing` and `equilibrium`, what router and solvers do, and `elastic`, the number of sub-networks tried.

    Args:
        trained: The network, with its metric on validation data.
        dataset: Data of the training.
        metric: Name of the metric.
        device: Device of the network.
        outside: Modality to the multiply-accumulates of a sample with which it was computed outside.

    Raises:
        NonFiniteError: The solver of an equilibrium diverged.
    """
    network = trained.network
    assert trained.chosen.val_metric is not None, "there are validation samples"
    record: dict[str, Any] = {}
    equilibria = record_equilibria(network, dataset, device=device)
    if equilibria:
        record["equilibrium"] = {**equilibria, "backward_converged": trained.backward_converged}
    macs = measured_macs(network, dataset.val, dataset, device=device)
    point = own_point(network, dataset, metric=trained.chosen.val_metric, macs=macs, device=device)
    outside = outside or {}
    if isinstance(network, RoutedNetwork):
        points, record["routing"] = _routed_points(
            network, dataset, point, metric=metric, device=device, outside=outside
        )
        return points, record
    point = replace(point, outside_macs=outside_macs(network, outside))
    swept = sweep(network, dataset, metric=metric, device=device)
    found = [point, *(swept_point(network, point, one, dataset, device=device) for one in swept)]
    if trained.parts is not None:
        parts, record["elastic"] = _sub_network_points(trained, dataset, metric=metric, device=device)
        found += [replace(one, outside_macs=point.outside_macs) for one in parts]
    return tuple(found), record


def _sub_network_points(
    trained: Trained, dataset: Dataset, *, metric: str, device: torch.device
) -> tuple[list[OperatingPoint], dict[str, Any]]:
    """Returns the points of non-dominated sub-networks, and the record of the search for them."""
    assert trained.parts is not None and trained.chosen.val_metric is not None

    def value(setting: Setting) -> float:
        return evaluate(trained.at(setting), dataset.val, metric=metric, task=dataset.task, device=device)[0]

    started = time.perf_counter()
    found, n_tried = front_of_parts(
        trained.parts,
        dataset,
        metric=metric,
        whole=trained.chosen.val_metric,
        value=value,
        n_tries=tries_of(dataset, n_epochs=len(trained.curve)),
    )
    searched_s = time.perf_counter() - started
    points = []
    for setting, reached in found:
        network = trained.at(setting)
        macs = measured_macs(network, dataset.val, dataset, device=device)
        point = own_point(network, dataset, metric=reached, macs=macs, device=device)
        points.append(replace(point, knobs={**setting}))
    return points, {"tried": n_tried, "searched_s": round(searched_s, 3)}


def own_point(
    network: Network, dataset: Dataset, *, metric: float, macs: float, device: torch.device
) -> OperatingPoint:
    """Returns the operating point at the network's own setting, with a metric and MACs that are known already."""
    few = dataset.val.batch(torch.arange(min(_MEMORY_ROWS, len(dataset.val))), names=network.stream_names).to(device)
    latency = measure_latency(network, _one_sample(network, dataset, device))
    costs = measure_costs(network, few)
    return OperatingPoint(
        metric=metric,
        macs=round(macs),
        params=round(costs.pop("params")),
        latency_s=latency.median_s,
        latency_iqr_s=latency.iqr_s,
        peak_bytes=round(costs.pop("peak_bytes")),
        costs=costs,
    )


def swept_point(
    network: Network, point: OperatingPoint, swept: SweptPoint, dataset: Dataset, *, device: torch.device
) -> OperatingPoint:
    """Returns the operating point at another setting than the network's own `point`."""
    with knobs_at(network.knobs(), swept.settings):
        latency = measure_latency(network, _one_sample(network, dataset, device))
    return replace(
        point,
        metric=swept.metric,
        macs=round(swept.macs),
        latency_s=latency.median_s,
        latency_iqr_s=latency.iqr_s,
        knobs=swept.settings,
        holds=swept.holds,
    )


def _one_sample(network: Network, dataset: Dataset, device: torch.device) -> Batch:
    return dataset.val.batch(torch.arange(1), names=network.stream_names).to(device)


def _routed_points(
    network: RoutedNetwork,
    dataset: Dataset,
    point: OperatingPoint,
    *,
    metric: str,
    device: torch.device,
    outside: Mapping[str, int],
) -> tuple[tuple[OperatingPoint, ...], dict[str, Any]]:
    """Returns the points at the network's own setting, then those at the others, and the record of the router."""
    one = _one_sample(network, dataset, device)
    table = tabulate_routes(network, dataset.val, dataset, metric=metric, device=device)
    main, by_threshold = table.at(float(network.threshold)), table.set_to(None)
    mixed, _ = random_mix(table, main.macs, seed=0)
    latencies = _route_latencies(network, one, device)
    names = network.route_names

    def with_outside(found: OperatingPoint, routed: Routed) -> OperatingPoint:
        macs = outside_macs(network, outside, usage=routed.usage, static=routed.static)
        return replace(found, outside_macs=macs)

    if network.always is not None:  # which the other points name where they differ from it
        point = replace(point, knobs={"always": -1.0})

    points = [
        with_outside(_routed_point(point, routed, latencies, names), routed)
        for routed in (main, *by_threshold.even_curve(N_CURVE), *by_threshold.inner_routes())
    ]
    settings = sweep_settings(network, dataset.modalities)
    for setting in settings:
        with knobs_at(network.knobs(), setting):
            latencies = _route_latencies(network, one, device)
        for swept in sweep_routed(network, setting, len(settings), dataset, metric=metric, device=device):
            assert swept.routed is not None
            there = replace(point, knobs={**point.knobs, **setting}, holds=swept.holds)
            points.append(with_outside(_routed_point(there, swept.routed, latencies, names), swept.routed))
    macs = network.full_route_macs()
    return tuple(points), {**table.record(main), "random_mix": mixed, "route_macs": macs}


def _route_latencies(network: RoutedNetwork, one: Batch, device: torch.device) -> list[list[tuple[float, float]]]:
    """Returns (median, interquartile range) of each route: with the router, and static."""
    routed, static = [], []
    for number in range(len(network.branches)):
        timed = measure_latency(network, one, chosen=torch.tensor([number], device=device))
        routed.append((timed.median_s, timed.iqr_s))
        with knobs_at(network.knobs(), {"always": float(number)}):
            timed = measure_latency(network, one)
        static.append((timed.median_s, timed.iqr_s))
    return [routed, static]


def _routed_point(
    point: OperatingPoint, routed: Routed, latencies: list[list[tuple[float, float]]], names: tuple[str, ...]
) -> OperatingPoint:
    if routed.static is None:
        shares = list(zip(routed.usage, latencies[0], strict=True))
        latency = sum(share * median for share, (median, _) in shares)
        spread = sum(share * iqr for share, (_, iqr) in shares)
    else:
        latency, spread = latencies[1][routed.static]
    largest = max(routed.usage)
    static = {"route": names[routed.usage.index(largest)]} if largest >= STATIC_FROM else {}
    choice = {"threshold": routed.threshold} if routed.always is None else {"always": float(routed.always)}
    return replace(
        point,
        metric=routed.metric,
        macs=math.ceil(routed.macs - 1e-6),  # a recipe that may spend as much has this setting
        latency_s=latency,
        latency_iqr_s=spread,
        knobs={**point.knobs, **choice, **static},
    )
