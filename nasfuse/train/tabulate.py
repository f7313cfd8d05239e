"""Computation of route tables by one pass of all routes over a split."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nasfuse.cost.network_macs import sample_macs_about_mean
from nasfuse.data.dataset import Batch, Dataset, Split
from nasfuse.nn.equilibrium import Solved, equilibrium_layers, listening, saved_macs
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.nn.routing.sequential import SequentialNetwork
from nasfuse.tasks import task_kind
from nasfuse.tasks.base import BatchLoss
from nasfuse.train.exit_table import ExitTable
from nasfuse.train.gate_table import GateTable
from nasfuse.train.inference import run_split
from nasfuse.train.route_table import RouteTable


def tabulate_routes(
    network: RoutedNetwork,
    split: Split,
    dataset: Dataset,
    *,
    metric: str,
    device: torch.device,
    loss: BatchLoss | None = None,
) -> RouteTable:
    """Returns the route table of a network on `split`, as it is set, from one pass of all routes over all samples.

    Args:
        network: On `device`.
        split: Samples, of `dataset`.
        dataset: Data set, for the task and the lengths of its sequences.
        metric: Name of the metric.
        device: CPU or GPU.
        loss: Loss of which the table has the digests; None is that of the task.
    """
    kind = task_kind(dataset.task.kind)

    def everything(batch: Batch) -> tuple[Tensor, Tensor | None, Tensor]:
        with listening(equilibrium_layers(network)) as solves:
            routes = network.all_routes(batch.inputs, batch.masks, present=batch.present)
        digests = [kind.digest(outputs.float(), batch.targets, loss=loss) for outputs in routes.outputs.unbind(dim=1)]
        gate = None if routes.gate is None else routes.gate.float().cpu()
        return torch.stack(digests, dim=1).cpu(), gate, _saved_by_route(network, solves, len(batch.targets))

    digests, gates, saves = zip(*run_split(network, split, everything, device=device), strict=True)
    saved = torch.cat(saves)
    static_saved = saved.mean(dim=0).round().long()
    routed_saved = torch.stack(
        [static_saved[[*before, number]].sum() for number, before in enumerate(network.run_before())]
    )
    common: dict[str, Any] = {
        "names": network.route_names,
        "digests": torch.cat(digests),
        "macs": sample_macs_about_mean(network.route_macs, network, split, dataset) - routed_saved,
        "static_macs": sample_macs_about_mean(network.static_macs, network, split, dataset) - static_saved,
        "targets": split.targets,
        "metric": metric,
        "task": dataset.task,
        "target_scale": split.target_scale,
        "always": network.always,
    }
    if isinstance(network, GatedNetwork):
        gate = torch.cat([one for one in gates if one is not None])
        calibration, costs = network.calibration.cpu(), network.relative_costs.cpu()
        return GateTable(**common, gate=gate, relative_costs=costs, calibration=calibration)
    assert isinstance(network, SequentialNetwork), "there is no other kind"
    return ExitTable(**common, calibration=network.calibration.cpu())


def with_present_gate(table: GateTable, network: GatedNetwork, split: Split, *, device: torch.device) -> GateTable:
    """Returns a table of `split` with the logits that the router of the network has now; the routes do not run."""

    def gate_of(batch: Batch) -> Tensor:
        states = network.states(batch.inputs, batch.masks, batch.present)
        return network.gate(batch.inputs, batch.masks, states)[0].float().cpu()

    return replace(table, gate=torch.cat(run_split(network, split, gate_of, device=device)))


def _saved_by_route(network: RoutedNetwork, solves: Sequence[Solved], n_samples: int) -> Tensor:
    """Returns the MACs that equilibria save below their step limits on each route, shape (n_samples, n_routes)."""
    layers = [equilibrium_layers(branch) for branch in network.branches]
    by_route = [[solved for solved in solves if solved.layer in own] for own in layers]
    return torch.stack([saved_macs(own, n_samples) for own in by_route], dim=1)
