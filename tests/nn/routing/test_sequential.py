"""Sequential networks: the suite of routed networks, what runs at each exit, what it costs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.domain.modality import Task
from nasfuse.errors import InvalidInputError
from nasfuse.nn import build_network
from nasfuse.nn.places import Line, Place
from nasfuse.nn.routing.exits import ExitCalibration, first_sure, levels_at
from nasfuse.spec.network import NetworkConfig
from nasfuse.testing import RoutedSuite
from nasfuse.testing.router import ENCODERS, LENGTHS

ROUTES = ("v", "v+i:1", "v+i+q:0", "v+i+s+q")


@pytest.fixture(scope="session")
def make_sequential(make_config, modalities, task):
    def make(routes=ROUTES, *, placement=2, encoders=ENCODERS, of=None, **more):
        plain = make_config(encoders, fusion="gated", placement=placement).to_plain()
        plain["router"] = {"kind": "sequential", "routes": list(routes), **more}
        known = [modalities[name] for name in encoders]
        return build_network(NetworkConfig.parse(plain), known, of or task).eval()

    return make


class TestSuite(RoutedSuite):
    @pytest.fixture(params=[0, 2])
    def make_network(self, request, make_sequential):
        return lambda: make_sequential(
            placement=request.param, routes=ROUTES if request.param else ("v", "v+i", "v+i+s+q")
        )


def batch_of(make_batch, *, n_samples):
    lengths = {"s": torch.arange(n_samples) % 12, "q": 9 - torch.arange(n_samples) % 10}
    return make_batch(list(ENCODERS), n_samples=n_samples, lengths=lengths)


@settings(max_examples=25)
@given(n_samples=st.integers(1, 60), threshold=st.floats(0.0, 1.0), seed=st.integers(0, 9))
def test_samples_stop_at_the_first_exit_that_is_sure(n_samples, threshold, seed, make_sequential, make_batch):
    torch.manual_seed(seed)
    network = make_sequential(threshold=threshold)
    levels = torch.rand(101, 3).sort(dim=0, descending=True).values.double()
    network.calibrate(ExitCalibration(torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64), levels))
    batch = batch_of(make_batch, n_samples=n_samples)
    with torch.inference_mode():
        dense = network.all_routes(batch.inputs, batch.masks).outputs
        outputs = network(batch.inputs, batch.masks)
    at = levels_at(threshold, levels).tolist()
    for row in range(n_samples):
        sure = [
            float(torch.softmax(dense[row, k].double() / t, dim=0).max()) >= at[k] for k, t in enumerate((0.5, 1, 2))
        ]
        assert torch.allclose(outputs[row], dense[row, [*sure, True].index(True)], atol=1e-5)


def test_only_what_the_exits_need_is_computed_and_nothing_twice(make_sequential, make_batch):
    network = make_sequential()
    batch = batch_of(make_batch, n_samples=12)
    rows = {}

    def count(name, module, size):
        def hook(_module, inputs, result):
            rows[name] = rows.get(name, 0) + size(inputs, result)

        module.register_forward_hook(hook)

    for number, branch in enumerate(network.branches):
        count(f"head {number}", branch.head, lambda inputs, _: len(inputs[0]))
    for name in network.streams:
        count(f"stem {name}", network.streams[name].stem, lambda _, result: len(result.values))
        for number, stage in enumerate(network.streams[name].stages):
            count(f"{name} {number + 1}", stage, lambda _, result: len(result.values))
    chosen = torch.tensor([0, 1, 2, 3] * 3)
    with torch.inference_mode():
        network(batch.inputs, batch.masks, chosen)
    assert [rows[f"head {number}"] for number in range(4)] == [12, 9, 6, 3]
    assert [rows[f"stem {name}"] for name in "viqs"] == [12, 9, 6, 3]
    assert [rows[one] for one in ("v 1", "v 2", "i 1", "i 2", "q 1", "s 1", "s 2")] == [12, 12, 9, 6, 3, 3, 3]


def test_costs_are_those_of_all_that_ran(make_sequential):
    network = make_sequential()
    static, routed = network.static_macs(LENGTHS), network.route_macs(LENGTHS)
    assert routed[0] == static[0]
    after_streams = []
    for branch in network.branches:
        stages = branch.route.n_stages
        extents = {
            Place(Line(name), n): network.streams[name].macs(LENGTHS.get(name, 0), n_stages=n)[1]
            for name, n in stages.items()
        }
        after_streams.append(branch.macs(extents))
    heads = [sum(after_streams[:number]) for number in range(4)]
    assert [one - other for one, other in zip(routed, static, strict=True)] == heads
    assert network.relative_costs.tolist() == sorted(network.relative_costs.tolist())
    assert (network.relative_costs[0], network.relative_costs[-1]) == (0, 1)


class TestLevels:
    def test_of_a_threshold_are_linear_between_rows(self):
        levels = torch.linspace(1, 0, 101, dtype=torch.float64)[:, None].repeat(1, 2)
        assert levels_at(0.255, levels).tolist() == pytest.approx([0.745, 0.745])
        assert levels_at(0.0, levels).tolist() == [float("inf")] * 2
        assert levels_at(1.0, levels).tolist() == [-float("inf")] * 2

    def test_the_first_that_is_reached_counts(self):
        confidences = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.2, 0.3]])
        assert first_sure(confidences, torch.tensor([0.5, 0.5])).tolist() == [0, 1, 2]


def test_a_regression_has_no_exits(make_sequential):
    with pytest.raises(InvalidInputError, match="outputs of a regression do not say how sure they are; use kind: gate"):
        make_sequential(of=Task("regression", 1))
