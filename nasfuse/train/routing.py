"""Training routes and a router: the mean loss of routes, then straight-through gates and a loss that knows costs."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nasfuse.data.dataset import Split
from nasfuse.nn.routing.gate import straight_through, temperature_at
from nasfuse.nn.routing.network import AllRoutes
from nasfuse.spec.routing import RoutingConfig

#: From logits (b, n_outputs) to the mean loss of the batch at hand.
LossOfLogits = Callable[[Tensor], Tensor]


def resource_loss(weights: Tensor, costs: Tensor, *, budget: float | None = None) -> Tensor:
    """Returns the expected cost sum_k mean_batch(w_k) C_k of a gate (DynMM, Eq. 1), or what exceeds a budget.

    Unlike in the released code the cost vector is named and normalised, so the term lies between 0 and 1.

    Args:
        weights: (b, n_routes) of the gate.
        costs: (n_routes,) MACs over those of the costliest route.
        budget: Share of the costliest route's MACs that is free: max(0, cost - budget).
    """
    cost = (weights.mean(dim=0) * costs).sum()
    return cost if budget is None else torch.relu(cost - budget)


def hold_out(split: Split, share: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Returns the rows of `split` that are kept and those held out, drawn by group where there are groups."""
    groups = torch.arange(len(split)) if split.groups is None else split.groups
    if len(torch.unique(groups)) < 2:  # one group cannot be divided
        groups = torch.arange(len(split))
    names = torch.unique(groups)
    drawn = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))]
    held = torch.isin(groups, drawn[: max(round(share * len(names)), 1)])
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def mean_route_loss(outputs: Tensor, loss: LossOfLogits) -> Tensor:
    """Returns the mean loss of the routes.

    It is what a uniformly random route per sample gives on average, without its noise.

    Args:
        outputs: (b, n_routes, n_outputs).
        loss: Of the logits of one route.
    """
    losses = [loss(outputs[:, number].float()) for number in range(outputs.shape[1])]
    return torch.stack(losses).mean()


class RoutingLoss:
    """The loss of a network with a router in the second stage of its training, after that of `mean_route_loss`.

    The loss of the gate's choice plus the resource term.
    """

    def __init__(self, config: RoutingConfig, costs: Mapping[str, float]) -> None:
        """Keeps the options; `costs` are MACs over those of the costliest route, by route in the network's order."""
        self.config = config
        self.costs = torch.tensor(list(costs.values()))

    def second_stage(self, routes: AllRoutes, loss: LossOfLogits, *, progress: float) -> Tensor:
        """Returns task and resource loss; `progress` from 0 to 1 anneals the temperature."""
        config = self.config
        assert routes.gate is not None, "there is a router"
        temperature = temperature_at(progress, start=config.temperature, end=config.final_temperature)
        weights, _ = straight_through(routes.gate, temperature=temperature, gumbel=config.gumbel)
        mixed = (weights[:, :, None] * routes.outputs.float()).sum(dim=1)
        cost = resource_loss(weights, self.costs.to(weights), budget=config.budget)
        return loss(mixed) + config.resource_weight * cost
