"""Is the bundle of every family of networks the network? In an environment with numpy and onnxruntime alone.

Builds untrained networks of every encoder, reducer, fusion, router and equilibrium, exports them, and writes 1,000
samples of each, whose sequences have different lengths, with the outputs of the network. Then it runs the bundles in a
fresh virtual environment, in which only numpy, onnxruntime and nasfuse without its dependencies are installed, in
batches of 1 (the first 50 samples) and of 64. Prints the largest difference of outputs, and the samples that take
another route. Samples whose outputs change by more than 1e-5 in the network itself when their inputs are rounded, since
their fixed points do not converge, are counted and compared apart.

    .venv/bin/python benchmarks/onnx_parity.py            # --only equilibrium: networks whose name has this word
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from itertools import product
from pathlib import Path

import numpy as np
import torch

from nasfuse.nn import RoutedNetwork
from nasfuse.runtime import FORMAT
from tests.deployment import families
from tests.deployment.families import ROUTES, TASK, VECTOR, Deployed, build, equilibrium, routed, static, stream

N_SAMPLES, N_SINGLE, BATCH = 1000, 50, 64
TOLERANCE = 1e-4
#: Change by rounding from which a sample is compared apart.
SENSITIVE = TOLERANCE / 10

RUN = """
import json, sys
from pathlib import Path
import numpy as np
from nasfuse.runtime import load

heavy = {"torch", "pydantic", "pandas", "yaml", "sklearn", "onnx"} & set(sys.modules)
assert not heavy, heavy
n_single, batch = int(sys.argv[2]), int(sys.argv[3])
for folder in sorted(Path(sys.argv[1]).iterdir()):
    bundle, data = load(folder), dict(np.load(folder / "samples.npz"))
    expected, routes, sensitive = data.pop("expected"), data.pop("routes"), data.pop("sensitive")
    n = len(expected)
    worst, apart, others = 0.0, 0.0, 0
    for size, stop in ((1, n_single), (batch, n)):
        for start in range(0, stop, size):
            found = bundle.run({k: v[start : start + size] for k, v in data.items()})
            same = np.ones(len(found.values), bool)
            if found.routes is not None:
                same = found.routes == routes[start : start + size]
                others += int((~same).sum())
            distance = np.abs(found.values - expected[start : start + size]).max(axis=1)
            told = sensitive[start : start + size]
            worst = max(worst, float(distance[same & ~told].max(initial=0.0)))
            apart = max(apart, float(distance[same & told].max(initial=0.0)))
    name = json.loads((folder / "manifest.json").read_text())["name"]
    print(json.dumps([name, worst, others, n, int(sensitive.sum()), apart]), flush=True)
"""


def networks():
    """The networks of the tests, and those that would take too long there."""
    yield from families.NETWORKS.items()
    gates, solvers = ("linear", "sigmoid", "tanh"), ("picard", "anderson", "broyden")
    for gate, solver, coupled in product(gates, solvers, (False, True)):
        options = {"gate": gate, "solver": solver, "coupled": coupled, "spectral_bound": 0.2}
        yield f"equilibrium {gate} {solver}{' coupled' if coupled else ''}", equilibrium(**options)
    for solver in solvers:
        yield f"equilibrium of tokens {solver}", equilibrium(level="tokens", solver=solver, spectral_bound=0.2)
        yield f"equilibrium mixing {solver}", equilibrium(cell="mixing", solver=solver, spectral_bound=0.2)
    for kind, ratio in product(families.REDUCERS, (0.2, 0.6)):
        streams = {
            name: stream("transformer", depth=2, reducer={"kind": kind, "keep_ratio": ratio}) for name in ("s", "i")
        }
        yield f"reducer {kind} {ratio} without CLS", static({**streams, "v": VECTOR})
    for reads in ("inputs", "cheapest_stream", "cheap_route"):
        for form in ("linear", "mlp", "conv", "transformer"):
            if reads == "cheap_route" and form in ("conv", "transformer"):
                continue
            router = {"routes": ROUTES, "reads": reads, "form": form, "threshold": 0.45}
            yield f"gate on {reads} by {form}", routed(router)
            among = {"routes": ["s:1+v", "s+v"], **{k: v for k, v in router.items() if k != "routes"}}
            streams = {"s": stream("conv", depth=3), "v": stream("mlp", depth=3)}
            yield f"gate on {reads} by {form}, among fusions", routed(among, streams=streams)
    among = {"kind": "sequential", "routes": ["s:1+v", "s+v"], "threshold": 0.55}
    streams = {"s": stream("transformer", depth=3), "v": stream("mlp", depth=3)}
    yield "sequential among fusions", routed(among, streams=streams)


def write(folder, name):
    """Writes the bundle of a network, and samples with the outputs of the network."""
    one = Deployed(build(name), has_lengths=True)
    manifest = {
        "format": FORMAT,
        "name": name,
        "task": {"kind": TASK.kind, "n_outputs": TASK.n_outputs},
        "program": one.deployed.program,
    }
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for file, graph in one.deployed.graphs.items():
        (folder / file).write_bytes(graph)
    with torch.no_grad():
        _, expected, routes = one.run(N_SAMPLES)
    samples = {key: tensor.numpy() for key, tensor in one.inputs.examples(N_SAMPLES).items()}
    routes = np.zeros(N_SAMPLES, int) if routes is None else routes
    sensitive = changes(one, expected, routes) > SENSITIVE
    np.savez(folder / "samples.npz", **samples, expected=expected, routes=routes, sensitive=sensitive)


def changes(one, expected, routes):
    """Returns the change (n,) of the outputs of the network, on the same routes, when its inputs are rounded."""
    values, masks, present = one.inputs(one.inputs.examples(N_SAMPLES))
    chosen = {"chosen": torch.from_numpy(routes)} if isinstance(one.network, RoutedNetwork) else {}
    generator = torch.Generator().manual_seed(0)
    largest = np.zeros(N_SAMPLES)
    for _ in range(3):
        rounded = {
            name: x * (1 + torch.finfo(x.dtype).eps * (2 * torch.randint(2, x.shape, generator=generator) - 1))
            if x.is_floating_point()
            else x
            for name, x in values.items()
        }
        with torch.no_grad():
            found = one.network(rounded, masks, present=present, **chosen).numpy()
        largest = np.maximum(largest, np.abs(found - expected).max(axis=1))
    return largest


def environment(folder):
    """Returns the Python of a fresh environment with numpy, onnxruntime and nasfuse without its dependencies."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    root = Path(__file__).parents[1]
    install = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*install, "numpy", "onnxruntime"], check=True)
    subprocess.run([*install, "--no-deps", str(root)], check=True)
    return python


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="run networks whose name has this word")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bundles").mkdir()
        families.NETWORKS = {name: plain for name, plain in networks() if options.only in name}
        for number, name in enumerate(families.NETWORKS):
            write(root / "bundles" / f"{number:03}", name)
        python = environment(root / "venv")
        command = [python, "-c", RUN, str(root / "bundles"), str(N_SINGLE), str(BATCH)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for name, worst, others, n_samples, n_sensitive, apart in results:
        mark = "" if worst <= TOLERANCE and others == 0 else "  <--"
        told = f"  {n_sensitive} sensitive: {apart:.1e}" if n_sensitive else ""
        print(f"{name:48}{worst:10.1e}{others:6} of {n_samples}{told}{mark}")
    worst = max(one[1] for one in results)
    others = sum(one[2] for one in results)
    n_sensitive, apart = sum(one[4] for one in results), max(one[5] for one in results)
    print(f"\n{len(results)} networks: largest difference {worst:.1e}, {others} samples on another route")
    print(f"{n_sensitive} samples decided by rounding in the network itself: largest difference {apart:.1e}")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
