"""Gate of a router: conversion of logits to a choice, with a straight-through gradient in training."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def straight_through(logits: Tensor, *, temperature: float, gumbel: bool = False) -> tuple[Tensor, Tensor]:
    """Returns one-hot weights (b, n_routes) with the gradient of probabilities, and these probabilities.

    With p = softmax((logits + g) / temperature): w = onehot(argmax p) - stopgrad(p) + p, so that
    dw_j / dlogit_k = p_j (delta_jk - p_k) / temperature (DynMM, section 3.2).

    Args:
        logits: Logits of the router, shape (b, n_routes).
        temperature: Temperature of the softmax, above 0.
        gumbel: Whether g is Gumbel(0, 1) noise from torch's current generator; otherwise g is 0.
    """
    logits = logits.float()
    if gumbel:
        logits = logits - torch.empty_like(logits).exponential_().clamp_min(1e-20).log()
    soft = F.softmax(logits / temperature, dim=1)
    hard = F.one_hot(soft.argmax(dim=1), soft.shape[1]).to(soft.dtype)
    # The difference is computed first, because it is exactly 0, so that the sum is exactly one-hot.
    return hard + (soft - soft.detach()), soft


def choose(logits: Tensor, relative_costs: Tensor, *, price: float) -> Tensor:
    """Returns the number of the route with the largest logit_k - price * c_k for each sample, shape (b,).

    c_k is the relative cost of route k, so the cost of a sample does not increase with the price. At price 0 the most
    probable route is taken, as in DynMM. Of two routes the costly one is taken if its probability is above
    1 / (1 + exp(-price)).

    Args:
        logits: Calibrated logits of the router, shape (b, n_routes).
        relative_costs: Relative costs of the routes, increasing from 0 to 1, shape (n_routes,).
        price: Log odds per unit of relative cost; all samples take the last route at -inf and the first one at inf.
    """
    if math.isinf(price):
        end = logits.shape[1] - 1 if price < 0 else 0
        return torch.full((len(logits),), end, device=logits.device)
    return (logits.double() - price * relative_costs.double()).argmax(dim=1)


def temperature_at(progress: float, *, start: float, end: float | None) -> float:
    """Returns start (end / start)^progress for a `progress` from 0 to 1, or `start` if `end` is None."""
    return start if end is None else float(start * (end / start) ** progress)
