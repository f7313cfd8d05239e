"""Ratios of time and of MACs: sparse networks and dense concat at 500 tokens, and windows at 256 to 4096 tokens.

    python benchmarks/sparse_latency.py

Two sequences of 500 steps, width 64, 4 stages, inference, one thread. In every round each network runs once in
a random order, so that other load on the machine affects all of them equally. The ratio is the median over rounds.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch

from nasfuse.domain.modality import Modality, Task
from nasfuse.nn import build_network
from nasfuse.nn.attention import SelfAttention, Windows
from nasfuse.nn.tokens import Tokens
from nasfuse.spec.network import NetworkConfig

LENGTH, N_FEATURES, WIDTH, HEADS, DEPTH = 500, 16, 64, 4, 4
MODALITIES = [Modality(name, "sequence", (LENGTH, N_FEATURES)) for name in ("a", "b")]


def network_of(*, placement: int, window: int | None = None, stride: int = 1, kind: str = "max", ratio: float = 1.0):
    stream = {
        "encoder": "transformer",
        "depth": DEPTH,
        "width": WIDTH,
        "heads": HEADS,
        "window": window,
        "stride": stride,
        "reducer": {"kind": kind, "keep_ratio": ratio, "at": 1},
    }
    fusion = {"kind": "joint_tokens", "placement": placement, "width": WIDTH, "heads": HEADS}
    config = NetworkConfig.parse({"route": ["a", "b"], "streams": {"a": stream, "b": stream}, "fusion": fusion})
    return build_network(config, MODALITIES, Task("multiclass", 10)).eval()


def paired(calls: Mapping[str, Callable[[], object]], n_rounds: int) -> dict[str, list[float]]:
    """Returns seconds per round of each call."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for number in range(n_rounds + 3):
        random.shuffle(order)
        for name in order:
            start = time.perf_counter()
            calls[name]()
            if number >= 3:
                times[name].append(time.perf_counter() - start)
    return times


def networks(n_rounds: int) -> None:
    systems = {
        "dense concat": network_of(placement=0),
        "full attention, max 1/64 (SFT)": network_of(placement=1, ratio=1 / 64),
        "window 64, max 1/64": network_of(placement=1, window=64, ratio=1 / 64),
        "window 64, attention 1/16": network_of(placement=1, window=64, kind="attention", ratio=1 / 16),
        "window 64, top_k 1/16": network_of(placement=1, window=64, kind="top_k", ratio=1 / 16),
        "window 64, merge 1/16": network_of(placement=1, window=64, kind="merge", ratio=1 / 16),
        "window 64, gumbel 1/16": network_of(placement=1, window=64, kind="gumbel", ratio=1 / 16),
        "window 64, latent 1/16": network_of(placement=1, window=64, kind="latent", ratio=1 / 16),
        "stride 4, window 32, average 1/16": network_of(placement=1, window=32, stride=4, kind="average", ratio=1 / 16),
    }
    macs = {name: network.macs({"a": LENGTH, "b": LENGTH}) for name, network in systems.items()}
    print("| network | MMACs | MACs ratio | time ratio, batch 1 | batch 32 |\n|---|---|---|---|---|")
    cells: dict[str, list[str]] = {name: [] for name in systems}
    for batch in (1, 32):
        inputs = {name: torch.randn(batch, LENGTH, N_FEATURES) for name in ("a", "b")}
        calls = {name: partial(network, inputs, {}) for name, network in systems.items()}
        times = paired(calls, n_rounds if batch == 1 else max(n_rounds // 3, 5))
        for name in systems:
            ratios = [own / dense for own, dense in zip(times[name], times["dense concat"], strict=True)]
            low, _, high = statistics.quantiles(ratios, n=4)
            cells[name].append(f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})")
    for name in systems:
        share = macs[name] / macs["dense concat"]
        print(f"| {name} | {macs[name] / 1e6:.1f} | {share:.3f} | {' | '.join(cells[name])} |")


def windows(n_rounds: int) -> None:
    print("\n| tokens | full, ms | window 64, ms | us per token | window 64 shifted, ms |\n|---|---|---|---|---|")
    for n_tokens in (256, 512, 1024, 2048, 4096):
        tokens = Tokens(torch.randn(1, n_tokens, WIDTH))
        layers = {
            "full": SelfAttention(WIDTH, heads=HEADS),
            "windows": SelfAttention(WIDTH, heads=HEADS, windows=Windows(64)),
            "shifted": SelfAttention(WIDTH, heads=HEADS, windows=Windows(64, 32)),
        }
        times = paired({name: partial(layer.look, tokens) for name, layer in layers.items()}, n_rounds)
        full, own, shifted = (1e3 * statistics.median(times[name]) for name in layers)
        print(f"| {n_tokens} | {full:.2f} | {own:.2f} | {1e3 * own / n_tokens:.2f} | {shifted:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    with torch.inference_mode():
        networks(arguments.rounds)
        windows(arguments.rounds)


if __name__ == "__main__":
    main()
