"""The conformance suites of networks with several routes, and of the routers that choose between them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nasfuse.cost import count_network
from nasfuse.data.dataset import Batch
from nasfuse.domain.modality import Task
from nasfuse.nn import build_network
from nasfuse.nn.branch import Branch
from nasfuse.nn.knob import knobs_at
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.nn.routing.router import Router
from nasfuse.spec.network import NetworkConfig
from nasfuse.testing.inputs import IDS, MODALITIES, SEQUENCE, random_batch
from nasfuse.testing.suite import ModuleSuite, assert_restored

#: Routes that share streams, stop early in one, or have nothing in common.
ROUTES = ("v", "v+i:1", "v+i", "s+q:0", "v+i+s+q")

ENCODERS = {"v": "mlp", "i": "conv", "s": "transformer", "q": "conv"}

#: Longest sequences of the modalities.
LENGTHS = {"s": SEQUENCE.shape[0], "q": IDS.shape[0]}


def network_with(make_router: Callable[[GatedNetwork], Router]) -> GatedNetwork:
    """Returns a network of `ROUTES` with another router than the shipped ones, in evaluation mode.

    Args:
        make_router: Builds the router for a network of the same streams and branches.
    """
    streams = {name: {"encoder": encoder, "width": 8, "depth": 2, "dropout": 0.0} for name, encoder in ENCODERS.items()}
    plain = {
        "route": list(ENCODERS),
        "streams": streams,
        "fusion": {"kind": "gated", "width": 8, "placement": 2, "dropout": 0.0},
        "router": {"routes": list(ROUTES), "width": 4},
    }
    network = build_network(NetworkConfig.parse(plain), list(MODALITIES.values()), Task("multiclass", 4))
    assert isinstance(network, GatedNetwork)
    parts = {name: network.streams[name] for name in network.streams}
    branches = list(network.branches)
    return GatedNetwork(parts, branches, make_router(network), lengths=LENGTHS, threshold=0.5).eval()  # type: ignore[arg-type]


class AllOutputs(nn.Module):
    """Computes the outputs of all routes of a network, without its router."""

    def __init__(self, network: RoutedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: dict[str, Tensor], masks: dict[str, Tensor]) -> Tensor:
        """Returns (b, n_routes, n_outputs)."""
        return self.network.all_routes(inputs, masks).outputs


class RoutedSuite(ModuleSuite):
    """What holds for every network that runs one of several routes for a sample.

    Conditional execution that equals dense execution, independence of a sample from its batch, MACs that equal the
    count on every route, thresholds of 0 and 1 that run one route alone, any route for all samples, gradients in every
    part of the network, and the state dictionary. Networks are built over the modalities of `nasfuse.testing.inputs`.
    """

    @pytest.fixture
    def make_network(self) -> Callable[[], RoutedNetwork]:
        """Override: builds a network over the modalities of `nasfuse.testing.inputs`."""
        raise NotImplementedError("override the fixture make_network of the suite")

    @pytest.fixture
    def network(self, make_network: Callable[[], RoutedNetwork]) -> RoutedNetwork:
        """The network in evaluation mode."""
        return make_network().eval()

    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
    @pytest.mark.parametrize("n_samples", [1, 2, 17, 256])
    def test_conditional_execution_equals_dense_execution(
        self, network: RoutedNetwork, dtype: torch.dtype, tolerance: float, n_samples: int
    ) -> None:
        network = network.to(dtype)
        inputs, masks = _inputs(_batch(n_samples), dtype)
        rows = torch.arange(n_samples)
        with torch.inference_mode():
            dense = network.all_routes(inputs, masks)
            mixes = [torch.full_like(rows, number) for number in range(len(network.route_names))]
            mixes += [rows % len(network.route_names), torch.randint(len(network.route_names), (n_samples,))]
            for chosen in mixes:
                assert (network(inputs, masks, chosen) - dense.outputs[rows, chosen]).abs().max() < tolerance

    def test_sample_does_not_depend_on_its_batch(self, network: RoutedNetwork) -> None:
        inputs, masks = _inputs(_batch(12))
        with torch.inference_mode():
            every, together = network.all_routes(inputs, masks), network(inputs, masks)
            for row in range(12):
                own_inputs, own_masks = ({name: x[[row]] for name, x in part.items()} for part in (inputs, masks))
                alone = network.all_routes(own_inputs, own_masks)
                for one, all_rows in ((alone.outputs, every.outputs), (alone.gate, every.gate)):
                    assert one is None or (one[0] - all_rows[row]).abs().max() < 1e-5  # type: ignore[index]
                assert (network(own_inputs, own_masks)[0] - together[row]).abs().max() < 1e-5

    @pytest.mark.parametrize(("threshold", "route"), [(0.0, -1), (1.0, 0)])
    def test_threshold_at_its_ends_is_a_static_network(
        self, network: RoutedNetwork, threshold: float, route: int
    ) -> None:
        inputs, masks = _inputs(_batch(5))
        network.set_threshold(threshold)
        with torch.inference_mode():
            expected = network.all_routes(inputs, masks).outputs[:, route]
            branches: list[Branch] = list(network.branches)  # type: ignore[arg-type]
            for branch in branches:
                if branch is not branches[route]:
                    branch.register_forward_pre_hook(lambda *_: pytest.fail("another route ran"))
            assert torch.allclose(network(inputs, masks), expected, atol=1e-6)

    def test_any_route_for_all_samples_is_a_static_network(self, network: RoutedNetwork) -> None:
        inputs, masks = _inputs(_batch(5))
        parts = set(network.modules()) - set(network.parts().modules())  # the router
        branches: list[Branch] = list(network.branches)  # type: ignore[arg-type]
        for number, name in enumerate(network.route_names):
            with torch.inference_mode(), knobs_at(network.knobs(), {"always": float(number)}):
                assert network.only_route() == number, name
                expected = network.all_routes(inputs, masks).outputs[:, number]
                others = [one for one in branches if one is not branches[number]]
                idle = [one for one in (*others, *parts) if one is not network]
                hooks = [one.register_forward_pre_hook(lambda *_: pytest.fail("something else ran")) for one in idle]
                assert torch.allclose(network(inputs, masks), expected, atol=1e-6), name
                for hook in hooks:
                    hook.remove()
        assert network.always is None

    def test_closed_form_of_macs_equals_the_count(self, network: RoutedNetwork) -> None:
        batch = random_batch(list(ENCODERS), n_samples=2)
        counted = [count_network(network, batch, route=number) for number in range(len(network.route_names))]
        assert network.route_macs(LENGTHS) == counted

    def test_closed_form_of_macs_of_all_routes_equals_the_count(self, network: RoutedNetwork) -> None:
        batch = random_batch(list(ENCODERS), n_samples=2)
        assert network.all_routes_macs(LENGTHS) == count_network(AllOutputs(network), batch)

    def test_every_part_of_the_network_gets_a_gradient(self, network: RoutedNetwork) -> None:
        routes = network.train().all_routes(*_inputs(_batch(8)))
        gate = 0 if routes.gate is None else routes.gate.sum()
        (gate + (routes.outputs**2).sum()).backward()  # type: ignore[no-untyped-call]
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name

    def test_state_dictionary_restores_the_network(self, make_network: Callable[[], RoutedNetwork]) -> None:
        inputs, masks = _inputs(_batch(6))
        assert_restored(make_network, lambda network: network.all_routes(inputs, masks).outputs)


class RouterSuite(RoutedSuite):
    """What holds for every router: what holds for every `RoutedSuite`, and one logit per route.

    Example:
        A module of tests for a router of another package, here one that reads the inputs::

            class TestNearest(RouterSuite):
                @pytest.fixture
                def make_network(self):
                    return lambda: network_with(lambda network: Nearest(n_routes=len(network.route_names)))
    """

    @pytest.fixture
    def make_network(self) -> Callable[[], RoutedNetwork]:
        """Override: builds a network of `ROUTES` over the modalities of `nasfuse.testing.inputs` with the router."""
        raise NotImplementedError("override the fixture make_network of RouterSuite")

    def test_every_route_has_a_finite_logit(self, network: RoutedNetwork) -> None:
        gate = network.all_routes(*_inputs(_batch(5))).gate
        assert gate is not None
        assert gate.shape == (5, len(network.route_names))
        assert torch.isfinite(gate).all()

    @pytest.mark.parametrize(("threshold", "route"), [(0.0, -1), (1.0, 0)])
    def test_threshold_at_its_ends_is_a_static_network_without_router(
        self, network: RoutedNetwork, threshold: float, route: int
    ) -> None:
        inputs, masks = _inputs(_batch(5))
        network.set_threshold(threshold)
        with torch.inference_mode():
            expected = network.all_routes(inputs, masks).outputs[:, route]
            network.get_submodule("router").register_forward_pre_hook(lambda *_: pytest.fail("the router ran"))
            assert torch.allclose(network(inputs, masks), expected, atol=1e-6)

    def test_state_dictionary_restores_the_router(self, make_network: Callable[[], RoutedNetwork]) -> None:
        inputs, masks = _inputs(_batch(6))

        def gate(network: RoutedNetwork) -> Tensor:
            found = network.all_routes(inputs, masks).gate
            assert found is not None
            return found

        assert_restored(make_network, gate)


def _batch(n_samples: int) -> Batch:
    lengths = {"s": torch.arange(n_samples) % 12, "q": 9 - torch.arange(n_samples) % 10}
    return random_batch(list(ENCODERS), n_samples=n_samples, lengths=lengths)


def _inputs(batch: Batch, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    inputs = {name: x.to(dtype) if x.is_floating_point() else x for name, x in batch.inputs.items()}
    return inputs, batch.masks
