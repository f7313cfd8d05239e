"""The losses of a router's training, against their formulas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from nasfuse.data.dataset import Split
from nasfuse.nn.routing.gate import straight_through
from nasfuse.nn.routing.network import AllRoutes
from nasfuse.spec.routing import RoutingConfig
from nasfuse.train.routing import RoutingLoss, hold_out, mean_route_loss, resource_loss

COSTS = {"a": 0.25, "b": 0.5, "c": 1.0}


def routes_of(n_samples=6, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    gate = torch.randn(n_samples, 3, generator=generator)
    outputs = torch.randn(n_samples, 3, 4, generator=generator)
    return AllRoutes(gate.requires_grad_(), outputs.requires_grad_())


def cross_entropy(logits):
    return F.cross_entropy(logits, torch.arange(len(logits)) % 4)


def second_stage(routes, *, progress=0.0, **options):
    config = RoutingConfig(**{"resource_weight": 0.0, **options})
    return RoutingLoss(config, COSTS).second_stage(routes, cross_entropy, progress=progress)


def test_the_resource_term_is_the_mean_cost_of_the_chosen_routes():
    weights = F.one_hot(torch.tensor([0, 0, 2, 1]), 3).double()
    costs = torch.tensor(list(COSTS.values()), dtype=torch.float64)
    assert float(resource_loss(weights, costs)) == pytest.approx((0.25 + 0.25 + 1 + 0.5) / 4)


@pytest.mark.parametrize(("budget", "expected"), [(None, 0.5), (0.2, 0.3), (0.5, 0.0), (0.9, 0.0)])
def test_costs_within_the_budget_have_no_penalty(budget, expected):
    weights = F.one_hot(torch.tensor([0, 0, 2, 1]), 3).double()
    costs = torch.tensor(list(COSTS.values()), dtype=torch.float64)
    assert float(resource_loss(weights, costs, budget=budget)) == pytest.approx(expected)


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 10**6))
def test_the_resource_term_lies_between_the_cheapest_share_and_one(n_samples, n_routes, seed):
    generator = torch.Generator().manual_seed(seed)
    weights, _ = straight_through(torch.randn(n_samples, n_routes, generator=generator), temperature=1.0)
    costs = torch.rand(n_routes, generator=generator)
    costs = costs / costs.max()
    assert float(costs.min()) - 1e-6 <= float(resource_loss(weights, costs)) <= 1 + 1e-6


def test_its_gradient_is_that_of_the_soft_gate():
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    costs = torch.tensor(list(COSTS.values()))
    weights, soft = straight_through(logits, temperature=0.8)
    resource_loss(weights, costs).backward()
    p = soft.detach().double()
    expected = p * (costs - (p * costs).sum(dim=1, keepdim=True)) / 0.8 / len(p)
    assert torch.allclose(logits.grad, expected, atol=1e-7)


def test_the_first_stage_is_the_mean_over_routes_and_leaves_the_router_alone():
    routes = routes_of()
    loss = mean_route_loss(routes.outputs, cross_entropy)
    naive = sum(cross_entropy(routes.outputs[:, number]) for number in range(3)) / 3
    assert loss.item() == pytest.approx(naive.item())
    loss.backward()
    assert routes.gate.grad is None
    assert (routes.outputs.grad != 0).all()


def test_the_first_stage_is_what_random_routes_cost_on_average():
    routes = routes_of()
    loss = mean_route_loss(routes.outputs, cross_entropy).item()
    rows, n_draws = torch.arange(6), 4000
    drawn = [cross_entropy(routes.outputs[rows, torch.randint(3, (6,))]).detach() for _ in range(n_draws)]
    values = torch.stack(drawn)
    assert loss == pytest.approx(float(values.mean()), abs=4 * float(values.std()) / n_draws**0.5)


def test_the_second_stage_is_the_loss_of_the_choice_and_its_cost():
    routes = routes_of()
    chosen = routes.gate.argmax(dim=1)
    task = cross_entropy(routes.outputs[torch.arange(6), chosen]).item()
    cost = float(torch.tensor(list(COSTS.values()))[chosen].mean())
    assert second_stage(routes).item() == pytest.approx(task)
    assert second_stage(routes, resource_weight=0.3).item() == pytest.approx(task + 0.3 * cost)
    within = second_stage(routes, resource_weight=0.3, budget=0.1)
    assert within.item() == pytest.approx(task + 0.3 * (cost - 0.1))
    assert second_stage(routes, resource_weight=0.3, budget=1.0).item() == pytest.approx(task)


def test_only_chosen_routes_are_trained_but_the_gate_gets_all_losses():
    routes = routes_of()
    second_stage(routes).backward()
    chosen = F.one_hot(routes.gate.argmax(dim=1), 3).bool()
    assert (routes.outputs.grad[chosen] != 0).all()
    assert (routes.outputs.grad[~chosen] == 0).all()
    assert (routes.gate.grad != 0).all()


def test_the_gates_gradient_is_the_formula():
    routes = routes_of()
    second_stage(routes, temperature=0.6).backward()
    rows = torch.arange(6)
    logits = routes.outputs.detach()[rows, routes.gate.argmax(dim=1)].requires_grad_()
    cross_entropy(logits).backward()
    by_weight = (logits.grad[:, None] * routes.outputs.detach()).sum(dim=2)
    p = F.softmax(routes.gate.detach() / 0.6, dim=1)
    expected = p * (by_weight - (p * by_weight).sum(dim=1, keepdim=True)) / 0.6
    assert torch.allclose(routes.gate.grad, expected, atol=1e-6)


@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 2.0), (0.5, 1.0), (1.0, 0.5)])
def test_progress_anneals_the_temperature(progress, temperature):
    annealed, constant = routes_of(), routes_of()
    second_stage(annealed, progress=progress, temperature=2.0, final_temperature=0.5).backward()
    second_stage(constant, temperature=temperature).backward()
    assert torch.allclose(annealed.gate.grad, constant.gate.grad)


def test_gumbel_noise_explores():
    routes = routes_of()
    assert len({second_stage(routes).item() for _ in range(5)}) == 1
    assert len({second_stage(routes, gumbel=True).item() for _ in range(5)}) > 1


def at_least_two(groups):
    return len(set(groups)) > 1


class TestHoldOut:
    def split(self, n_samples, groups=None):
        return Split({}, torch.zeros(n_samples), None if groups is None else torch.tensor(groups))

    @given(n_samples=st.integers(2, 200), share=st.floats(0.01, 0.5), seed=st.integers(0, 10**6))
    def test_every_sample_is_on_one_side(self, n_samples, share, seed):
        kept, held = hold_out(self.split(n_samples), share, seed=seed)
        assert sorted([*kept.tolist(), *held.tolist()]) == list(range(n_samples))
        assert len(held) == max(round(share * n_samples), 1)

    @given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=60).filter(at_least_two), seed=st.integers(0, 10**6))
    def test_groups_stay_together(self, groups, seed):
        kept, held = hold_out(self.split(len(groups), groups), 0.3, seed=seed)
        sides = [{groups[row] for row in rows.tolist()} for rows in (kept, held)]
        assert not sides[0] & sides[1]
        assert len(sides[1]) == max(round(0.3 * len(set(groups))), 1)

    @given(n_samples=st.integers(2, 60), seed=st.integers(0, 10**6))
    def test_one_group_is_divided_by_sample(self, n_samples, seed):
        kept, held = hold_out(self.split(n_samples, [0] * n_samples), 0.15, seed=seed)
        assert sorted([*kept.tolist(), *held.tolist()]) == list(range(n_samples))
        assert len(held) == max(round(0.15 * n_samples), 1)

    def test_a_seed_decides(self):
        split = self.split(100)
        draws = [hold_out(split, 0.2, seed=seed)[1] for seed in (1, 1, 2)]
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])
