"""Multiply-accumulates of a frozen encoder."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from nasfuse.data.frozen.base import FrozenEncoder


def counted_macs(encoder: FrozenEncoder, value: Any) -> int:
    """Returns the multiply-accumulates of one text or image, as torch counts the operators of a forward pass.

    Products and convolutions count, as in `docs/costs.md`. torch counts fused attention on some devices only, so that
    attention is computed as two products here. Encoders are not traced with fvcore, because those of the libraries
    branch on the values of masks.
    """
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, and used only where something is counted

    with _without_fast_path(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        encoder.encode([value])
    return int(counter.get_total_flops()) // 2


@contextmanager
def _without_fast_path() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
