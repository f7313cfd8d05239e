"""How fast are exported networks, and does their time follow their MACs?

Prints, for networks from a thousand to a million MACs, the median time of a call of one sample in onnxruntime and in
eager PyTorch, on one thread; the rank correlations of both with MACs; and for routed networks, the mean time of a
sample (medians of the routes, weighted by their shares) over that of the costliest route alone, beside the same ratio
of MACs.

    .venv/bin/python benchmarks/deployment.py

Weights are random: times depend on shapes alone. Of several rounds, the fastest counts.
"""

from itertools import product

import numpy as np
import torch
from scipy.stats import spearmanr

from nasfuse.cost.latency import one_at_a_time, timed
from nasfuse.data import Scale
from nasfuse.deployment import RawInput, RawInputs, deploy
from nasfuse.domain.modality import Modality, Task
from nasfuse.nn import build_network
from nasfuse.runtime.bundle import open_session
from nasfuse.runtime.program import Program
from nasfuse.spec.network import NetworkConfig

IMAGE, AUDIO, FACTS = (
    Modality("image", "image", (1, 28, 28)),
    Modality("audio", "sequence", (40, 13)),
    Modality("facts", "vector", (30,)),
)
MODALITIES = (IMAGE, AUDIO, FACTS)
TASK = Task("multiclass", 10)
N_ROUNDS = 7
RUNS = {"n_warmup": 10, "n_runs": 50, "n_rounds": 1}


def mlp(width, **options):
    return {"encoder": "mlp", "width": width, "depth": 1, **options}


def conv(width, **options):
    return {"encoder": "conv", "width": width, "depth": 1, **options}


def pair(image, audio, *, kind="concat", width=16, **router):
    streams = {"image": image, "audio": audio}
    return {"route": list(streams), "streams": streams, "fusion": {"kind": kind, "width": width}, **router}


FRONT = {
    "facts, MLP of 16": {"route": ["facts"], "streams": {"facts": mlp(16)}},
    "facts, MLP of 32": {"route": ["facts"], "streams": {"facts": mlp(32)}},
    "two MLPs of 8": pair(mlp(8), mlp(8)),
    "two MLPs of 24": pair(mlp(24), mlp(24)),
    "two MLPs of 64": pair(mlp(64), mlp(64), width=32),
    "convolutions of 8, stride 4": pair(conv(8, stride=4), conv(8, stride=4)),
    "convolutions of 12, stride 2": pair(conv(12, stride=2), conv(12, stride=4)),
    "convolutions of 16, stride 2": pair(conv(16, stride=2), conv(16, stride=2), width=32),
    "two convolutions of 16, stride 2": pair(conv(16, stride=2, depth=2), conv(16, stride=2, depth=2), width=32),
    "bottleneck of transformers": pair(
        {"encoder": "transformer", "width": 16, "depth": 2, "stride": 7},
        {"encoder": "transformer", "width": 16, "depth": 2, "stride": 4},
        kind="bottleneck",
    ),
}

CHEAP, COSTLY = mlp(8), (conv(64, depth=4, stride=1), conv(128, depth=8, stride=1))
ROUTED = {
    "gate on the cheap route": {"kind": "gate", "reads": "cheap_route", "form": "mlp"},
    "gate on the inputs": {"kind": "gate", "reads": "inputs", "form": "linear"},
    "sequential": {"kind": "sequential"},
}
SHARES = (0.9, 0.7, 0.5)


def raw_inputs(network):
    found = []
    for one in MODALITIES:
        if one.name in network.stream_names:
            shape = {"vector": (1, -1), "sequence": (1, 1, -1), "image": (1, -1, 1, 1)}[one.kind]
            ones = torch.ones(one.shape[0 if one.kind == "image" else -1]).reshape(shape)
            zeros = torch.zeros_like(ones)
            found.append(RawInput(one, False, False, Scale(zeros.double(), 2 * ones.double()), Scale(zeros, ones)))
    return found


class Pair:
    """A network in eager PyTorch and as a program."""

    def __init__(self, plain, threshold=None):
        torch.manual_seed(0)
        self.network = build_network(NetworkConfig.parse(plain), MODALITIES, TASK).eval()
        if threshold is not None:
            self.network.set_threshold(threshold)
        inputs = raw_inputs(self.network)
        deployed = deploy(self.network, inputs)
        self.inputs = RawInputs(inputs)
        self.program = Program(
            deployed.program, lambda name: open_session(deployed.graphs[name], threads=1), task=TASK.kind
        )

    def deployed(self, n_samples=1, *, route=None):
        """Times calls of the program; with `route`, the router runs, and this route is taken whatever it says."""
        raw = {name: one.numpy() for name, one in self.inputs.examples(n_samples).items()}
        chosen = None if route is None else np.full(n_samples, route)
        return timed(lambda _: self.program.run(raw, chosen), **RUNS)

    def eager(self, n_samples=1):
        values, masks, present = self.inputs(self.inputs.examples(n_samples))
        with torch.inference_mode():
            return timed(lambda _: self.network(values, masks, present=present), **RUNS)


def main():
    torch.set_num_threads(1)
    print(
        f"{'network':36}{'MACs':>10}{'onnx':>9}{'IQR':>7}{'eager':>9}{'faster':>8}{'onnx/64':>9}{'eager/64':>9}   (us)"
    )
    pairs = {name: Pair(plain) for name, plain in FRONT.items()}
    times = {name: [] for name in pairs}
    with one_at_a_time():
        for _ in range(N_ROUNDS):  # interleaved, so that all networks see the same disturbances
            for name, one in pairs.items():
                times[name].append([one.deployed(), one.eager(), one.deployed(64), one.eager(64)])
    macs, deployed, eager = [], [], []
    for name, one in pairs.items():
        fast, slow, fast64, slow64 = (min(each, key=lambda t: t.median_s) for each in zip(*times[name], strict=True))
        macs += one.network.static_macs({"audio": 40})
        deployed.append(fast.median_s)
        eager.append(slow.median_s)
        print(
            f"{name:36}{macs[-1]:10,}{1e6 * fast.median_s:9.1f}{1e6 * fast.iqr_s:7.1f}{1e6 * slow.median_s:9.1f}"
            f"{slow.median_s / fast.median_s:8.1f}{1e6 * fast64.median_s / 64:9.2f}{1e6 * slow64.median_s / 64:9.2f}",
            flush=True,
        )
    print(f"\nMACs from {min(macs):,} to {max(macs):,}, a factor of {max(macs) / min(macs):.0f}")
    print(f"rank correlation of MACs and time: {spearmanr(macs, deployed).statistic:.3f} deployed, ", end="")
    print(f"{spearmanr(macs, eager).statistic:.3f} eager")
    print(f"eager over deployed: {np.median(np.array(eager) / deployed):.1f} (median), ", end="")
    print(f"{(np.array(eager) / deployed).min():.1f} at least\n")
    measure_routed()


def measure_routed():
    """Prints the times of routed networks beside those of their costliest route."""
    print(f"{'router':26}{'full, us':>10}{'cheap share':>13}{'MACs ratio':>12}{'time ratio':>12}")
    for (name, options), audio in product(ROUTED.items(), COSTLY):
        router = {"routes": ["image", "image+audio"], **options, "threshold": 0.5}
        plain = pair(CHEAP, audio, width=32, router=router)
        routed, full = Pair(plain), Pair(plain, threshold=0.0)
        by_route = routed.network.route_macs({"audio": 40})
        whole = routed.network.static_macs({"audio": 40})[-1]
        rounds = []
        with one_at_a_time():
            for _ in range(N_ROUNDS):
                rounds.append([full.deployed().median_s, *(routed.deployed(route=k).median_s for k in (0, 1))])
        alone, *times = np.min(rounds, axis=0)
        for share in SHARES:
            macs, mean = (share * each[0] + (1 - share) * each[1] for each in (by_route, times))
            print(f"{name:26}{1e6 * alone:10.1f}{share:13.0%}{macs / whole:12.2f}{mean / alone:12.2f}", flush=True)


if __name__ == "__main__":
    main()
