"""Scaled dot-product attention by the fast kernels of torch, also for networks that are stacked (`torch.func.vmap`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_is_stacked: ContextVar[bool] = ContextVar("is_stacked", default=False)


@contextmanager
def stacked_networks() -> Iterator[None]:
    """Makes `dot_product_attention` one call for all networks of a `vmap` inside the block.

    The kernels for a CPU have no rule for `vmap`, so that torch would call them network by network.
    """
    token = _is_stacked.set(True)
    try:
        yield
    finally:
        _is_stacked.reset(token)


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Returns softmax(Q K^T / sqrt(d) + mask) V.

    Args:
        query: (b, h, q, d).
        key: (b, h, k, d).
        value: (b, h, k, d).
        mask: (b, h, q, k), true for pairs that count, or numbers that are added; None for all pairs.

    Returns:
        (b, h, q, d).
    """
    if _is_stacked.get():
        found: Tensor = _Stacked.apply(query, key, value, mask)  # type: ignore[no-untyped-call]
        return found
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class _Stacked(torch.autograd.Function):
    """Attention with a rule for `vmap`. Its gradients are those of the operations of that rule."""

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keeps nothing."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *parts: Tensor | None) -> tuple[Tensor, int]:
        n_networks = info.batch_size

        def joined(part: Tensor | None, axis: int | None) -> Tensor | None:
            """Returns the part (k b, ...) of k networks with a batch b each."""
            if part is None:
                return None
            stacked = part.expand(n_networks, *part.shape) if axis is None else part.movedim(axis, 0)
            return stacked.flatten(0, 1)

        query, key, value, mask = (joined(*each) for each in zip(parts, in_dims, strict=True))
        assert query is not None and key is not None and value is not None, "only the mask is optional"
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return found.reshape(n_networks, -1, *found.shape[1:]), 0
