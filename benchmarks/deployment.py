"""How fast are exported networks, and does their time follow their MACs?

Prints, for networks from a thousand to a million MACs, the median time of a call of one sample in onnxruntime and in
eager PyTorch, on one thread; the rank correlations of both with MACs; and for routed networks from 0.1 to 10
million MACs, the mean time of a sample over that of the costliest route alone, and by how much this ratio is above that
of MACs: one sample at a time (medians of the routes, weighted by their shares) and in batches of 64.

    .venv/bin/python benchmarks/deployment.py           # --only front or routed

Weights are random: times depend on shapes alone. Of several rounds, the fastest counts.
"""

import argparse
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

CHEAP = mlp(8)
COSTLY = (conv(24, depth=2, stride=1), conv(64, depth=6, stride=1), conv(192, depth=8, stride=1))
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
        self.exported = deploy(self.network, inputs)
        self.inputs = RawInputs(inputs)
        self.program = self.opened(self.exported.program)

    def opened(self, program):
        return Program(program, lambda name: open_session(self.exported.graphs[name], threads=1), task=TASK.kind)

    def always(self, route):
        """Returns the program of a router that always chooses route 0 or 1, and computes its choice all the same."""
        router = dict(self.exported.program["router"])
        if router["kind"] == "sequential":
            router["levels"] = [0.0 if route == 0 else 2.0] * len(router["levels"])
        else:
            router["price"] = 1e9 if route == 0 else -1e9
        return self.opened({**self.exported.program, "router": router})

    def deployed(self, n_samples=1, *, program=None, routes=None):
        """Times calls of the program, or of another one; with `routes`, these are taken whatever the router says."""
        raw = {name: one.numpy() for name, one in self.inputs.examples(n_samples).items()}
        program = program or self.program
        return timed(lambda _: program.run(raw, routes), **RUNS)

    def eager(self, n_samples=1):
        values, masks, present = self.inputs(self.inputs.examples(n_samples))
        with torch.inference_mode():
            return timed(lambda _: self.network(values, masks, present=present), **RUNS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["front", "routed"], help="which of the two tables")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    if only != "routed":
        measure_front()
    if only != "front":
        measure_routed()


def measure_front():
    """Prints the times of static networks, deployed and eager, and how they are ranked."""
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


def measure_routed():
    """Prints the times of routed networks beside those of their costliest route, one at a time and in batches."""
    print(f"{'router':26}{'MACs':>11}{'batch':>7}{'full, us':>10}{'IQR':>6}", end="")
    print("".join(f"{f'{share:.0%} cheap':>18}" for share in SHARES) + "   (time ratio - MACs ratio)")
    for (name, options), audio in product(ROUTED.items(), COSTLY):
        router = {"routes": ["image", "image+audio"], **options, "threshold": 0.5}
        plain = pair(CHEAP, audio, width=32, router=router)
        routed, full = Pair(plain), Pair(plain, threshold=0.0)
        by_route = routed.network.route_macs({"audio": 40})
        whole = routed.network.static_macs({"audio": 40})[-1]
        for n_samples in (1, 64):
            cheap = [np.arange(64) < round(64 * share) for share in SHARES]
            if n_samples == 1:
                calls = [{"program": routed.always(route)} for route in (0, 1)]
            else:
                calls = [{"routes": np.where(each, 0, 1)} for each in cheap]
            rounds = []
            with one_at_a_time():
                for _ in range(N_ROUNDS):
                    alone = full.deployed(n_samples)
                    rounds.append([alone, *(routed.deployed(n_samples, **call) for call in calls)])
            alone, *times = (min(each, key=lambda t: t.median_s) for each in zip(*rounds, strict=True))
            print(f"{name:26}{whole:11,}{n_samples:7}{1e6 * alone.median_s:10.1f}{1e6 * alone.iqr_s:6.1f}", end="")
            for number, share in enumerate(SHARES):
                share = share if n_samples == 1 else np.mean(cheap[number])
                macs = share * by_route[0] + (1 - share) * by_route[1]
                if n_samples == 1:
                    mean = share * times[0].median_s + (1 - share) * times[1].median_s
                else:
                    mean = times[number].median_s
                ratio = mean / alone.median_s
                print(f"{f'{ratio:.2f} {ratio - macs / whole:+.2f}':>18}", end="")
            print(flush=True)


if __name__ == "__main__":
    main()
