"""Ratios of time and of MACs between a routed network and the static network of its costliest route.

Both have the same random weights. A given share of the samples takes the costly route (the router runs for all samples,
and its choice is replaced), and both networks are timed in turn in one run. At batch size 1 every sample is one call;
in larger batches the samples of a batch take different routes.

    python benchmarks/routing_latency.py --threads 1
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from nasfuse.domain.modality import Modality, Task
from nasfuse.nn import RoutedNetwork, build_network
from nasfuse.spec.network import NetworkConfig

MODALITIES = (Modality("image", "image", (3, 64, 64)), Modality("audio", "sequence", (256, 40)))
TASK = Task("multiclass", 10)


def config(encoder: str, reads: str) -> NetworkConfig:
    """Returns a routed network of some 100 MMAC, most of it in the audio stream."""
    return NetworkConfig.parse(
        {
            "route": ["image", "audio"],
            "streams": {
                "image": {"encoder": "conv", "depth": 2, "width": 64, "stride": 4},
                "audio": {"encoder": encoder, "depth": 4, "width": 128, "reducer": {"keep_ratio": 1.0}},
            },
            "fusion": {"kind": "concat", "placement": 4, "width": 128},
            "router": {"routes": ["image", "image+audio"], "reads": reads, "form": "mlp", "width": 16},
        }
    )


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Returns the seconds of one call."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def compare(
    network: RoutedNetwork, n_samples: int, share: float, *, repeats: int, device: torch.device
) -> tuple[float, float, float]:
    """Returns (ratio of MACs, median ratio of times, seconds of the full network per batch), paired."""
    inputs = {m.name: torch.randn(n_samples, *m.shape, device=device) for m in MODALITIES}
    macs = network.full_route_macs()
    cheap, full = macs.values()
    costliest = network.static_macs({"audio": 256})[-1]
    ratio = ((1 - share) * cheap + share * full) / costliest
    if n_samples == 1:  # one call per sample; the mean over samples is the mix of both kinds of call
        choices = [torch.tensor([number], device=device) for number in (0, 1)]
        weights = [1 - share, share]
    else:
        up = torch.arange(n_samples) < round(share * n_samples)
        choices, weights = [up[torch.randperm(n_samples)].long().to(device)], [1.0]

    def static() -> Tensor:
        network.set_threshold(0.0)  # always the costliest route, without router
        return network(inputs, {})

    ratios, seconds = [], []
    with torch.inference_mode():
        for repeat in range(repeats + 3):
            network.set_threshold(0.5)
            dynamic = sum(
                weight * timed(lambda chosen=chosen: network(inputs, {}, chosen), device)  # type: ignore[misc]
                for weight, chosen in zip(weights, choices, strict=True)
            )
            reference = timed(static, device)
            if repeat >= 3:
                ratios.append(dynamic / reference)
                seconds.append(reference)
    return ratio, statistics.median(ratios), statistics.median(seconds)


def main() -> None:
    """Prints one line per encoder, batch and share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(
        f"{'audio':>12} {'router reads':>16} {'batch':>5} {'costly':>6} "
        f"{'MACs ratio':>10} {'time ratio':>10} {'full':>9}"
    )
    for encoder in ("conv", "transformer"):
        for reads in ("cheap_route", "cheapest_stream", "inputs"):
            torch.manual_seed(0)
            network = build_network(config(encoder, reads), MODALITIES, TASK).to(device).eval()
            assert isinstance(network, RoutedNetwork)
            for n_samples in (1, 256):
                for share in (0.1, 0.25, 0.5, 0.75):
                    repeats = options.repeats if n_samples > 1 else 5 * options.repeats
                    macs, seconds, full = compare(network, n_samples, share, repeats=repeats, device=device)
                    verdict = "" if seconds <= macs + 0.15 else "  above MACs ratio + .15"
                    print(
                        f"{encoder:>12} {reads:>16} {n_samples:>5} {share:>6.2f} {macs:>10.3f} {seconds:>10.3f} "
                        f"{full * 1e3:>6.1f} ms{verdict}",
                        flush=True,
                    )
            print(f"{'':>12} {max(network.full_route_macs().values()) / 1e6:.1f} MMAC on the costly route")


if __name__ == "__main__":
    main()
