"""Small untrained networks of every family, and their bundles in memory."""

from functools import cache

import torch

from nasfuse.data import Scale
from nasfuse.deployment import RawInput, RawInputs, deploy
from nasfuse.domain.modality import Modality, Task
from nasfuse.nn import build_network
from nasfuse.nn.equilibrium import equilibrium_layers, listening
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.routing.network import listening_to_routes
from nasfuse.runtime.bundle import open_session
from nasfuse.runtime.program import Program
from nasfuse.spec.network import NetworkConfig

MODALITIES = {
    one.name: one
    for one in (
        Modality("s", "sequence", (9, 3)),
        Modality("q", "sequence", (7,), 11),
        Modality("v", "vector", (5,)),
        Modality("i", "image", (3, 6, 6)),
        Modality("j", "image", (1, 9, 7)),
    )
}
TASK = Task("multiclass", 3)

#: Tasks of the networks that do not classify.
OTHER_TASKS = {"label maps": Task("segmentation", 3, (11, 8))}

#: Options with which the fixed points of untrained cells exist, so that rounding does not grow from step to step.
CONTRACTION = {"spectral_bound": 0.5, "tolerance": 1e-5, "max_steps": 60, "gate": "sigmoid"}


def stream(encoder, **options):
    return {"encoder": encoder, "width": 8, "depth": 1, **options}


VECTOR = stream("mlp")


def static(streams, fusion=None):
    kind = {"kind": "concat", **(fusion or {})}
    shape = {} if FUSIONS[kind["kind"]].fuses_outputs else {"width": 8, "placement": 1}
    return {"route": list(streams), "streams": streams, "fusion": {**shape, **kind}}


def equilibrium(**options):
    streams = {"v": VECTOR, "s": stream("conv")}
    contraction = {key: value for key, value in CONTRACTION.items() if key != "gate" or "cell" not in options}
    return static(streams, {"kind": "equilibrium", **contraction, **options})


def routed(router, *, fusion=None, streams=None):
    streams = streams or {"v": VECTOR, "s": stream("conv", depth=2), "i": stream("conv", stride=3)}
    return {
        "route": list(streams),
        "streams": streams,
        "fusion": {"kind": "concat", "width": 8, "placement": 2, **(fusion or {})},
        "router": router,
    }


def at_sites(streams, router=None, *, kind="sites", **more):
    options = {"fusion": {"kind": kind, **more}, **({} if router is None else {"router": router})}
    return {"route": list(streams), "streams": streams, **options}


DEEP = stream("mlp", depth=2)
RESNET = stream("resnet", stride=1, depth=2)

GATES = [
    ("inputs", "mlp"),
    ("inputs", "transformer"),
    ("cheapest_stream", "linear"),
    ("cheapest_stream", "conv"),
    ("cheap_route", "mlp"),
]
ROUTES = ["v", "v+s:1", "v+s+i"]

NETWORKS = {
    "mlp": static({"v": VECTOR, "s": stream("mlp"), "q": stream("mlp"), "i": stream("mlp")}),
    "linear": static({"v": {"encoder": "linear"}, "s": {"encoder": "linear", "statistics": True}}),
    "maxout": static({"v": stream("maxout"), "s": stream("mlp")}),
    "conv": static({"s": stream("conv", stride=2), "q": stream("conv"), "i": stream("conv", stride=2)}),
    "transformer": static({"s": stream("transformer", stride=2), "i": stream("transformer", stride=3)}),
    "windows": static({"s": stream("transformer", window=4, depth=2), "v": VECTOR}),
    "random_conv": static({"s": stream("random_conv", n_kernels=8), "i": stream("random_conv", n_kernels=8)}),
    "readouts": static({"s": stream("transformer", readout="cls+mean+max+std"), "v": VECTOR}),
    **{
        f"reducer {kind}": static(
            {"s": stream("transformer", reducer={"kind": kind, "keep_ratio": 0.4}, readout="cls"), "v": VECTOR}
        )
        for kind in REDUCERS
    },
    "reducer of a grid": static(
        {"i": stream("conv", reducer={"kind": "max", "keep_ratio": 0.3}), "v": VECTOR},
    ),
    **{
        f"fusion {kind}": static({"s": stream("transformer"), "v": VECTOR}, {"kind": kind})
        for kind in FUSIONS
        if kind != "equilibrium"
    },
    **{f"equilibrium {gate}": equilibrium(gate=gate, solver="picard") for gate in ("linear", "sigmoid", "tanh")},
    **{f"equilibrium {solver}": equilibrium(solver=solver, spectral_bound=0.2) for solver in ("anderson", "broyden")},
    "equilibrium damped": equilibrium(solver="picard", damping=0.7, start="zero"),
    "equilibrium coupled": equilibrium(coupled=True, solver="broyden"),
    "equilibrium of tokens": equilibrium(level="tokens", solver="picard"),
    "equilibrium mixing": equilibrium(cell="mixing", solver="picard"),
    "equilibrium unrolled": equilibrium(gradient="unroll", max_steps=3),
    "equilibrium untied": equilibrium(cell="mixing", tied=False, gradient="unroll", max_steps=2),
    **{
        f"gate on {reads} {form}": routed({"routes": ROUTES, "reads": reads, "form": form, "threshold": 0.4})
        for reads, form in GATES
    },
    "gate over fusions": routed(
        {"routes": ["s:1+v", "s+v"], "reads": "cheapest_stream", "threshold": 0.4},
        streams={"s": stream("conv", depth=3), "v": stream("mlp", depth=3)},
    ),
    "gate over equilibria": routed(
        {"routes": ["v+s:1", "v+s+i"], "reads": "cheap_route", "threshold": 0.4},
        fusion={"kind": "equilibrium", "solver": "picard", **CONTRACTION},
    ),
    "sequential": routed({"kind": "sequential", "routes": ROUTES, "threshold": 0.55}),
    "sequential over equilibria": routed(
        {"kind": "sequential", "routes": ROUTES, "threshold": 0.55},
        fusion={"kind": "equilibrium", "solver": "picard", **CONTRACTION},
    ),
    "resnet": static({"i": stream("resnet", block="bottleneck"), "j": stream("resnet", block="nbt1d", stride=2)}),
    "sites": at_sites({"i": RESNET, "j": RESNET, "v": DEEP}),
    "sites with a bottleneck": at_sites({"s": stream("conv"), "i": RESNET}, operator="bottleneck"),
    "chain": at_sites({"s": stream("conv"), "i": RESNET}, kind="chain", width=8),
    "gate on stems over sites": at_sites(
        {"v": DEEP, "i": RESNET},
        {"routes": ["v", "v+i:1", "v+i"], "reads": "stems", "threshold": 0.4},
        operator="cross_attention",
    ),
    "sequential over sites": at_sites(
        {"v": DEEP, "i": RESNET, "s": stream("conv")},
        {"kind": "sequential", "routes": ["v", "v+i:1", "v+i:1+s"], "threshold": 0.55},
        operator="cross_attention",
    ),
    "label maps": {
        **at_sites({"i": RESNET, "j": RESNET}),
        "decoder": {"upsampling": "learned", "context": "pyramid_pooling"},
    },
    "always the cheapest": routed({"routes": ROUTES, "threshold": 1.0}),
}


def build(name):
    """Returns the network called `name` in evaluation mode, with the weights of a seed."""
    torch.manual_seed(0)
    task = OTHER_TASKS.get(name, TASK)
    return build_network(NetworkConfig.parse(NETWORKS[name]), list(MODALITIES.values()), task).eval()


def raw_input(modality, *, has_lengths=False, can_be_absent=False):
    """A modality with scales that are not trivial."""
    if modality.vocabulary is not None:
        return RawInput(modality, has_lengths, can_be_absent, None, None)
    n_features = modality.shape[0] if modality.kind == "image" else modality.shape[-1]
    shape = {"vector": (1, -1), "sequence": (1, 1, -1), "image": (1, -1, 1, 1)}[modality.kind]
    numbers = torch.arange(1.0, n_features + 1).reshape(shape)
    lengths = has_lengths and modality.kind == "sequence"
    return RawInput(
        modality, lengths, can_be_absent, Scale(1e3 * numbers.double(), numbers.double()), Scale(0 * numbers, numbers)
    )


class Deployed:
    """A network and its program."""

    def __init__(self, network, *, has_lengths):
        self.network = network
        inputs = [raw_input(MODALITIES[name], has_lengths=has_lengths) for name in network.stream_names]
        self.deployed = deploy(network, inputs)
        self.inputs = RawInputs(inputs)
        graphs = self.deployed.graphs
        self.program = Program(
            self.deployed.program, lambda name: open_session(graphs[name], threads=1), task=TASK.kind
        )

    def run(self, n_samples):
        """Returns the outputs of the program, those of the network, and the routes that the network takes."""
        tensors = self.inputs.examples(n_samples)
        inputs, masks, present = self.inputs(tensors)
        with torch.no_grad(), listening_to_routes(self.network) as routes:
            with listening(equilibrium_layers(self.network)):
                expected = self.network(inputs, masks, present=present).numpy()
        found = self.program.run({name: tensor.numpy() for name, tensor in tensors.items()})
        return found, expected, routes[0].numpy() if routes else None


@cache
def deployed(name):
    """Returns the network called `name` and its program; both are made once, and must not be changed."""
    return Deployed(build(name), has_lengths=True)
