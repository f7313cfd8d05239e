"""Thresholds with a guarantee: kept over many draws of validation data, and of use."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import binom

from nasfuse.spec.routing import GuaranteeConfig
from nasfuse.train.guarantee import losses, p_value, with_guarantee

from .test_exits import exits

LIMIT = GuaranteeConfig(max_loss=0.05, confidence=0.8)


def test_it_is_kept_over_many_draws_and_saves_cost():
    """The chance to exceed the limit is at most 0.2: of 60 draws at most 20 may, but with a chance of one per cent."""
    new = exits(n_samples=4000, seed=10**6)
    exceeded, spent = 0, []
    for seed in range(60):
        table, threshold = with_guarantee(exits(n_samples=400, seed=seed), LIMIT, seed=seed)
        on_new = replace(new, calibration=table.calibration)
        exceeded += float(losses(on_new, threshold).mean()) > LIMIT.max_loss
        assert on_new.at(0.0).metric - on_new.at(threshold).metric <= float(losses(on_new, threshold).mean()) + 1e-9
        spent.append(on_new.at(threshold).macs)
    assert exceeded <= binom.ppf(0.99, 60, 0.2)
    assert sum(spent) / len(spent) < 0.95 * new.at(0.0).macs


def test_it_holds_for_a_router_as_well(make_table):
    table, threshold = with_guarantee(make_table(n_samples=300), GuaranteeConfig(max_loss=0.9), seed=0)
    assert threshold > 0
    assert len(table.targets) == 300


def test_what_cannot_be_tested_runs_in_full():
    _, threshold = with_guarantee(exits(n_samples=20), GuaranteeConfig(max_loss=0.01), seed=0)
    assert threshold == 0.0


class TestPValue:
    def test_of_hits_is_binomial(self):
        values = torch.tensor([1.0] * 3 + [0.0] * 97)
        assert p_value(values, limit=0.1) == pytest.approx(binom.cdf(3, 100, 0.1))

    def test_of_fractions_is_never_below_that_of_hoeffding_and_bentkus(self):
        values = torch.full((200,), 0.02)
        hoeffding = math.exp(-200 * (0.02 * math.log(0.02 / 0.1) + 0.98 * math.log(0.98 / 0.9)))
        assert p_value(values, limit=0.1) == pytest.approx(min(hoeffding, math.e * binom.cdf(4, 200, 0.1)))
        assert p_value(torch.full((200,), 0.3), limit=0.1) == pytest.approx(1.0)
