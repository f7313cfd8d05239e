"""Computation of route tables by one pass of all routes over a split."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nasfuse.cost.network_macs import sample_macs_about_mean
from nasfuse.data.dataset import Batch, Dataset, Split
from nasfuse.nn.equilibrium import Solved, equilibrium_layers, listening, saved_macs
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.network import AllRoutes, RoutedNetwork
from nasfuse.nn.routing.sequential import SequentialNetwork
from nasfuse.train.exit_table import ExitTable
from nasfuse.train.gate_table import GateTable
from nasfuse.train.inference import run_split
from nasfuse.train.route_table import RouteTable


def tabulate_routes(
    network: RoutedNetwork, split: Split, dataset: Dataset, *, metric: str, device: torch.device
) -> RouteTable:
    """Returns the route table of a network on `split`, from one pass of all routes over all samples."""

    def everything(batch: Batch) -> tuple[AllRoutes, Tensor]:
        with listening(equilibrium_layers(network)) as solves:
            routes = network.all_routes(batch.inputs, batch.masks, present=batch.present)
        return routes, _saved_by_route(network, solves, len(batch.targets))

    batches = run_split(network, split, everything, device=device)
    outputs = torch.cat([routes.outputs.float().cpu() for routes, _ in batches])
    saved = torch.cat([one for _, one in batches])
    static_saved = saved.mean(dim=0).round().long()
    routed_saved = torch.stack(
        [static_saved[[*before, number]].sum() for number, before in enumerate(network.run_before())]
    )
    common: dict[str, Any] = {
        "names": network.route_names,
        "outputs": outputs,
        "macs": sample_macs_about_mean(network.route_macs, network, split, dataset) - routed_saved,
        "static_macs": sample_macs_about_mean(network.static_macs, network, split, dataset) - static_saved,
        "targets": split.targets,
        "metric": metric,
        "task": dataset.task,
        "target_scale": split.target_scale,
    }
    if isinstance(network, GatedNetwork):
        gate = torch.cat([routes.gate.float().cpu() for routes, _ in batches if routes.gate is not None])
        calibration, costs = network.calibration.cpu(), network.relative_costs.cpu()
        return GateTable(**common, gate=gate, relative_costs=costs, calibration=calibration)
    assert isinstance(network, SequentialNetwork), "there is no other kind"
    return ExitTable(**common, calibration=network.calibration.cpu())


def _saved_by_route(network: RoutedNetwork, solves: Sequence[Solved], n_samples: int) -> Tensor:
    """Returns the MACs that equilibria save below their step limits on each route, shape (n_samples, n_routes)."""
    layers = [equilibrium_layers(branch) for branch in network.branches]
    by_route = [[solved for solved in solves if solved.layer in own] for own in layers]
    return torch.stack([saved_macs(own, n_samples) for own in by_route], dim=1)
