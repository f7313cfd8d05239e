"""Losses of networks with routes: mean loss of the routes, then task loss and resource loss of a gate."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nasfuse.data.dataset import Batch, Split
from nasfuse.nn.routing.gate import straight_through, temperature_at
from nasfuse.nn.routing.network import AllRoutes, RoutedNetwork
from nasfuse.spec.routing import RoutingConfig

#: Function from logits (b, n_outputs), or maps, of a batch to its mean loss.
LossOfLogits = Callable[[Tensor], Tensor]


def resource_loss(weights: Tensor, costs: Tensor, *, budget: float | None = None) -> Tensor:
    """Returns the expected cost sum_k mean_batch(w_k) C_k of a gate (DynMM, Eq. 1), or its excess over a budget.

    Unlike in the released code, costs are relative to those of the costliest route, so the term is between 0 and 1.

    Args:
        weights: Weights of the gate, shape (b, n_routes).
        costs: MACs of the routes divided by those of the costliest one, shape (n_routes,).
        budget: Cost up to which the term is 0, in the unit of `costs`: max(0, cost - budget); None is no budget.
    """
    cost = (weights.mean(dim=0) * costs).sum()
    return cost if budget is None else torch.relu(cost - budget)


def hold_out(split: Split, share: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Returns the rows of `split` that are kept and those that are held out; groups are not divided."""
    groups = torch.arange(len(split)) if split.groups is None else split.groups
    if len(torch.unique(groups)) < 2:  # one group cannot be divided
        groups = torch.arange(len(split))
    names = torch.unique(groups)
    drawn = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))]
    held = torch.isin(groups, drawn[: max(round(share * len(names)), 1)])
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def mean_route_loss(outputs: Tensor, loss: LossOfLogits) -> Tensor:
    """Returns the mean loss of the routes.

    It is the expected loss of a uniformly random route per sample, without its variance.

    Args:
        outputs: Outputs or digests of the routes, shape (b, n_routes, ...).
        loss: Function from the logits of one route to their loss.
    """
    losses = [loss(outputs[:, number].float()) for number in range(outputs.shape[1])]
    return torch.stack(losses).mean()


def random_route(network: RoutedNetwork, batch: Batch) -> Tensor:
    """Returns the outputs of one route for a batch, drawn uniformly from torch's current generator.

    Nothing else runs, neither other routes nor the router. DynMM draws a route for every sample; one for the batch
    costs as much, and a layer sees all samples of the batch or none.
    """
    number = int(torch.randint(len(network.branches), ()))
    outputs: Tensor = network.branches[number](network.states(batch.inputs, batch.masks, batch.present))
    return outputs


class RoutingLoss:
    """Loss of a network with a router in the second stage of its training, which follows that of `mean_route_loss`.

    It is the task loss of the routes that the gate chooses plus the resource loss.
    """

    def __init__(self, config: RoutingConfig, costs: Mapping[str, float]) -> None:
        """Stores the options.

        Args:
            config: Options of the training.
            costs: Route to its MACs divided by those of the costliest one, in the order of the network.
        """
        self.config = config
        self.costs = torch.tensor(list(costs.values()))

    def second_stage(self, routes: AllRoutes, loss: LossOfLogits, *, progress: float) -> Tensor:
        """Returns the sum of task and resource loss; the temperature depends on `progress`, from 0 to 1."""
        config = self.config
        assert routes.gate is not None, "there is a router"
        temperature = temperature_at(progress, start=config.temperature, end=config.final_temperature)
        weights, _ = straight_through(routes.gate, temperature=temperature, gumbel=config.gumbel)
        mixed = (weights.view(*weights.shape, *[1] * (routes.outputs.dim() - 2)) * routes.outputs.float()).sum(dim=1)
        cost = resource_loss(weights, self.costs.to(weights), budget=config.budget)
        return loss(mixed) + config.resource_weight * cost
