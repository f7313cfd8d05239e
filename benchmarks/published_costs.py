"""What does sparse fusion save? The published transformers beside each other, by MACs and by activation memory.

All systems have the published sizes (width 40, 5 heads) and the same attention kernels: first those that PyTorch's
`scaled_dot_product_attention` (SDPA) takes, which keep no weights for backward, then `SDPBackend.MATH`, which keeps
them. Memory is what a training pass saves for backward, per sample, every storage once, without parameters. The
inputs are there anyway, the same for all: activations are counted without them, and what is saved in all with them.
Ratios are to the first line.

    python -m benchmarks.published_costs
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.published_transformers import (
    MOSEI,
    MOSEI_KERNELS,
    VGG100,
    VGG100_KERNELS,
    Concat,
    LateFusion,
    Mbt,
    MulT,
    Sft,
    Shape,
)
from nasfuse.cost import count_operators, saved_bytes

SYSTEMS: dict[str, Callable[[Shape, Sequence[int]], nn.Module]] = {
    "SFT 1 + sparse + 11": lambda shape, kernels: Sft(shape, kernels=kernels),
    "SFT 6 + sparse + 6": lambda shape, kernels: Sft(shape, kernels=kernels, n_before=6, n_after=6),
    "SFT, no pooling": lambda shape, _: Sft(shape, kernels=(1, 1, 1)),
    "concat, pool 64 after block 1": lambda shape, _: Concat(shape, kernel=64),
    "concat": lambda shape, _: Concat(shape),
    "late fusion": lambda shape, _: LateFusion(shape),
    "MBT 7 + 5": lambda shape, _: Mbt(shape),
    "MulT 4 + 4": lambda shape, _: MulT(shape, heads=5, n_layers=4, cls=True),
    "MulT 6 + 6": lambda shape, _: MulT(shape, heads=5, n_layers=6, cls=True),
}
BACKENDS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "SDPA": nullcontext,
    "explicit": lambda: sdpa_kernel(SDPBackend.MATH),
}


def measure(system: nn.Module, shape: Shape, *, n_samples: int) -> list[float]:
    """Returns MACs, then for each backend the bytes of activations and of all that is saved, per sample."""
    macs = sum(count_operators(system.eval(), (shape.inputs(1),)).values())
    system.train()
    inputs = shape.inputs(n_samples)
    found: list[float] = [macs]
    for backend in BACKENDS.values():
        with backend():
            for apart in (inputs, ()):
                found.append(saved_bytes(system, lambda: system(inputs), apart=apart) / n_samples)
    return found


def main() -> None:
    """Prints one line per data shape and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2, help="in the batch whose memory is measured")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    columns = [f"{name}{more} MiB" for name in BACKENDS for more in ("", " + inputs")]
    for data, shape, kernels in (("MOSEI", MOSEI, MOSEI_KERNELS), ("VGG100", VGG100, VGG100_KERNELS)):
        inputs = sum(x.nbytes for x in shape.inputs(1)) / 2**20
        print(f"{data}: inputs {inputs:.2f} MiB per sample")
        print(f"{'':30}{'MMACs':>9}{'ratio':>8}" + "".join(f"{what:>23}{'ratio':>8}" for what in columns))
        reference = None
        for name, build in SYSTEMS.items():
            torch.manual_seed(0)
            found = measure(build(shape, kernels), shape, n_samples=options.samples)
            reference = reference or found
            macs, *saved = found
            cells = f"{macs / 1e6:>9.1f}{macs / reference[0]:>8.2f}"
            for value, first in zip(saved, reference[1:], strict=True):
                cells += f"{value / 2**20:>23.2f}{value / first:>8.2f}"
            print(f"{name:30}{cells}", flush=True)


if __name__ == "__main__":
    main()
