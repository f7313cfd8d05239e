"""Outputs of a network for new samples, with the route and the solver steps of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nasfuse.data import Split
from nasfuse.nn import Network, RoutedNetwork
from nasfuse.nn.equilibrium import FixedPointLayer, Solved, equilibrium_layers, listening
from nasfuse.nn.routing.network import listening_to_routes

#: Samples, and pixels of its largest images, that a network computes at once, at most, but at least one sample.
BATCH_ROWS, _BATCH_PIXELS = 512, 2**19


@dataclass(frozen=True)
class Outputs:
    """Outputs for n samples, on the CPU.

    Attributes:
        values: What was kept of the outputs (n, ...) float32: logits, standardised numbers of a regression, or the
            result of `kept`.
        routes: (n,) number of the route of each sample; None for a static network.
        n_steps: (n,) solver steps of each sample: the sum over its fixed points, and for states that are solved side
            by side the largest number; None without a solver, or if samples have fixed points of several tokens.
    """

    values: Tensor
    routes: Tensor | None
    n_steps: Tensor | None


def outputs_of(
    network: Network,
    split: Split,
    *,
    device: torch.device,
    advance: Callable[[int], None] | None = None,
    kept: Callable[[Tensor], Tensor] | None = None,
) -> Outputs:
    """Returns the outputs of a network in evaluation mode; only the routes that samples take are computed.

    Args:
        network: On `device`.
        split: Samples.
        device: CPU or GPU.
        advance: Called with the number of samples after each batch.
        kept: Returns what is kept of the outputs of a batch, for maps of outputs, which are large; None: all.
    """
    network.eval()
    parts = []
    with torch.no_grad():
        for rows in torch.split(torch.arange(len(split)), _batch_rows(split, network.stream_names)):
            batch = split.batch(rows, names=network.stream_names).to(device)
            with listening(_solvers(network)) as solves, listening_to_routes(network) as routes:
                values = network(batch.inputs, batch.masks, present=batch.present).float()
            values = (values if kept is None else kept(values)).cpu()
            taken = routes[0].cpu() if routes else None
            parts.append(Outputs(values, taken, _steps(network, solves, taken, n_samples=len(rows))))
            if advance is not None:
                advance(len(rows))
    return Outputs(
        torch.cat([part.values for part in parts]),
        _joined([part.routes for part in parts]),
        _joined([part.n_steps for part in parts]),
    )


def _batch_rows(split: Split, names: Sequence[str]) -> int:
    """Returns the number of samples of a batch, which is smaller for large images."""
    images = [split.columns[name].values for name in names if split.columns[name].values.dim() == 4]
    n_pixels = max((one.shape[-2] * one.shape[-1] for one in images), default=1)
    return min(BATCH_ROWS, max(_BATCH_PIXELS // n_pixels, 1))


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None


def _solvers(module: nn.Module) -> list[FixedPointLayer]:
    """Returns the equilibrium layers whose numbers of steps depend on the sample."""
    return [layer for layer in equilibrium_layers(module) if layer.gradient.kind != "unroll"]


def _steps(network: Network, solves: Sequence[Solved], routes: Tensor | None, *, n_samples: int) -> Tensor | None:
    """Returns the (n_samples,) solver steps; see `Outputs.n_steps`."""
    if not _solvers(network):
        return None
    total = torch.zeros(n_samples, dtype=torch.int64)
    for branch, rows in _samples_by_branch(network, routes, n_samples):
        own = _solvers(branch)
        for solved in solves:
            if solved.layer not in own:
                continue
            n_steps, n_states = solved.solution.n_steps.cpu(), solved.cell.n_states
            if len(n_steps) != n_states * len(rows):
                return None
            total[rows] += n_steps.reshape(n_states, -1).amax(dim=0)
    return total


def _samples_by_branch(network: Network, routes: Tensor | None, n_samples: int) -> list[tuple[nn.Module, Tensor]]:
    """Returns the parts of a network that have fixed points, each with the samples for which it runs."""
    if not isinstance(network, RoutedNetwork) or routes is None:
        return [(network, torch.arange(n_samples))]
    only = network.only_route()
    runs = [[*before, number] if only is None else [number] for number, before in enumerate(network.run_before())]
    return [
        (branch, torch.tensor([row for row, route in enumerate(routes.tolist()) if number in runs[route]]).long())
        for number, branch in enumerate(network.branches)
    ]
