"""Time and memory of the equilibrium layer and of torchdeq, for the same cells and the same tolerance.

torchdeq uses the same cells with all of its exact settings: implicit gradients with each of its solvers, on the joint
state as in the released code of DEQ fusion, and on parts that are solved separately as in nasfuse. Each round runs all
of them in turn, three calls each, of which the last two are timed. Ratios are those of the medians. Memory is the peak
allocation of torch in one forward and backward pass. Requires `pip install torchdeq`.

    python benchmarks/equilibrium_speed.py --threads 1 --rounds 15
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torchdeq import get_deq

from nasfuse.nn.equilibrium import Anderson, EquilibriumLayer, Gradient, StoppingRule

#: Name, samples, features of each of three modalities, width of the state.
PROBLEMS = (("rosmap", 245, 200, 300), ("wide", 256, 500, 500))
N_MODALITIES = 3
MAX_STEPS = 60


def make_layer(width: int, tolerance: float) -> EquilibriumLayer:
    """Returns the cells of the paper with weights for which all solvers converge, as for trained weights."""
    rule = StoppingRule(tolerance, MAX_STEPS)
    layer = EquilibriumLayer(
        N_MODALITIES,
        width,
        coupled=False,
        gate="linear",
        start="zero",
        solver=Anderson(),
        gradient=Gradient(tolerance=tolerance, max_steps=MAX_STEPS),
        rule=rule,
        spectral_bound=None,
    )
    for parameter in layer.parameters():
        if parameter.dim() == 2:
            parameter.data *= 0.5
    return layer


class WithTorchdeq(nn.Module):
    """The parameters of a layer, solved by torchdeq."""

    def __init__(self, layer: EquilibriumLayer, *, solver: str, joint: bool, tolerance: float) -> None:
        """Sets torchdeq to implicit gradients and relative residuals."""
        super().__init__()
        self.layer, self.joint = layer, joint
        self.modalities, self.fuse = layer.cells
        self.deq = get_deq(
            ift=True,
            f_solver=solver,
            b_solver=solver,
            f_tol=tolerance,
            b_tol=tolerance,
            f_stop_mode="rel",
            b_stop_mode="rel",
            f_max_iter=MAX_STEPS,
            b_max_iter=MAX_STEPS,
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Returns the fused fixed point (b, d)."""
        fused = sum((w * x for w, x in zip(self.layer.weights, features, strict=True)), start=self.layer.offset)
        zero = torch.zeros_like(fused)
        if self.joint:
            out, _ = self.deq(lambda *states: self._joint(states, features, fused), (zero,) * (N_MODALITIES + 1))
            return out[-1][-1]  # of the last iterate, the fused state
        given = self.modalities.inputs(features, fused)
        (found,), _ = self.deq(lambda z: self.modalities.step(z, None, *given), zero.repeat(N_MODALITIES, 1))
        read = self.fuse.inputs(found.chunk(N_MODALITIES), fused)
        (z,), _ = self.deq(lambda z: self.fuse.step(z, None, *read), zero)
        return z

    def _joint(self, states: tuple[Tensor, ...], features: list[Tensor], fused: Tensor) -> tuple[Tensor, ...]:
        *states, old = states
        new = self.modalities.step(torch.cat(states), None, *self.modalities.inputs(features, fused))
        fuse = self.fuse.inputs(new.chunk(N_MODALITIES), fused)
        return (*new.chunk(N_MODALITIES), self.fuse.step(old, None, *fuse))


def run(network: nn.Module, project: nn.Module, inputs: Tensor, probe: Tensor) -> None:
    """Runs forward and backward once."""
    network.zero_grad()
    project.zero_grad()
    (network([project(x) for x in inputs]) * probe).sum().backward()


def peak_bytes(call: Callable[[], None], device: torch.device) -> int:
    """Returns the peak of the memory that `call` allocates, in bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in events))


def compare(problem: tuple[str, int, int, int], *, tolerance: float, rounds: int, device: torch.device) -> dict:
    """Returns times, memory and agreement of gradients for one problem."""
    name, n_samples, n_features, width = problem
    torch.manual_seed(0)
    layer = make_layer(width, tolerance).to(device)
    project = nn.Linear(n_features, width).to(device)  # as features come to the layer
    inputs = torch.randn(N_MODALITIES, n_samples, n_features, device=device)
    probe = torch.randn(n_samples, width, device=device)
    others = {
        f"torchdeq {solver}, {'joint' if joint else 'apart'}": WithTorchdeq(
            layer, solver=solver, joint=joint, tolerance=tolerance
        )
        for solver in ("anderson", "broyden", "fixed_point_iter")
        for joint in (True, False)
    }
    networks: dict[str, nn.Module] = {"nasfuse": layer, **others}
    gradients, seconds, memory = {}, {key: [] for key in networks}, {}
    for key, network in networks.items():
        run(network, project, inputs, probe)
        gradients[key] = torch.cat([p.grad.flatten() for p in layer.parameters() if p.grad is not None]).clone()
        memory[key] = peak_bytes(lambda network=network: run(network, project, inputs, probe), device)
    for _, (key, network) in itertools.product(range(rounds), networks.items()):
        run(network, project, inputs, probe)  # the first after another one pays for the other's memory
        for _ in range(2):
            start = time.perf_counter()
            run(network, project, inputs, probe)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[key].append(time.perf_counter() - start)
    own = gradients["nasfuse"]
    rows = {}
    for key in networks:
        quartiles = statistics.quantiles(seconds[key], n=4)
        rows[key] = {
            "ms": round(1e3 * quartiles[1], 2),
            "iqr_ms": round(1e3 * (quartiles[2] - quartiles[0]), 2),
            "ratio": round(quartiles[1] / statistics.median(seconds["nasfuse"]), 2),
            "peak_mib": round(memory[key] / 2**20, 1),
            "gradient_difference": round(float((gradients[key] - own).norm() / own.norm()), 5),
        }
    return {"problem": name, "samples": n_samples, "width": width, "tolerance": tolerance, "rows": rows}


def main() -> None:
    """Runs every problem at every tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tolerances", type=float, nargs="+", default=[1e-3, 1e-5])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for problem, tolerance in itertools.product(PROBLEMS, options.tolerances):
        found = compare(problem, tolerance=tolerance, rounds=options.rounds, device=torch.device(options.device))
        print(json.dumps({key: value for key, value in found.items() if key != "rows"}))
        for key, row in found["rows"].items():
            print(f"  {key:36} {json.dumps(row)}", flush=True)


if __name__ == "__main__":
    main()
