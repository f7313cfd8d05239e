"""Gates: one-hot forward, softmax backward, thresholds that order routes by cost."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nasfuse.nn.routing.gate import choose, straight_through, temperature_at


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_forward_value_is_exactly_one_hot(dtype):
    logits = (10 * torch.randn(200, 5)).to(dtype)
    weights, soft = straight_through(logits, temperature=0.7)
    assert torch.equal(weights, F.one_hot(logits.float().argmax(dim=1), 5).float())
    assert torch.allclose(soft, F.softmax(logits.float() / 0.7, dim=1))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_the_gradient_is_that_of_the_softmax(temperature):
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    coefficients = torch.randn(4, 3, dtype=torch.float64)
    weights, soft = straight_through(logits, temperature=temperature)
    (weights * coefficients).sum().backward()
    p = soft.detach().double()
    expected = p * (coefficients - (p * coefficients).sum(dim=1, keepdim=True)) / temperature
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_gumbel_noise_draws_routes_as_often_as_the_gate_says():
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(20000, 3)
    weights, _ = straight_through(logits, temperature=1.0, gumbel=True)
    assert torch.allclose(weights.mean(dim=0), torch.tensor([0.5, 0.3, 0.2]), atol=0.015)
    quiet, _ = straight_through(logits, temperature=1.0)
    assert torch.equal(quiet[:, 0], torch.ones(20000))


def test_between_two_routes_the_price_is_the_log_odds_of_a_probability():
    p = torch.linspace(0.01, 0.99, 99)
    logits = torch.stack([(1 - p).log(), p.log()], dim=1)
    for least in (0.105, 0.5051, 0.905):
        price = math.log(least / (1 - least))
        assert torch.equal(choose(logits, torch.tensor([0.0, 1.0]), price=price) == 1, p > least)


def test_at_price_zero_the_most_probable_route_is_chosen():
    logits = torch.randn(50, 4)
    assert torch.equal(choose(logits, torch.tensor([0.0, 0.2, 0.9, 1.0]), price=0.0), logits.argmax(dim=1))


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(0, 10**6))
def test_cost_never_rises_with_the_price_and_the_ends_are_static(n_routes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(20, n_routes, generator=generator)
    costs = torch.rand(n_routes, generator=generator).sort().values
    costs = (costs - costs[0]) / (costs[-1] - costs[0])
    chosen = [costs[choose(logits, costs, price=p)] for p in (-math.inf, -20, -2, -0.4, 0, 1.4, 20, math.inf)]
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(chosen))
    assert (chosen[0] == 1).all()
    assert (chosen[-1] == 0).all()


def test_the_temperature_anneals_exponentially():
    values = [temperature_at(progress, start=1.0, end=1e-4) for progress in (0.0, 0.5, 1.0)]
    assert values == pytest.approx([1.0, 1e-2, 1e-4])
    assert temperature_at(0.7, start=2.0, end=None) == 2.0
    assert math.isclose(temperature_at(1.0, start=1.0, end=1e-3), 1e-3)
