"""Latency of operating points as graphs: which programs are timed, and how routes are weighted."""

from dataclasses import replace

import pytest
import torch

from nasfuse.cost.latency import Latency
from nasfuse.data.sources.digits import load_digits
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.nn import build_network
from nasfuse.nn.knob import set_knobs, settings_of
from nasfuse.nn.routing.network import listening_to_routes
from nasfuse.spec.network import NetworkConfig
from nasfuse.train import deployed_latency
from nasfuse.train.deployed_latency import with_deployed_latency

POINT = OperatingPoint(metric=0.4, macs=1, params=1, latency_s=9.0, latency_iqr_s=9.0, peak_bytes=1)
STREAMS = {name: {"encoder": "mlp", "width": 8} for name in ("left", "right")}


@pytest.fixture(scope="module")
def dataset():
    return load_digits()


@pytest.fixture
def programs(monkeypatch):
    """The programs that are timed; call number k takes k + 1 seconds."""
    found = []

    def timed(call, **options):
        found.append(call(0))
        return Latency(float(len(found)), 0.1, 0.0)

    monkeypatch.setattr(deployed_latency, "timed", timed)
    return found


def make(dataset, **options):
    plain = {"route": list(STREAMS), "streams": STREAMS, "fusion": {"kind": "sum", "width": 8}, **options}
    torch.manual_seed(0)
    return build_network(NetworkConfig.parse(plain), dataset.modalities, dataset.task).eval()


def set_to(network, settings):
    set_knobs(network.knobs(), settings)


def test_a_static_network_is_timed_once(dataset, programs):
    network = make(dataset)
    (found,) = with_deployed_latency((POINT,), network, dataset, set_to=set_to)
    assert (found.latency_s, found.latency_iqr_s) == (1.0, 0.1)
    row = dataset.val.batch(torch.arange(1), names=network.stream_names)
    assert torch.allclose(torch.from_numpy(programs[0].values), network(row.inputs, row.masks), atol=1e-5)


def test_routes_are_weighted_by_their_shares(dataset, programs):
    network = make(dataset, router={"kind": "sequential", "routes": ["left", "left+right"], "threshold": 0.5})
    own = settings_of(network.knobs())
    points = tuple(replace(POINT, knobs={"threshold": value}) for value in (0.3, 0.7, 1.0))
    between, other, cheapest = with_deployed_latency(points, network, dataset, set_to=set_to)
    assert [one.routes and one.routes.tolist() for one in programs] == [[0], [1], None], "traced once, and once static"
    for threshold, point in ((0.3, between), (0.7, other)):
        set_to(network, {"threshold": threshold})
        batch = dataset.val.batch(torch.arange(len(dataset.val))[:512], names=network.stream_names)
        with torch.no_grad(), listening_to_routes(network) as routes:
            network(batch.inputs, batch.masks)
        share = float(routes[0].double().mean())
        assert point.latency_s == pytest.approx(1.0 * (1 - share) + 2.0 * share)
    assert cheapest.latency_s == 3.0
    set_to(network, own)
    assert settings_of(network.knobs()) == own


def test_the_step_limit_of_a_solver_is_part_of_what_is_timed(dataset, programs):
    network = make(dataset, fusion={"kind": "equilibrium", "width": 8, "max_steps": 20, "tolerance": 1e-6})
    limits = [name for name in settings_of(network.knobs()) if name.endswith("max_steps")]
    points = (POINT, replace(POINT, knobs={limits[0]: 2}))
    with_deployed_latency(points, network, dataset, set_to=set_to)
    assert programs[0].n_steps[0] > programs[1].n_steps[0]
    assert programs[1].n_steps[0] <= 4, "two fixed points of two steps each"
