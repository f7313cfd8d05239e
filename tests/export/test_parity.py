"""When a bundle is accepted as its network."""

from dataclasses import replace

import pytest
import torch

from nasfuse.data.dataset import Column, Split
from nasfuse.deployment import RawInputs
from nasfuse.errors import DeploymentError
from nasfuse.export.parity import Parity, compare
from nasfuse.nn import build_network
from nasfuse.runtime import Bundle
from nasfuse.runtime.bundle import open_session
from nasfuse.spec.network import NetworkConfig
from tests.deployment.families import MODALITIES, TASK, VECTOR, deploy, equilibrium, raw_input, routed, stream

N_SAMPLES = 40


def parity(*, difference=0.0, n_borderline=0, n_samples=500):
    return Parity(n_samples, n_borderline, 0, 0.0, difference, 1e-4, torch.zeros(1), torch.zeros(1))


def test_rounding_is_accepted():
    parity(difference=1e-4).check()
    parity(n_borderline=2, n_samples=2000).check()
    parity(n_borderline=1, n_samples=20).check()


@pytest.mark.parametrize("found", [{"difference": 2e-4}, {"n_borderline": 2}, {"difference": float("inf")}])
def test_more_is_refused(found):
    with pytest.raises(DeploymentError, match=r"the bundle differs from the network: .* it was not written"):
        parity(**found).check()


class Case:
    """An untrained network, random samples, and its bundle, in which some results can be changed."""

    def __init__(self, plain):
        torch.manual_seed(0)
        self.network = build_network(NetworkConfig.parse(plain), list(MODALITIES.values()), TASK).eval()
        inputs = [raw_input(MODALITIES[name]) for name in self.network.stream_names]
        deployed = deploy(self.network, inputs)
        manifest = {"program": deployed.program, "task": {"kind": TASK.kind}}
        self.bundle = Bundle(manifest, lambda name: open_session(deployed.graphs[name], threads=1))
        self.inputs = RawInputs(inputs)
        shapes = {one.name: one.modality.shape for one in inputs}
        scales = {one.name: one.stored_scale for one in inputs}
        columns = {
            name: Column(torch.randn(N_SAMPLES, *shape) * scales[name].std, scale=scales[name])
            for name, shape in shapes.items()
        }
        self.samples = Split(columns, torch.zeros(N_SAMPLES, dtype=torch.int64))

    def compare(self, change=None):
        bundle = self.bundle if change is None else Changed(self.bundle, change)
        return compare(self.network, bundle, self.inputs, self.samples)


class Changed:
    """A bundle whose results are passed through a function of the results and the routes that were asked for."""

    def __init__(self, bundle, change):
        self.bundle, self.change = bundle, change

    def run(self, inputs, chosen=None):
        return self.change(self.bundle, inputs, self.bundle.run(inputs, chosen), chosen)


@pytest.fixture(scope="module")
def two_routes():
    router = {"kind": "sequential", "routes": ["v", "v+s"], "threshold": 0.55}
    return Case(routed(router, streams={"v": VECTOR, "s": stream("conv", depth=2)}))


@pytest.fixture(scope="module")
def solver():
    """A cell without a bound, of which some samples do not converge."""
    return Case(equilibrium(solver="anderson", gate="linear", tolerance=1e-4, max_steps=30, spectral_bound=None))


class TestRouted:
    def test_its_own_bundle(self, two_routes):
        found = two_routes.compare()
        assert found.n_borderline == found.n_sensitive == 0
        assert found.difference < 1e-5

    def test_a_decision_near_the_threshold(self, two_routes):
        """Outputs are compared on the same routes, so that the other route of a sample is no difference of outputs."""

        def one_elsewhere(bundle, inputs, found, chosen):
            if chosen is not None or len(found.routes) == 1:
                return found
            routes = found.routes.copy()
            routes[3] = 1 - routes[3]
            return bundle.run(inputs, routes)

        found = two_routes.compare(one_elsewhere)
        assert (found.n_borderline, found.holds) == (1, True)
        assert found.difference < 1e-5
        assert not found.bundle[3].equal(found.network[3]), "the metric of the bundle is that of its own routes"

    def test_outputs_of_one_sample_that_are_wrong(self, two_routes):
        def shifted(bundle, inputs, found, chosen):
            found.values[-1] += 1e-3
            return found

        found = two_routes.compare(shifted)
        assert not found.holds
        assert found.difference == pytest.approx(1e-3, rel=0.05)

    def test_a_sample_that_is_wrong_alone(self, two_routes):
        def broken(bundle, inputs, found, chosen):
            return replace(found, values=found.values * torch.nan) if len(found.values) == 1 else found

        assert two_routes.compare(broken).difference == float("inf")


class TestEquilibrium:
    def test_samples_that_do_not_converge_are_told_apart(self, solver):
        found = solver.compare()
        assert found.holds
        assert 0 < found.n_sensitive < N_SAMPLES
        assert found.change > found.allowed / 10

    def test_the_others_have_to_agree(self, solver):
        def shifted(bundle, inputs, found, chosen):
            return replace(found, values=found.values + 1e-3)

        assert not solver.compare(shifted).holds

    def test_stopping_elsewhere_is_accepted_of_one_sample(self, solver):
        def stops_later(n_samples):
            def change(bundle, inputs, found, chosen):
                if len(found.values) > 1:
                    rows = [row for row in range(N_SAMPLES) if found.n_steps[row] < 20][:n_samples]
                    found.n_steps[rows] += 1
                    found.values[rows] += 1e-3
                return found

            return change

        assert solver.compare(stops_later(1)).n_borderline == 1
        assert not solver.compare(stops_later(2)).holds
