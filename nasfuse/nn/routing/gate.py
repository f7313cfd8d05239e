"""The gate: how logits of a router become a choice, hard at inference and straight-through in training."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def straight_through(logits: Tensor, *, temperature: float, gumbel: bool = False) -> tuple[Tensor, Tensor]:
    """Returns the gate's weights (b, n_routes), exactly one-hot forward and soft backward, and its probabilities.

    With p = softmax((logits + g) / temperature): w = onehot(argmax p) - stopgrad(p) + p, so that
    dw_j / dlogit_k = p_j (delta_jk - p_k) / temperature (DynMM, section 3.2).

    Args:
        logits: (b, n_routes).
        temperature: Above 0.
        gumbel: Whether g is Gumbel(0, 1) noise, from torch's current generator; it is 0 otherwise.
    """
    logits = logits.float()
    if gumbel:
        logits = logits - torch.empty_like(logits).exponential_().clamp_min(1e-20).log()
    soft = F.softmax(logits / temperature, dim=1)
    hard = F.one_hot(soft.argmax(dim=1), soft.shape[1]).to(soft.dtype)
    # The difference is 0 forward; in this order rounding cannot touch the one-hot value.
    return hard + (soft - soft.detach()), soft


def choose(logits: Tensor, relative_costs: Tensor, *, price: float) -> Tensor:
    """Returns the (b,) number of each sample's route: the one with the largest logit_k - price * c_k.

    c_k is 0 for the cheapest and 1 for the costliest route, so the cost of a sample never rises with the price. At
    price 0 the likeliest route is taken, as in DynMM. Of two routes the costly one is taken where its probability is
    above 1 / (1 + exp(-price)).

    Args:
        logits: (b, n_routes) of the router, calibrated.
        relative_costs: (n_routes,) from 0 to 1, rising.
        price: Log odds per unit of relative cost; -inf takes the costliest route, the last, and inf the first.
    """
    if math.isinf(price):
        end = logits.shape[1] - 1 if price < 0 else 0
        return torch.full((len(logits),), end, device=logits.device)
    return (logits.double() - price * relative_costs.double()).argmax(dim=1)


def temperature_at(progress: float, *, start: float, end: float | None) -> float:
    """Returns the gate's temperature at `progress` from 0 to 1: start (end / start)^progress, or `start` alone."""
    return start if end is None else float(start * (end / start) ** progress)
