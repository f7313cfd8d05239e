"""Calibration of a router: probabilities that are right, thresholds that are shares, whatever the gate's scale."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nasfuse.domain.modality import Task
from nasfuse.nn.routing.calibration import REACH, Calibration, CalibrationStatus, price_at
from nasfuse.train.calibration import fit_calibration, threshold_prices

TENTHS = [number / 10 for number in range(1, 10)]


def told(make_table, gate, best, *, macs=None):
    """A table in which route `best[i]` alone is right about sample i."""
    outputs = F.one_hot((torch.arange(gate.shape[1]) == best[:, None]).long(), 2).float()
    targets = torch.ones(len(gate), dtype=torch.int64)
    macs = macs or [10 * (number + 1) for number in range(gate.shape[1])]
    return make_table(
        n_samples=len(gate), macs=macs, gate=gate, outputs=outputs, targets=targets, task=Task("multiclass", 2)
    )


def honest_gate(*, n_samples=4000, n_routes=3, seed=0, bias=None):
    """Returns logits whose softmax is the chance that a route is the best, and the best routes."""
    generator = torch.Generator().manual_seed(seed)
    gate = 1.5 * torch.randn(n_samples, n_routes, generator=generator, dtype=torch.float64)
    gate = gate + torch.tensor(bias or [0.0] * n_routes)
    return gate, torch.multinomial(F.softmax(gate, dim=1), 1, generator=generator).flatten()


class TestProbabilities:
    def test_finds_what_the_gate_was_scaled_and_shifted_by(self, make_table):
        honest, best = honest_gate()
        scale, offset = torch.tensor([0.3, 1.0, 5.0]), torch.tensor([2.0, -1.0, 30.0])
        table = told(make_table, honest * scale + offset, best).calibrated()
        assert torch.equal(table.best_routes(), best)
        assert torch.allclose(table.calibration.scale, 1 / scale.double(), rtol=0.15)
        found, expected = (F.softmax(logits, dim=1) for logits in (table.calibration.apply(table.gate), honest))
        assert (found - expected).abs().mean() < 0.02
        assert table.calibration.status is CalibrationStatus.FITTED

    @settings(max_examples=20)
    @given(seed=st.integers(0, 10**6), n_routes=st.integers(2, 4))
    def test_mean_probabilities_are_the_shares(self, make_table, seed, n_routes):
        table = make_table(seed=seed, n_samples=60, n_routes=n_routes).calibrated()
        probabilities = F.softmax(table.calibration.apply(table.gate), dim=1).mean(dim=0)
        best = F.one_hot(table.best_routes(), n_routes).double().mean(dim=0)
        # Smoothed targets: each route that is best for some sample lends the others at most 1 / n each.
        assert (probabilities - best).abs().max() <= n_routes * (n_routes - 1) / 60 + 1e-6

    @settings(max_examples=20)
    @given(seed=st.integers(0, 10**6))
    def test_no_nearby_calibration_is_more_likely(self, make_table, seed):
        table = make_table(seed=seed, n_samples=25)
        best = table.best_routes()
        counts = torch.bincount(best, minlength=3)[best][:, None]
        targets = (F.one_hot(best, 3) * counts + 1) / (counts + 3)
        gate = table.gate.double()

        def loss(scale, offset):
            return float(-(targets * F.log_softmax(gate * scale + offset, dim=1)).sum(dim=1).mean())

        found = table.calibrated().calibration
        least = loss(found.scale, found.offset)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(20):
            step = 0.1 * torch.randn(2, 3, generator=generator, dtype=torch.float64)
            scale = (found.scale + step[0]).clamp_min(0.01 / gate.std(dim=0, correction=0))
            assert loss(scale, found.offset + step[1]) > least - 1e-4

    @pytest.mark.parametrize("bias", [-30.0, 0.0, 1.0, 300.0])
    @pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
    def test_a_biased_gate_is_corrected(self, make_table, bias, scale):
        """One sample in ten needs the costly route and the gate knows which, but leans to one side."""
        hard = torch.arange(400) % 10 == 0
        noise = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        gate = torch.stack([torch.zeros(400, dtype=torch.float64), scale * (bias + 2 * hard + 0.3 * noise)], dim=1)
        table = told(make_table, gate, hard.long(), macs=[100, 400]).calibrated()
        probabilities = F.softmax(table.calibration.apply(table.gate), dim=1)[:, 1]
        assert float(probabilities.mean()) == pytest.approx(0.1, abs=0.01)
        assert float(probabilities[hard].mean()) > 0.8
        assert table.at(0.5).usage[1] == pytest.approx(0.1, abs=0.01)
        assert table.at(0.5).metric > 0.99

    def test_logits_that_move_together_have_one_solution(self, make_table):
        gate, best = honest_gate(n_routes=2, n_samples=300)
        mirrored = torch.stack([-gate[:, 1], gate[:, 1]], dim=1)
        scale = told(make_table, mirrored, best).calibrated().calibration.scale
        assert float(scale[0]) == pytest.approx(float(scale[1]), rel=1e-3)


class TestInvariance:
    @settings(max_examples=25)
    @given(seed=st.integers(0, 10**6), n_routes=st.integers(2, 4))
    def test_no_scale_or_offset_of_a_route_changes_anything(self, make_table, seed, n_routes):
        generator = torch.Generator().manual_seed(seed)
        gate = torch.randn(40, n_routes, generator=generator, dtype=torch.float64)
        scale = torch.empty(n_routes, dtype=torch.float64).uniform_(0.1, 10, generator=generator)
        offset = torch.empty(n_routes, dtype=torch.float64).uniform_(-50, 50, generator=generator)
        one, other = (
            make_table(seed=seed, n_samples=40, n_routes=n_routes, gate=logits).calibrated()
            for logits in (gate, gate * scale + offset)
        )
        found = [F.softmax(table.calibration.apply(table.gate), dim=1) for table in (one, other)]
        assert torch.allclose(*found, atol=1e-4)
        for threshold in TENTHS:
            # Samples within the precision of the fit of the price may change sides.
            usage = [table.at(threshold).usage for table in (one, other)]
            assert usage[0] == pytest.approx(usage[1], abs=1 / 40 + 1e-9)

    def test_two_routes_keep_every_sample(self, make_table):
        gate, best = honest_gate(n_routes=2, n_samples=300, bias=[2.0, 0.0])
        changed = gate * torch.tensor([7.0, 0.2]) + torch.tensor([-3.0, 40.0])
        one, other = (told(make_table, logits, best).calibrated() for logits in (gate, changed))
        for threshold in [0.0, *TENTHS, 1.0]:
            assert torch.equal(one.chosen(threshold), other.chosen(threshold))

    def test_calibration_is_idempotent(self, make_table):
        once = make_table(seed=1).calibrated()
        twice = once.calibrated()
        assert torch.equal(twice.calibration.scale, once.calibration.scale)
        assert torch.equal(twice.calibration.prices, once.calibration.prices)


class TestStatus:
    def test_one_best_route(self, make_table):
        gate, _ = honest_gate(n_routes=2, n_samples=100)
        table = told(make_table, gate, torch.zeros(100, dtype=torch.int64)).calibrated()
        assert table.calibration.status is CalibrationStatus.ONE_BEST_ROUTE
        assert table.record(table.at(0.5))["calibration"].startswith("nothing to fit: the same route is the best")
        assert torch.isfinite(table.calibration.scale).all()
        assert F.softmax(table.calibration.apply(table.gate), dim=1)[:, 1].mean() == pytest.approx(1 / 102, abs=1e-3)
        assert (table.at(0.5).static, table.at(0.5).macs) == (0, 10), "nothing is gained, so nothing is spent"
        assert table.at(0.25).usage[1] == pytest.approx(0.5), "what is spent nevertheless follows the gate"

    def test_a_gate_that_is_wrong(self, make_table):
        gate, best = honest_gate(n_routes=2, n_samples=400)
        table = told(make_table, -gate, best).calibrated()
        assert table.calibration.status is CalibrationStatus.LEAST_SCALE
        assert "at its lower bound" in table.record(table.at(0.5))["calibration"]
        assert (table.calibration.scale > 0).all()

    @pytest.mark.parametrize("gap", [1.0, 1e6])
    def test_a_gate_that_separates_the_samples(self, make_table, gap):
        hard = torch.arange(50) % 2
        gate = torch.stack([torch.zeros(50), gap * hard], dim=1)
        table = told(make_table, gate, hard).calibrated()
        found = F.softmax(table.calibration.apply(table.gate), dim=1)[:, 1]
        # Platt's targets, which nothing can be fitted better to.
        assert found[hard == 1].tolist() == pytest.approx([26 / 27] * 25, abs=1e-3)
        assert found[hard == 0].tolist() == pytest.approx([1 / 27] * 25, abs=1e-3)
        assert torch.equal(table.chosen(0.5), hard)

    def test_a_constant_gate(self, make_table):
        best = (torch.arange(40) % 4 == 0).long()
        table = told(make_table, torch.full((40, 2), 3.7), best).calibrated()
        found = F.softmax(table.calibration.apply(table.gate), dim=1)[:, 1]
        assert found.tolist() == pytest.approx([0.25] * 40, abs=0.03)

    def test_one_sample(self, make_table):
        table = make_table(n_samples=1, macs=[10, 20]).calibrated()
        assert table.at(0.5).static is not None
        assert torch.isfinite(table.calibration.prices).all()


class TestThresholds:
    @settings(max_examples=25)
    @given(seed=st.integers(0, 10**6), n_routes=st.integers(2, 4))
    def test_each_stands_for_a_share_of_cost(self, make_table, seed, n_routes):
        table = make_table(seed=seed, n_samples=200, n_routes=n_routes).calibrated()
        costs = table.relative_costs
        needed = min(max(float(costs[table.best_routes()].mean()), 0.1), 0.9)
        for threshold in [0.0, 0.01, *TENTHS, 0.99, 1.0]:
            wanted = np.interp(threshold, [0, 0.5, 1], [1, needed, 0])
            spent = float(costs[table.chosen(threshold)].mean())
            assert spent == pytest.approx(wanted, abs=1 / 200 + 1e-9), "as near as a sample"
        macs = [table.at(threshold).macs for threshold in TENTHS]
        assert all(later < earlier for earlier, later in itertools.pairwise(macs)), "no two tenths are the same"

    @settings(max_examples=25)
    @given(
        seed=st.integers(0, 10**6),
        n_routes=st.integers(2, 4),
        thresholds=st.lists(st.floats(0, 1), min_size=2, max_size=12),
    )
    def test_cost_never_rises(self, make_table, seed, n_routes, thresholds):
        table = make_table(seed=seed, n_samples=20, n_routes=n_routes).calibrated()
        costs = [table.relative_costs[table.chosen(threshold)] for threshold in sorted(thresholds)]
        assert all((later <= earlier).all() for earlier, later in itertools.pairwise(costs))

    def test_every_split_can_be_had(self, make_table):
        table = make_table(seed=3, n_samples=30, macs=[100, 1100]).calibrated()
        logits = table.calibration.apply(table.gate)
        order = (logits[:, 1] - logits[:, 0]).argsort(descending=True)
        for n_up in range(1, 30):
            budget = 100 + 7 + 1000 * n_up / 30 + 1e-6
            chosen = table.chosen(table.threshold_for(budget))
            assert set(chosen.nonzero().flatten().tolist()) == set(order[:n_up].tolist()), "the likeliest first"

    def test_the_ends_are_static_routes(self, make_table):
        table = make_table(seed=5, macs=[10, 20, 40]).calibrated()
        assert [(table.at(end).static, table.at(end).macs) for end in (0.0, 1.0)] == [(2, 40), (0, 10)]
        assert all(table.at(threshold).static is None for threshold in TENTHS)

    def test_a_router_that_sends_all_one_way_does_not_run(self, make_table):
        """Or the default would be dominated by the static route that it amounts to."""
        gate = torch.tensor([[0.0, 1.0]]).repeat(10, 1)  # nobody can be told apart
        best = (torch.arange(10) == 0).long()
        table = told(make_table, gate, best, macs=[10, 20]).calibrated()
        assert {table.at(threshold).macs for threshold in TENTHS} == {10.0, 20.0}

    def test_routes_of_equal_cost_have_the_likeliest_taken(self):
        gate, best = honest_gate(n_routes=2, n_samples=50)
        calibration = fit_calibration(gate, best, torch.zeros(2))
        assert torch.equal(calibration.prices, Calibration.identity(2).prices)

    def test_by_hand(self):
        """Four samples, three routes: the middle one is passed by where it lies below the line of the others."""
        logits = np.array([[0.0, 1.0, 0.0], [0.0, -5.0, 2.0], [0.0, 0.0, 0.0], [0.0, 3.0, 4.0]])
        costs = np.array([0.0, 0.5, 1.0])
        # Switches: sample 0 at -2 (to the middle) and 2; 1 at 2; 2 at 0; 3 at 2 (to the middle) and 6.
        prices = threshold_prices(logits, costs, needed=0.5)
        left = {0.0: 1.0, 0.12: 0.875, 0.38: 0.625, 0.88: 0.125, 1.0: 0.0}
        expected = {0.0: -3.0, 0.12: -1.0, 0.38: 1.0, 0.88: 4.0, 1.0: 7.0}
        assert {threshold: prices[round(100 * threshold)] for threshold in left} == expected


def test_the_identity_is_the_log_odds():
    prices = Calibration.identity(3).prices
    for threshold in (1e-9, 0.003, 0.1, 0.123, 0.5, 0.99, 1 - 1e-9):
        assert price_at(threshold, prices) == pytest.approx(math.log(threshold / (1 - threshold)), abs=1e-9)
    assert [price_at(end, prices) for end in (0.0, 1.0)] == [-math.inf, math.inf]
    assert prices.abs().max() == REACH
