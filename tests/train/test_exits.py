"""Choosing exits: temperatures, levels along a path of least area, and what they come to on a table."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.domain.modality import Task
from nasfuse.nn.routing.exits import ExitCalibration
from nasfuse.tasks import task_kind
from nasfuse.train.exit_table import ExitTable
from nasfuse.train.exits import _means, _path_of_least_area, fit_temperatures
from nasfuse.train.router_baselines import oracle, random_mix, static_routes


def exits(*, n_samples=60, n_routes=3, seed=0, strength=2.0, cost=(100, 130, 300, 420, 600)):
    """A table whose later routes are right more often, and surer where they are."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(4, (n_samples,), generator=generator)
    outputs = torch.randn(n_samples, n_routes, 4, generator=generator)
    for route in range(n_routes):
        signal = strength * (route + 0.5) * torch.rand(n_samples, generator=generator)
        outputs[torch.arange(n_samples), route, targets] += signal
    static = torch.tensor([cost[:n_routes]]).expand(n_samples, -1)
    return ExitTable(
        names=tuple("abcdef"[:n_routes]),
        digests=outputs,
        macs=static + torch.arange(n_routes),
        static_macs=static,
        targets=targets,
        metric="accuracy",
        task=Task("multiclass", 4),
        calibration=ExitCalibration.identity(n_routes),
    )


class TestLevels:
    @settings(max_examples=30)
    @given(seed=st.integers(0, 10**6), n_samples=st.integers(1, 40), n_routes=st.integers(2, 4))
    def test_never_rise_and_go_from_all_to_none(self, seed, n_samples, n_routes):
        table = exits(seed=seed, n_samples=n_samples, n_routes=n_routes).calibrated()
        levels = table.calibration.levels
        assert levels.shape == (101, n_routes - 1)
        assert (levels.diff(dim=0) <= 1e-12).all()
        assert table.at(1e-9).usage[-1] == 1.0
        assert table.at(1 - 1e-9).usage[0] == 1.0

    @settings(max_examples=30)
    @given(seed=st.integers(0, 10**6), other=st.integers(0, 10**6), n_routes=st.integers(2, 4))
    def test_cost_never_rises_with_the_threshold_on_any_data(self, seed, other, n_routes):
        fitted = exits(seed=seed, n_routes=n_routes).calibrated().calibration
        table = exits(seed=other, n_routes=n_routes, strength=1.0)
        macs = [float(table.macs.double().gather(1, route[:, None]).mean()) for route in _routes(table, fitted)]
        assert macs == sorted(macs, reverse=True)

    @settings(max_examples=20)
    @given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.95))
    def test_a_budget_is_kept(self, seed, share):
        table = exits(seed=seed).calibrated()
        cheap, full = table.at(1.0).macs, table.at(0.0).macs
        budget = cheap + share * (full - cheap)
        assert table.at(table.threshold_for(budget)).macs <= budget

    def test_a_threshold_is_a_share_of_the_cost(self):
        table = exits(n_samples=4000, seed=1).calibrated()
        ends = table.macs.double().mean(dim=0)
        needed = float((ends[table.best_routes()].mean() - ends[0]) / (ends[-1] - ends[0]))
        for threshold, share in ((0.25, (1 + needed) / 2), (0.5, needed), (0.75, needed / 2)):
            spent = (table.at(threshold).macs - float(ends[0])) / float(ends[-1] - ends[0])
            assert spent == pytest.approx(share, abs=0.03)

    def test_beat_a_cascade_of_two_routes(self):
        """Where the middle route is nearly free and nearly as good as the last, samples stop there."""
        table = exits(n_samples=3000, seed=2, cost=(100, 120, 1000)).calibrated()
        routed = table.at(table.threshold_for(400))
        sure = table.calibration.confidences(table.digests, task_kind("multiclass"))[:, 0]
        chosen = torch.zeros(len(sure), dtype=torch.int64)
        chosen[sure.argsort()[: round(len(sure) * (routed.macs - 100) / 900)]] = 2
        assert routed.metric > table.metric_of(chosen) + 0.02

    def test_means_are_those_of_every_setting(self):
        generator = np.random.default_rng(0)
        values = generator.random((30, 3))
        reached = [generator.integers(0, 3, 30), generator.integers(0, 4, 30)]
        found = _means(values, reached, [4, 5])
        for first, second in itertools.product(range(4), range(5)):
            stops = np.where(reached[0] >= first, 0, np.where(reached[1] >= second, 1, 2))
            assert found[first, second] == pytest.approx(values[np.arange(30), stops].mean())

    def test_the_path_has_the_least_area_of_all(self):
        generator = np.random.default_rng(1)
        error = generator.random((3, 4))
        cost = generator.random((3, 4)).cumsum(axis=0).cumsum(axis=1)

        def area(path):
            return sum((error[one] + error[two]) / 2 * (cost[two] - cost[one]) for one, two in itertools.pairwise(path))

        paths = []
        for steps in set(itertools.permutations([0, 0, 1, 1, 1])):
            path = [(0, 0)]
            for axis in steps:
                path.append((path[-1][0] + (axis == 0), path[-1][1] + (axis == 1)))
            paths.append(path)
        found = list(zip(*_path_of_least_area(error, cost), strict=True))
        assert area(found) == pytest.approx(min(area(path) for path in paths))


def _routes(table, calibration):
    for threshold in np.linspace(0.001, 0.999, 60):
        yield replace(table, calibration=calibration).chosen(float(threshold))


def test_a_temperature_undoes_a_scale():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 2, 4, generator=generator)
    targets = torch.distributions.Categorical(logits=logits[:, 0]).sample()
    found = fit_temperatures(torch.stack([3 * logits[:, 0], logits[:, 1]], dim=1), targets, task_kind("multiclass"))
    assert found.tolist() == pytest.approx([3.0], rel=0.1)


def test_routes_that_are_always_right_still_spend_a_budget():
    """Other samples may need it; confidences that are all 1 could not say which samples to spend it on."""
    table = exits(n_samples=200, strength=0.0)
    rows = torch.arange(200)
    margin = 3 + torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    table.digests[rows, :, table.targets] = table.digests.amax(dim=2) + margin
    table = table.calibrated()
    cheap, full = table.at(1.0).macs, table.at(0.0).macs
    for share in (0.3, 0.6, 0.9):
        budget = cheap + share * (full - cheap)
        assert table.at(table.threshold_for(budget)).macs == pytest.approx(budget, rel=0.15)


class TestTable:
    def test_its_ends_are_static_routes(self):
        table = exits().calibrated()
        statics = static_routes(table)
        for threshold, number in ((1.0, 0), (0.0, 2)):
            routed = table.at(threshold)
            assert (routed.macs, routed.metric) == statics[number]
            assert routed.static == number

    def test_controls_work_on_it(self):
        table = exits(n_samples=400).calibrated()
        routed = table.at(0.5)
        assert random_mix(table, routed.macs, seed=0)[0] <= oracle(table)[1]
        assert routed.metric <= oracle(table)[1]

    def test_the_record_names_the_exits(self):
        table = exits(n_samples=400).calibrated()
        record = table.record(table.at(0.5))
        assert list(record["usage"]) == ["a", "b", "c"]
        assert list(record["levels"]) == list(record["temperatures"]) == ["a", "b"]
        assert "levels" not in table.record(table.at(1.0))

    def test_some_of_its_samples(self):
        table = exits()
        part = table.rows(torch.tensor([3, 5]))
        assert torch.equal(part.digests, table.digests[[3, 5]])
        assert len(part.targets) == len(part.macs) == len(part.static_macs) == 2
