"""MACs and activation memory of sparse fusion and of other published transformers.

All systems have the published sizes (width 40, 5 heads) and the same attention kernels: first the default ones of
`scaled_dot_product_attention` (SDPA) in PyTorch, which save no attention weights for the backward pass, then
`SDPBackend.MATH`, which saves them. Memory is what a training pass saves for the backward pass, per sample, with each
storage counted once and without parameters. Activations do not include the inputs, the total does. Ratios are relative
to the first line.

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
    """Returns MACs, and for each backend the bytes of activations and of all saved tensors, per sample."""
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
    parser.add_argument(
        "--samples", type=int, default=2, help="number of samples in the batch whose memory is measured"
    )
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
