"""Tabulating the routes of a network: one dense pass over a split."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nasfuse.cost.closed_form import sample_macs
from nasfuse.data.dataset import Dataset, Split
from nasfuse.nn.equilibrium import Solved, equilibrium_layers, listening, saved_macs
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.nn.routing.sequential import SequentialNetwork
from nasfuse.train.exit_table import ExitTable
from nasfuse.train.gate_table import GateTable
from nasfuse.train.route_table import RouteTable

_ROWS = 512


def tabulate_routes(
    network: RoutedNetwork, split: Split, dataset: Dataset, *, metric: str, device: torch.device
) -> RouteTable:
    """Returns the table of a network on `split`: one dense pass over all routes."""
    network.eval()
    gates, outputs, saved = [], [], []
    with torch.inference_mode():
        for rows in torch.split(torch.arange(len(split)), _ROWS):
            batch = split.batch(rows, names=network.stream_names).to(device)
            with listening(equilibrium_layers(network)) as solves:
                everything = network.all_routes(batch.inputs, batch.masks)
            if everything.gate is not None:
                gates.append(everything.gate.float().cpu())
            outputs.append(everything.outputs.float().cpu())
            saved.append(_saved_by_route(network, solves, len(rows)))
    static_saved = torch.cat(saved).mean(dim=0).round().long()
    routed_saved = torch.stack(
        [static_saved[[*before, number]].sum() for number, before in enumerate(network.run_before())]
    )
    common: dict[str, Any] = {
        "names": network.route_names,
        "outputs": torch.cat(outputs),
        "macs": sample_macs(network.route_macs, network, split, dataset) - routed_saved,
        "static_macs": sample_macs(network.static_macs, network, split, dataset) - static_saved,
        "targets": split.targets,
        "metric": metric,
        "task": dataset.task,
        "target_scale": split.target_scale,
    }
    if isinstance(network, GatedNetwork):
        calibration, costs = network.calibration.cpu(), network.relative_costs.cpu()
        return GateTable(**common, gate=torch.cat(gates), relative_costs=costs, calibration=calibration)
    assert isinstance(network, SequentialNetwork), "there is no other kind"
    return ExitTable(**common, calibration=network.calibration.cpu())


def _saved_by_route(network: RoutedNetwork, solves: Sequence[Solved], n_samples: int) -> Tensor:
    """Returns (n_samples, n_routes): how far the equilibria of each route stay below their caps, in MACs."""
    layers = [equilibrium_layers(branch) for branch in network.branches]
    by_route = [[solved for solved in solves if solved.layer in own] for own in layers]
    return torch.stack([saved_macs(own, n_samples) for own in by_route], dim=1)
