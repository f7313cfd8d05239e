"""Traces give what the network gives on other inputs, or there is none: no path is frozen in silence."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import TracingError
from nasfuse.nn import build_network
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.tracing import one_path_wanted
from nasfuse.spec.network import NetworkConfig

pytestmark = pytest.mark.filterwarnings("ignore")  # the tracer warns of every number that it takes for a constant

MODALITIES = (
    Modality("s", "sequence", (12, 5)),
    Modality("q", "sequence", (12,), 13),
    Modality("v", "vector", (6,)),
    Modality("i", "image", (3, 8, 8)),
)
TASK = Task("multiclass", 3)
ROUTED = {
    "route": ["v", "s"],
    "streams": {name: {"encoder": "mlp", "width": 8} for name in ("v", "s")},
    "fusion": {"kind": "concat", "width": 8},
    "router": {"routes": ["v", "v+s"]},
}


class Flat(torch.nn.Module):
    """The network with its tensors one by one, as tracing wants them; masks of both sequences come last."""

    def __init__(self, network, **options):
        super().__init__()
        self.network, self.options = network, options

    def forward(self, *tensors):
        inputs = dict(zip("sqvi", tensors, strict=False))
        masks = dict(zip("sq", tensors[4:], strict=True)) if len(tensors) > 4 else {}
        return self.network(inputs, masks, **self.options)


def make_tensors(n_samples, n_steps, *, masked):
    tensors = [
        torch.randn(n_samples, n_steps, 5),
        torch.randint(13, (n_samples, n_steps)),
        torch.randn(n_samples, 6),
        torch.randn(n_samples, 3, 8, 8),
    ]
    lengths = torch.randint(1, n_steps + 1, (2 if masked else 0, n_samples, 1))
    return (*tensors, *(torch.arange(n_steps) < one for one in lengths))


def network_of(plain):
    return build_network(NetworkConfig.parse(plain), MODALITIES, TASK).eval()


def static(encoder, *, fusion=None, placement=2, **options):
    streams = {name: {"encoder": encoder, "width": 8, "depth": 2, **options} for name in "sqi"}
    streams["v"] = {"encoder": "mlp", "width": 8}
    fusion = {"kind": "concat", **(fusion or {})}
    shape = {} if FUSIONS[fusion["kind"]].fuses_outputs else {"width": 8, "placement": placement}
    return network_of({"route": list("sqvi"), "streams": streams, "fusion": {**shape, **fusion}})


def right_or_refused(network, *, masked):
    """Returns how many of the other inputs the trace takes, all of which it has to be right on."""
    flat = Flat(network)
    with ThreadPoolExecutor(max_workers=1) as pool:  # the tracer copies the call stack, which is short in a new thread
        traced = pool.submit(torch.jit.trace, flat, make_tensors(3, 12, masked=masked), check_trace=False).result()
    taken = 0
    for n_samples, n_steps in [(3, 12), (3, 12), (1, 12), (5, 12), (3, 11), (3, 8), (2, 24), (3, 1), (3, 2)]:
        tensors = make_tensors(n_samples, n_steps, masked=masked)
        try:
            with torch.jit.optimized_execution(False):  # to optimise a graph takes ten times as long as to run it
                out = traced(*tensors)
        except RuntimeError:
            continue
        assert torch.allclose(out, flat(*tensors), atol=1e-5), (n_samples, n_steps)
        taken += 1
    return taken


STATIC = [
    ("mlp", {}),
    ("conv", {"stride": 2}),
    ("conv", {"reducer": {"kind": "average", "keep_ratio": 0.5}}),
    ("transformer", {"stride": 4}),
    ("transformer", {"window": 4}),
    *(("transformer", {"reducer": {"kind": kind, "keep_ratio": 0.4}, "readout": "cls"}) for kind in REDUCERS),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("encoder", "options"), STATIC)
def test_a_trace_of_a_static_network_is_right_or_raises(encoder, options, masked):
    network = static(encoder, **options)
    if encoder == "mlp" and not masked:
        flat = Flat(network)
        traced = torch.jit.trace(flat, make_tensors(3, 12, masked=False), check_trace=False)
        tensors = make_tensors(2, 12, masked=False)
        assert torch.allclose(traced(*tensors), flat(*tensors), atol=1e-5)
    else:
        assert right_or_refused(network, masked=masked) >= 4, "other samples, and batches of another size"


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", FUSIONS)
def test_a_trace_of_every_fusion_is_right_or_raises(kind, masked):
    unrolled = {"gradient": "unroll", "max_steps": 3}
    levels = [{**unrolled, "level": level} for level in ("features", "tokens")]
    levels += [{**unrolled, "cell": "mixing", "tied": tied} for tied in (True, False)]
    for options in levels if kind == "equilibrium" else [{}]:
        network = static("transformer", fusion={"kind": kind, **options}, placement=1)
        assert right_or_refused(network, masked=masked) >= 4


def jit(module, tensors):
    torch.jit.trace(module, tensors)


def onnx(module, tensors):
    torch.onnx.export(module, tensors, "unused.onnx", dynamo=False)


def export(module, tensors):
    torch.export.export(module, tensors)


CELLS = [{"level": "features"}, {"level": "tokens"}, {"cell": "mixing"}]
STEPS = r"the steps of a fixed point depend on the values.*gradient: unroll"


@pytest.mark.parametrize("how", [jit, onnx, export])
class TestRefused:
    def test_routes_that_the_router_chooses(self, how):
        with pytest.raises(TracingError, match=r"the route of a sample depends on its values.*trace one route"):
            how(Flat(network_of(ROUTED)), make_tensors(3, 12, masked=False))

    def test_routes_that_a_tensor_chooses(self, how):
        flat = Flat(network_of(ROUTED), chosen=torch.tensor([0, 1, 0]))
        with pytest.raises(TracingError, match="the route of a sample depends on its values"):
            how(flat, make_tensors(3, 12, masked=False))

    @pytest.mark.parametrize("cell", CELLS)
    def test_fixed_points(self, how, cell):
        network = static("mlp", fusion={"kind": "equilibrium", "gradient": "implicit", **cell})
        with pytest.raises(TracingError, match=STEPS):
            how(Flat(network), make_tensors(3, 12, masked=False))


@pytest.mark.parametrize("gradient", ["phantom", "random_steps", "reversible"])
@pytest.mark.parametrize("cell", CELLS)
def test_fixed_points_with_other_gradients_are_refused(gradient, cell):
    network = static("mlp", fusion={"kind": "equilibrium", "gradient": gradient, **cell})
    with pytest.raises(TracingError, match=STEPS):
        jit(Flat(network), make_tensors(3, 12, masked=False))


@pytest.mark.parametrize("reads", ["cheap_route", "inputs", "cheapest_stream"])
@pytest.mark.parametrize("number", [0, 1])
def test_one_route_may_be_traced(number, reads):
    network = network_of({**ROUTED, "router": {**ROUTED["router"], "reads": reads}})
    flat = Flat(network, chosen=number)
    traced = torch.jit.trace(flat, make_tensors(3, 12, masked=False))
    tensors = make_tensors(5, 12, masked=False)
    network.set_threshold(1 - number)
    expected = Flat(network)(*tensors)
    assert torch.allclose(traced(*tensors), expected, atol=1e-6)
    assert torch.allclose(flat(*tensors), expected, atol=1e-6)
    assert torch.allclose(Flat(network, chosen=torch.full((5,), number))(*tensors), expected, atol=1e-6)
    at_the_end = torch.jit.trace(Flat(network), make_tensors(3, 12, masked=False))
    assert torch.allclose(at_the_end(*tensors), expected, atol=1e-6)


def test_an_exported_static_network_is_the_network():
    flat = Flat(static("transformer", window=4))
    exported = torch.export.export(flat, make_tensors(3, 12, masked=False)).module()
    tensors = make_tensors(3, 12, masked=False)
    assert torch.allclose(exported(*tensors), flat(*tensors), atol=1e-5)


def test_a_trace_of_one_path_is_allowed_for_counting():
    flat, tensors = Flat(network_of(ROUTED)), make_tensors(3, 12, masked=False)
    with one_path_wanted():
        torch.jit.trace(flat, tensors)
    with pytest.raises(TracingError, match="depends on its values"):
        torch.jit.trace(flat, tensors)
